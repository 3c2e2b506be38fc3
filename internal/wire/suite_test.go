package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// engines are the connections that the suite holds to the same behaviour: one
// more makes one more line.
var engines = map[string]func(Config) *Transport{
	"net/http": NewTransport,
}

// bench is a pool of one engine, and what a test needs around it.
type bench struct {
	*testing.T
	tr  *Transport
	tls *Profile
}

func eachEngine(t *testing.T, f func(*testing.T, func(Config) *bench)) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			f(t, func(c Config) *bench {
				if c.Dialer == nil {
					c.Dialer = &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}
				}
				b := &bench{T: t, tr: engine(c)}
				t.Cleanup(b.tr.Close)
				return b
			})
		})
	}
}

// watch records what an Observer is told.
type watch struct {
	mu     sync.Mutex
	told   []string
	active atomic.Int64
	onSend func()
	onConn func(Conn)
}

func (w *watch) add(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, s)
}
func (w *watch) Waiting(bool)                                   {}
func (w *watch) Connecting()                                    { w.add("connecting") }
func (w *watch) Encrypted(*tls.ConnectionState, *certs.Failure) { w.add("encrypted") }
func (w *watch) Question(*Question)                             { w.add("question") }
func (w *watch) Failed(error) bool                              { return false }
func (w *watch) Activity()                                      { w.active.Add(1) }
func (w *watch) Sending(c Conn) {
	w.add("sending")
	if w.onConn != nil {
		w.onConn(c)
	}
	if w.onSend != nil {
		w.onSend()
	}
}

func (w *watch) list() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, " ")
}

// call is one exchange of a test.
type call struct {
	method  string
	url     string
	header  http.Header
	body    io.Reader
	length  int64
	proto   Protocol
	prio    Priority
	fresh   bool
	again   func() io.Reader // the body once more
	session *Session
	owner   any
	watch   *watch
	interim func(int) error
}

func (b *bench) send(ctx context.Context, c call) (*http.Response, *Exchange, error) {
	if c.method == "" {
		c.method = "GET"
	}
	req, err := http.NewRequest(c.method, c.url, c.body)
	require.NoError(b, err)
	if c.length != 0 {
		req.ContentLength = c.length
	}
	if c.header != nil {
		req.Header = c.header
	}
	if c.interim != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { return c.interim(code) }})
	}
	if c.watch == nil {
		c.watch = &watch{}
	}
	x := &Exchange{Observer: c.watch, Priority: c.prio, Fresh: c.fresh, Session: c.session}
	x.Key = Key{Owner: c.owner, Scheme: req.URL.Scheme, Addr: req.URL.Host, Protocol: c.proto}
	if req.URL.Scheme == "https" {
		x.Key.Profile = b.tls
	}
	resp, err := b.tr.RoundTrip(req.WithContext(ctx), x)
	return resp, x, err
}

// fetch repeats what was not sent, or what the server has promised not to have seen, as
// the layer above does.
func (b *bench) fetch(c call) (status int, body string, err error) {
	for range 4 {
		if status, body, err = b.fetchOnce(c); err == nil || c.body != nil && c.again == nil {
			break
		}
		if e := (*Error)(nil); !errors.As(err, &e) || !e.Unprocessed && !(e.Reused && !e.Began && e.Sent == 0) {
			break
		}
		if c.again != nil {
			c.body = c.again()
		}
	}
	return status, body, err
}

func (b *bench) fetchOnce(c call) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, _, err := b.send(ctx, c)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func faultOf(err error) (Fault, Phase) {
	var e *Error
	if !errors.As(err, &e) {
		return -1, -1
	}
	return e.Fault, e.Phase
}

// TestFraming is what a server may say and what comes of it.
func TestFraming(t *testing.T) {
	type row struct {
		name   string
		method string
		answer string
		status int // 0: no head
		body   string
		fault  Fault
		phase  Phase
		ok     bool
	}
	rows := []row{
		{name: "length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", status: 200, body: "hello", ok: true},
		{name: "to the end", answer: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 200, ok: true},
		{name: "HEAD with chunked", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, ok: true},
		{name: "304 with chunked", answer: "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", status: 304, ok: true},
		{name: "lengths that agree", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "length and chunked", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 200, body: "ok", ok: true},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, ok: true},
		{name: "304", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304, ok: true},
		{name: "interim", answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "bare LF", answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", status: 200, body: "ok", ok: true},
		{name: "32 KiB head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 32<<10) + "\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "body cut", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "chunked cut in data", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "chunked cut before the last", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "bad chunk size", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", status: 200, fault: Malformed, phase: Body},
		{name: "head cut in a line", answer: "HTTP/1.1 200 OK\r\nContent-Le", fault: Closed, phase: Headers},
		{name: "head cut after a line", answer: "HTTP/1.1 200 OK\r\nA: b\r\n", fault: Closed, phase: Headers},
		{name: "status line cut", answer: "HTTP/1.1 20", fault: Closed, phase: Headers},
		{name: "nothing", answer: "", fault: Closed, phase: Headers},
		{name: "not HTTP", answer: "SSH-2.0-OpenSSH\r\n", fault: Malformed, phase: Headers},
		{name: "not HTTP, no line", answer: "SSH", fault: Malformed, phase: Headers},
		{name: "no code", answer: "HTTP/1.1 abc OK\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "two blanks", answer: "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "no colon", answer: "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "name with blank", answer: "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", fault: Malformed, phase: Headers},
		{name: "signed length", answer: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", fault: Malformed, phase: Headers},
		{name: "head too large", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "endless line", answer: strings.Repeat("HTTP/", 100<<10), fault: Malformed, phase: Headers},
	}
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		for _, r := range rows {
			// a response that comes in pieces of three bytes is the same response
			for _, piece := range []int{0, 3} {
				if piece > 0 && len(r.answer) > 1000 {
					continue
				}
				t.Run(fmt.Sprint(r.name, "/", piece), func(t *testing.T) {
					s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
						if _, ok := c.Head(); !ok {
							return
						}
						for rest := r.answer; rest != ""; {
							n := len(rest)
							if piece > 0 {
								n = min(n, piece)
							}
							c.Say(rest[:n])
							rest = rest[n:]
						}
					})
					b := with(Config{})
					status, body, err := b.fetch(call{method: r.method, url: s.URL()})
					assert.Equal(t, r.status, status)
					assert.Equal(t, r.body, body)
					if r.ok {
						require.NoError(t, err)
						return
					}
					fault, phase := faultOf(err)
					assert.Equal(t, r.fault, fault, "%v", err)
					assert.Equal(t, r.phase, phase, "%v", err)
				})
			}
		}
	})
}

// TestHeads: order, spelling, duplicates and folding come off the wire, whatever
// the pieces and whatever stands in front.
func TestHeads(t *testing.T) {
	const answer = "HTTP/1.1 103 Early\r\nA: hint\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine Indeed\r\nX-MiXeD: 1\r\na-lower: 2\r\nx-mixed: 3\r\nPragma: no-cache\r\n" +
		"Folded: a\r\n  b\r\nEmpty:\r\nConnection: keep-alive\r\nContent-Length: 20\r\n\r\nHTTP/1.1 404 X\r\n\r\n  "
	want := []Field{{Name: "X-MiXeD", Value: "1"}, {Name: "a-lower", Value: "2"}, {Name: "x-mixed", Value: "3"}, {Name: "Pragma", Value: "no-cache"}, {Name: "Folded", Value: "a b"}, {Name: "Empty", Value: ""},
		{Name: "Connection", Value: "keep-alive"}, {Name: "Content-Length", Value: "20"}}
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		for _, piece := range []int{1, 3, 1000} {
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				for {
					if _, _, ok := c.Request(); !ok {
						return
					}
					for rest := answer; rest != ""; {
						n := min(len(rest), piece)
						c.Say(rest[:n])
						rest = rest[n:]
					}
				}
			})
			b := with(Config{})
			for i := range 3 {
				var seen []int
				resp, x, err := b.send(t.Context(), call{url: s.URL(), interim: func(code int) error { seen = append(seen, code); return nil }})
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "HTTP/1.1 404 X\r\n\r\n  ", string(body))
				reason, fields := ParseHead(x.Head)
				assert.Equal(t, "Fine Indeed", reason)
				assert.Equal(t, want, fields)
				assert.Equal(t, []int{103, 100}, seen)
				assert.Equal(t, i > 0, x.Conn.Reused)
			}
			assert.Equal(t, 1, s.Connections())
		}
	})
}

// TestCancel: an exchange returns at once when its context ends, in every phase.
func TestCancel(t *testing.T) {
	reason := errors.New("the reason")
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	silent := func(c *testserver.Conn) { io.Copy(io.Discard, c) }
	deaf := func(c *testserver.Conn) { <-never }
	headOnly := func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		<-never
	}
	for _, r := range []struct {
		name  string
		serve func(*testserver.Conn)
		tls   bool
		// source: the body is one that blocks until the context ends
		source bool
		call   call
	}{
		{name: "handshake", serve: deaf, tls: true},
		{name: "head", serve: silent},
		{name: "body", serve: headOnly},
		{name: "write", serve: deaf, call: call{method: "POST", body: endless, length: 1 << 40}},
		{name: "source", serve: silent, call: call{method: "POST", length: 10}, source: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *bench) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					done := make(chan struct{})
					go func() { defer close(done); r.serve(c) }()
					select {
					case <-done:
					case <-t.Context().Done():
					}
				})
				b := with(Config{})
				b.tls = &Profile{Config: &tls.Config{}}
				c := r.call
				c.url = s.URL()
				if r.tls {
					c.url = "https://" + s.Addr
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				if r.source {
					c.body = readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, context.Cause(ctx) })
				}
				time.AfterFunc(30*time.Millisecond, func() { cancel(reason) })
				start := time.Now()
				resp, _, err := b.send(ctx, c)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				assert.ErrorIs(t, err, reason)
				assert.Less(t, time.Since(start), 5*time.Second)
			})
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestEarlyAnswer: the answer of a server that does not want the upload arrives,
// however it ends the connection.
func TestEarlyAnswer(t *testing.T) {
	const tries, size = 100, 8 << 20
	ends := map[string]func(*testserver.Conn){
		"close": func(c *testserver.Conn) {},
		"reset": func(c *testserver.Conn) { c.Reset() },
		"close after some": func(c *testserver.Conn) {
			io.CopyN(io.Discard, c.R, 300<<10)
		},
	}
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					c.Head()
					c.Say("HTTP/1.1 413 Too Large\r\nContent-Length: 200\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 200))
					end(c)
				})
				b := with(Config{})
				for i := range tries {
					status, body, err := b.fetch(call{method: "POST", url: s.URL(), body: io.LimitReader(zeros{}, size), length: size})
					require.NoError(t, err, "try %d", i)
					require.Equal(t, 413, status)
					require.Len(t, body, 200)
				}
			})
		}
		for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
			t.Run(string(kind), func(t *testing.T) {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Connection", "close")
					w.WriteHeader(413)
					io.WriteString(w, strings.Repeat("x", 200))
				}))
				b := with(Config{})
				b.tls = &Profile{Config: cfg}
				for i := range tries {
					upload := func() io.Reader { return io.LimitReader(zeros{}, size) }
					status, body, err := b.fetch(call{method: "POST", url: s.URL, body: upload(), again: upload, length: size})
					require.NoError(t, err, "try %d", i)
					require.Equal(t, 413, status)
					require.Len(t, body, 200)
				}
			})
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestReuse: when a connection serves the next exchange, and when not.
func TestReuse(t *testing.T) {
	for _, r := range []struct {
		name   string
		method string
		answer string
		conns  int
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 1},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"the server says close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 3},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *bench) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					for {
						if _, _, ok := c.Request(); !ok {
							return
						}
						c.Say(r.answer)
					}
				})
				b := with(Config{})
				for range 3 {
					_, _, err := b.fetch(call{method: r.method, url: s.URL()})
					require.NoError(t, err)
				}
				assert.Equal(t, r.conns, s.Connections())
			})
		})
	}
}

// TestSmuggled: an answer behind an answer never becomes the next one's.
func TestSmuggled(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				path := req.URL.Path
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", len(path), path))
			}
		})
		b := with(Config{})
		for i := range 50 {
			path := fmt.Sprintf("/%d", i)
			_, body, err := b.fetch(call{url: s.URL() + path})
			if err == nil {
				require.Equal(t, path, body)
			}
		}
	})
}

// TestIdle: a connection that its server closes while idle is gone before the
// next exchange, which then has a new one.
func TestIdle(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		b := with(Config{})
		for i := range 20 {
			_, body, err := b.fetch(call{method: "POST", url: s.URL(), body: strings.NewReader("x")})
			require.NoError(t, err)
			require.Equal(t, "ok", body)
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 5*time.Second, time.Millisecond)
			require.Equal(t, i+1, s.Connections())
		}
	})
}

// TestExpiry: what lies idle for too long is closed, each for its own time.
func TestExpiry(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		b := with(Config{IdleTimeout: 20 * time.Millisecond})
		_, _, err := b.fetch(call{url: s.URL})
		require.NoError(t, err)
		require.Equal(t, 1, b.tr.Connections())
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 5*time.Second, time.Millisecond)

		req, _ := http.NewRequest("GET", s.URL, nil)
		x := &Exchange{Observer: &watch{}, IdleTimeout: -1, Key: Key{Scheme: "http", Addr: req.URL.Host}}
		resp, err := b.tr.RoundTrip(req, x)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 0, b.tr.Connections(), "closed as soon as it is idle")
	})
}

// TestLimit: no more connections than allowed, no place lost to exchanges that
// give up, and high priority goes first.
func TestLimit(t *testing.T) {
	const limit, workers, rounds = 4, 50, 20
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		var open, most atomic.Int64
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				runtime.Gosched() // long enough for some to give up
			}
		}))
		b := with(Config{ConnsPerHost: limit, Dialer: &dial.Dialer{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				n := open.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				return &countedConn{Conn: c, closed: func() { open.Add(-1) }}, nil
			}}})
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration((w*7+i*3)%6+1)*time.Millisecond)
					if resp, _, err := b.send(ctx, call{url: s.URL}); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		// a connection leaves the books before it is closed, and its successor may be
		// there already
		assert.LessOrEqual(t, most.Load(), int64(2*limit))
		// all places are there again
		for range 2 * limit {
			_, _, err := b.fetch(call{url: s.URL})
			require.NoError(t, err)
		}
		// and the books are right, once the last dial that was under way has ended
		require.Eventually(t, func() bool {
			b.tr.mu.Lock()
			defer b.tr.mu.Unlock()
			for _, h := range b.tr.hosts {
				if h.open > limit || h.idle.n+h.unused.n != h.open || h.dials > 0 || h.waiters > 0 {
					return false
				}
			}
			return true
		}, 10*time.Second, time.Millisecond)
	})
}

// countedConn tells when it is closed, once.
type countedConn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

func TestPriority(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		var mu sync.Mutex
		var order []string
		hold := make(chan struct{})
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
				return
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.URL.Path)
		}))
		b := with(Config{ConnsPerHost: 1})
		var wg sync.WaitGroup
		wg.Go(func() { b.fetch(call{url: s.URL + "/hold"}) })
		waiting := func(n int) {
			require.Eventually(t, func() bool {
				b.tr.mu.Lock()
				defer b.tr.mu.Unlock()
				for _, h := range b.tr.hosts {
					return h.waiters == n && h.open == 1
				}
				return false
			}, 5*time.Second, time.Millisecond)
		}
		waiting(0)
		for i, c := range []call{{prio: Low}, {prio: Normal}, {prio: High}, {prio: Normal}, {prio: High}} {
			c.url = fmt.Sprintf("%s/%d-%d", s.URL, c.prio, i)
			wg.Go(func() { b.fetch(c) })
			waiting(i + 1)
		}
		close(hold)
		wg.Wait()
		assert.Equal(t, []string{"/0-2", "/0-4", "/1-1", "/1-3", "/2-0"}, order)
	})
}

// TestMultiplexing: a burst over HTTP/2 makes one connection, whatever number of
// streams the server allows.
func TestMultiplexing(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.H2, testserver.H2C} {
		t.Run(string(kind), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *bench) {
				var conns atomic.Int64
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, r.URL.Path)
				}))
				s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 5}
				s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						conns.Add(1)
					}
				}
				proto := Negotiate
				if kind == testserver.H2C {
					proto = HTTP2
					s.Config.Protocols = new(http.Protocols)
					s.Config.Protocols.SetUnencryptedHTTP2(true)
					s.Start()
				} else {
					s.EnableHTTP2 = true
					s.StartTLS()
				}
				defer s.Close()
				b := with(Config{})
				if cert := s.Certificate(); cert != nil {
					b.tls = &Profile{Config: &tls.Config{InsecureSkipVerify: true}}
				}
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						path := fmt.Sprintf("/%d", i)
						// before its SETTINGS have come, a server may refuse what goes beyond
						// its limit; fetch repeats that
						_, body, err := b.fetch(call{url: s.URL + path, proto: proto})
						assert.NoError(t, err)
						assert.Equal(t, path, body)
					})
				}
				wg.Wait()
				// one; a second when the burst was faster than the server's SETTINGS
				assert.LessOrEqual(t, conns.Load(), int64(2))
				b.tr.Close()
			})
		})
	}
}

// TestObserver: what an exchange is told, and that it can stop before anything
// is sent.
func TestObserver(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		var served atomic.Int64
		s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Add(1) }))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		w := &watch{}
		_, _, err := b.fetch(call{url: s.URL, watch: w})
		require.NoError(t, err)
		assert.Equal(t, "connecting encrypted sending", w.list())
		w = &watch{}
		_, _, err = b.fetch(call{url: s.URL, watch: w})
		require.NoError(t, err)
		assert.Equal(t, "sending", w.list())

		ctx, cancel := context.WithCancel(t.Context())
		_, _, err = b.send(ctx, call{url: s.URL, watch: &watch{onSend: cancel}})
		require.ErrorIs(t, err, context.Canceled)
		assert.EqualValues(t, 2, served.Load(), "the third was stopped before it was sent")
		b.tr.CloseIdle()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 5*time.Second, time.Millisecond)
	})
}

// TestProfiles: two TLS configurations never meet on one connection.
func TestProfiles(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		b := with(Config{})
		b.tls = &Profile{Config: &tls.Config{InsecureSkipVerify: true}}
		_, _, err := b.fetch(call{url: s.URL})
		require.NoError(t, err)
		b.tls = &Profile{Config: &tls.Config{}} // strict, and does not know the root
		_, _, err = b.fetch(call{url: s.URL})
		fault, phase := faultOf(err)
		assert.Equal(t, Other, fault)
		assert.Equal(t, TLS, phase)
		b.tls = &Profile{Config: cfg}
		_, _, err = b.fetch(call{url: s.URL})
		require.NoError(t, err)
	})
}

// TestSwitch: 101 hands the connection over.
func TestSwitch(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi ")
			line, _ := c.R.ReadString('\n')
			c.Say(line)
		})
		b := with(Config{})
		resp, _, err := b.send(t.Context(), call{url: s.URL(), header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		_, err = io.WriteString(resp.Body.(io.Writer), "there\n")
		require.NoError(t, err)
		all, _ := io.ReadAll(resp.Body)
		assert.Equal(t, "hi there\n", string(all))
		resp.Body.Close()
	})
}

// TestSource: an error of the request body is told as such, and a body that blocks is told
// that its server goes away.
func TestSource(t *testing.T) {
	bad := errors.New("the disk is gone")
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.R.ReadByte()
		})
		b := with(Config{})
		failing := readerFunc(func([]byte) (int, error) { return 0, &SourceError{bad} })
		_, _, err := b.fetch(call{method: "POST", url: s.URL(), body: failing, length: 9})
		fault, phase := faultOf(err)
		assert.Equal(t, Source, fault)
		assert.Equal(t, Send, phase)
		assert.ErrorIs(t, err, bad)

		first := true
		ended := make(chan (<-chan struct{}), 1)
		w := &watch{onConn: func(c Conn) { ended <- c.Ended }}
		blocked := readerFunc(func(p []byte) (int, error) {
			if first {
				first = false
				p[0] = 'x'
				return 1, nil
			}
			<-<-ended
			return 0, errors.New("nobody is there any more")
		})
		_, _, err = b.fetch(call{method: "POST", url: s.URL(), body: blocked, length: 9, watch: w})
		fault, _ = faultOf(err)
		assert.Equal(t, Closed, fault, "%v", err)
	})
}

// TestLateBinding: an exchange that waits takes what is freed first, and its own
// dial goes to the pool for the next.
func TestLateBinding(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
		slow := make(chan struct{})
		var dials atomic.Int64
		b := with(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 2 {
				<-slow
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}})
		first, _, err := b.send(t.Context(), call{url: s.URL})
		require.NoError(t, err)
		done := make(chan error, 1)
		w := &watch{}
		go func() {
			_, _, err := b.fetch(call{url: s.URL, watch: w})
			done <- err
		}()
		require.Eventually(t, func() bool { return dials.Load() == 2 }, 5*time.Second, time.Millisecond)
		io.Copy(io.Discard, first.Body)
		first.Body.Close()
		require.NoError(t, <-done, "on the connection that the first gave back")
		close(slow)
		require.Eventually(t, func() bool { return b.tr.Connections() == 2 }, 5*time.Second, time.Millisecond)
		assert.EqualValues(t, 2, dials.Load())
	})
}

// TestGivenUp: a dial that nobody waits for any more ends.
func TestGivenUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		ended := make(chan error, 1)
		b := with(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _, err := b.send(ctx, call{url: "http://x:1"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// TestTLSReuse: session tickets in the socket are no reason not to use it again.
func TestTLSReuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		fresh := 0
		for range 50 {
			resp, x, err := b.send(t.Context(), call{url: s.URL})
			require.NoError(t, err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if !x.Conn.Reused {
				fresh++
			}
		}
		assert.Equal(t, 1, fresh)
	})
}

// TestBodyClosed: the request body is closed on every path, and before its source
// may be used again.
func TestBodyClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			req, _, ok := c.Request()
			if ok && req.URL.Path == "/ok" {
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		b := with(Config{})
		for _, url := range []string{s.URL() + "/ok", s.URL() + "/silence", "http://127.0.0.1:1/"} {
			body := &closing{Reader: strings.NewReader("body")}
			b.fetch(call{method: "POST", url: url, body: body, length: 4})
			require.Eventually(t, func() bool { return body.n.Load() > 0 }, 5*time.Second, time.Millisecond, url)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		body := &closing{Reader: strings.NewReader("body")}
		_, _, err := b.send(ctx, call{method: "POST", url: s.URL(), body: body, length: 4})
		require.Error(t, err)
		assert.Positive(t, body.n.Load())
	})
}

type closing struct {
	io.Reader
	n atomic.Int64
}

func (c *closing) Close() error { c.n.Add(1); return nil }

// TestExpect: the body waits for 100 Continue, and does not go out behind a
// refusal that ends the connection.
func TestExpect(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *bench) {
		got := make(chan string, 2)
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			req, ok := c.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/no" {
				c.Say("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				rest, _ := io.ReadAll(c.R)
				got <- string(rest)
				return
			}
			c.Say("HTTP/1.1 100 Continue\r\n\r\n")
			body, _ := io.ReadAll(req.Body)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			got <- string(body)
		})
		b := with(Config{})
		for path, want := range map[string][2]any{"/yes": {200, "body"}, "/no": {417, ""}} {
			status, _, err := b.fetch(call{method: "POST", url: s.URL() + path, body: strings.NewReader("body"), length: 4, header: http.Header{"Expect": {"100-continue"}}})
			require.NoError(t, err)
			assert.Equal(t, want[0], status)
			b.tr.CloseIdle()
			assert.Equal(t, want[1], <-got)
		}
	})
}
