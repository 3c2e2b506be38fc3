package httpserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/httpserver"
)

// pipes is a listener whose connections hold nothing: what is written has been read, and
// its time is that of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// bubble runs f with a server in a synctest bubble.
func bubble(t *testing.T, c httpserver.Config, handle answer, f func(t *testing.T, l *pipes)) {
	bubbleAt(t, c, "/", handle, f)
}

// bubbleAt is bubble with a server that knows nothing but a pattern.
func bubbleAt(t *testing.T, c httpserver.Config, pattern string, handle answer, f func(t *testing.T, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, c)
		s.Handle(pattern, handle)
		l := newPipes()
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		f(t, l)
		s.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
		time.Sleep(time.Minute) // net/http gives clients time to read its last words
	})
}

// every writes or reads a piece at a time with a pause before each.
func every(pause time.Duration, pieces int, f func() error) error {
	for range pieces {
		time.Sleep(pause)
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

const piece = 64 << 10

var patient = httpserver.Config{StallTimeout: 15 * time.Second, KeepAliveTimeout: 5 * time.Second, HTTP2Cleartext: true}

// TestIdleClients: clients that do nothing hold neither handlers nor connections.
func TestIdleClients(t *testing.T) {
	s := newServer(t, httpserver.Config{StallTimeout: 50 * time.Millisecond})
	var handlers sync.WaitGroup
	var begun sync.WaitGroup
	s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		defer handlers.Done()
		begun.Done()
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			w.WriteData(make([]byte, 64<<20), "a/b")
		}
	})
	addr := listen(t, s)
	for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nx", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		for range 20 {
			handlers.Add(1)
			begun.Add(1)
			send(t, addr, request)
		}
	}
	begun.Wait()
	over := make(chan struct{})
	go func() { handlers.Wait(); close(over) }()
	within(t, over, "the handlers end")
	assert.NoError(t, s.Shutdown(t.Context()))
}

// TestHeadLimits: what is too long is told by what is too long.
func TestHeadLimits(t *testing.T) {
	request := func(target string, fields ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) []string { return strings.Split(strings.TrimSuffix(strings.Repeat("X: y,", n), ","), ",") }
	for _, c := range []struct {
		cfg     httpserver.Config
		request string
		want    string
	}{
		{httpserver.Config{}, request("/" + long(60_000)), "200"},
		{httpserver.Config{}, request("/" + long(66_000)), "414"},
		{httpserver.Config{}, request("/" + long(900_000)), "414"},
		{httpserver.Config{MaxURLSize: 100}, request("/" + long(100)), "414"},
		{httpserver.Config{MaxURLSize: 100}, request("/" + long(9_000)), "414"},
		{httpserver.Config{MaxURLSize: -1}, request("/" + long(900_000)), "200"},
		{httpserver.Config{}, request("/", "X: "+long(40_000)), "200"},
		{httpserver.Config{}, request("/", "X: "+long(50_000)), "431"},
		{httpserver.Config{}, request("/", "X: "+long(40_000), "Y: "+long(40_000)), "431"},
		{httpserver.Config{MaxHeaderSize: -1}, request("/", "X: "+long(40_000), "Y: "+long(40_000)), "200"},
		{httpserver.Config{MaxHeaderFieldSize: -1}, request("/", "X: "+long(50_000)), "200"},
		{httpserver.Config{MaxHeaderFieldSize: 100}, request("/", "X: "+long(100)), "431"},
		{httpserver.Config{MaxHeaderSize: 100, MaxURLSize: -1}, request("/"+long(900_000), "X: "+long(100)), "431"},
		{httpserver.Config{}, request("/", many(126)...), "200"},
		{httpserver.Config{}, request("/", many(127)...), "431"},
		{httpserver.Config{MaxHeaderFields: 10}, request("/", many(9)...), "431"},
		{httpserver.Config{MaxHeaderFields: -1}, request("/", many(1000)...), "200"},
		{httpserver.Config{MaxBodySize: -1}, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "200"},
	} {
		s := newServer(t, c.cfg)
		s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
			_, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			assert.NoError(t, w.WriteStatus())
		})
		got := raw(t, listen(t, s), c.request)
		assert.Equal(t, "HTTP/1.1 "+c.want, got[:min(12, len(got))], "%+v, %.40q and %d bytes", c.cfg, c.request, len(c.request))
	}
}

// TestTooLargeIsRead: a client that is still sending gets to read why it should not.
func TestTooLargeIsRead(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxBodySize: 1000})
	s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		_, err := io.Copy(io.Discard, r.Body)
		var large *http.MaxBytesError
		if assert.ErrorAs(t, err, &large) {
			assert.EqualValues(t, 1000, large.Limit)
		}
		assert.NoError(t, w.WriteStatus(httpserver.PayloadTooLarge))
	})
	addr := listen(t, s)
	for _, head := range []string{"Content-Length: 3000000", "Transfer-Encoding: chunked"} {
		c := send(t, addr, "POST / HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n")
		if strings.HasPrefix(head, "T") {
			fmt.Fprintf(c, "%x\r\n", 3_000_000)
		}
		_, err := c.Write(make([]byte, 300_000))
		require.NoError(t, err)
		got, err := io.ReadAll(c)
		assert.NoError(t, err, head)
		assert.Contains(t, string(got), "HTTP/1.1 413 ", head)
	}
}

// TestConnectionLimits: those beyond are closed, and make place when they end.
func TestConnectionLimits(t *testing.T) {
	for name, c := range map[string]httpserver.Config{
		"all":      {MaxConnections: 2, HTTP2Cleartext: true},
		"per host": {MaxConnectionsPerHost: 2, HTTP2Cleartext: true},
	} {
		s := newServer(t, c)
		s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
			if r.URL.Path == "/taken" {
				conn, _, err := http.NewResponseController(w.Unwrap()).Hijack()
				if assert.NoError(t, err) {
					conn.Close()
				}
				return
			}
			assert.NoError(t, w.WriteStatus())
		})
		addr := listen(t, s)
		ask := func() (net.Conn, error) {
			c := send(t, addr, "")
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return c, err
			}
			_, err := http.ReadResponse(bufio.NewReader(c), nil)
			return c, err
		}
		first, err := ask()
		require.NoError(t, err, name)
		second, err := ask()
		require.NoError(t, err, name)
		_, err = ask()
		assert.Error(t, err, name)
		for _, end := range []func(){
			func() { first.Close() },
			func() { io.WriteString(second, "GET /taken HTTP/1.1\r\nHost: x\r\n\r\n") },
		} {
			end()
			require.Eventually(t, func() bool { _, err := ask(); return err == nil }, 20*time.Second, time.Millisecond, name)
			_, err = ask()
			assert.Error(t, err, name)
		}
		s.Close()
	}
}

// TestConnectionLimitHTTP2: a connection counts until its end whatever it speaks.
func TestConnectionLimitHTTP2(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxConnections: 1, HTTP2Cleartext: true})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
	addr := listen(t, s)
	for range 3 {
		require.Eventually(t, func() bool {
			c := send(t, addr, "")
			defer c.Close()
			io.WriteString(c, requestH2("GET"))
			f := http2.NewFramer(c, c)
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return false
				}
				if _, ok := frame.(*http2.HeadersFrame); ok {
					return true
				}
			}
		}, 20*time.Second, time.Millisecond)
	}
}

// TestWriteDeadline: the handler's own deadline holds besides the server's limit.
func TestWriteDeadline(t *testing.T) {
	var took time.Duration
	handle := func(_ *http.Request, s *httpserver.Responder) {
		began := time.Now()
		assert.NoError(t, s.SetWriteDeadline(began.Add(time.Second)))
		assert.Error(t, s.WriteData(make([]byte, large), "a/b"))
		took = time.Since(began)
	}
	bubble(t, patient, handle, func(t *testing.T, l *pipes) {
		conn := l.dial()
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, time.Second, took)
	})
}

// TestNoLimitsHTTP2: where there is none, a large head passes.
func TestNoLimitsHTTP2(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxURLSize: -1, MaxHeaderSize: -1, MaxHeaderFieldSize: -1, HTTP2Cleartext: true})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { assert.NoError(t, w.WriteStatus()) })
	rt := &http.Transport{Protocols: new(http.Protocols)}
	rt.Protocols.SetUnencryptedHTTP2(true)
	defer rt.CloseIdleConnections()
	req, err := http.NewRequest("GET", "http://"+listen(t, s)+"/"+strings.Repeat("x", 100_000), nil)
	require.NoError(t, err)
	req.Header.Set("X", strings.Repeat("x", 300_000))
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 200, resp.StatusCode)
}

// TestLimitsHTTP2: the same limits hold there.
func TestLimitsHTTP2(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxBodySize: 10, HTTP2Cleartext: true})
	s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			assert.NoError(t, w.WriteStatus(httpserver.PayloadTooLarge))
			return
		}
		assert.NoError(t, w.WriteStatus())
	})
	addr := listen(t, s)
	rt := &http.Transport{Protocols: new(http.Protocols)}
	rt.Protocols.SetUnencryptedHTTP2(true)
	defer rt.CloseIdleConnections()
	for want, change := range map[int]func(*http.Request){
		200: func(*http.Request) {},
		414: func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("x", 66_000) },
		431: func(r *http.Request) { r.Header.Set("X", strings.Repeat("x", 50_000)) },
		413: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 11))), -1
		},
	} {
		req, err := http.NewRequest("POST", "http://"+addr+"/", nil)
		require.NoError(t, err)
		change(req)
		resp, err := rt.RoundTrip(req)
		if assert.NoError(t, err, want) {
			resp.Body.Close()
			assert.Equal(t, want, resp.StatusCode)
		}
	}
}

// TestRefusedHTTP2: a request beyond a limit does not end the connection for others.
func TestRefusedHTTP2(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxHeaderSize: 1, HTTP2Cleartext: true})
	c := send(t, listen(t, s), requestH2("GET"))
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, f.WritePing(false, [8]byte{}))
	status, answered := "", false
	for status == "" || !answered {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status = frame.PseudoValue("status")
			require.NoError(t, f.WritePing(false, [8]byte{1}))
		case *http2.PingFrame:
			answered = frame.Data[0] == 1
		case *http2.GoAwayFrame:
			t.Fatal("the connection ends")
		}
	}
	assert.Equal(t, "431", status)
}

// TestUnsentBody: a client that waits with its body gets the answer of a handler that does not
// want it.
func TestUnsentBody(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"small": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }),
		"large": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2*piece)) }),
		"none":  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		"New":   withNew(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, s.WriteStatus()) }),
	} {
		serveIn(t, patient, func(s *httpserver.Server) { s.HandleHTTP("/{$}", h) }, func(t *testing.T, l *pipes) {
			for path, status := range map[string]int{"/": 200, "/missing": 404} {
				conn := l.dial()
				defer conn.Close()
				io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err, "%s, %s", name, path)
				_, err = io.Copy(io.Discard, resp.Body)
				assert.NoError(t, err, "%s, %s", name, path)
				assert.Equal(t, status, resp.StatusCode, "%s, %s", name, path)
			}
		})
	}
}
