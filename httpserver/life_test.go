package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// send opens a connection and sends bytes on it.
func send(t testing.TB, addr, request string) net.Conn {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	return c
}

// sendH2 opens a connection with a request of HTTP/2 on it.
func sendH2(t testing.TB, addr, method string) net.Conn { return send(t, addr, requestH2(method)) }

// requestH2 is all that a client sends to ask for "/".
func requestH2(method string) string {
	var block, all bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, kv := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}} {
		e.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1]})
	}
	all.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&all, nil)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: method != "POST"})
	return all.String()
}

// ways serves an answer by every way there is to make a Responder that hears of its client, and
// returns the addresses.
func ways(t *testing.T, f answer) map[string]string {
	s := newServer(t, httpserver.Config{HTTP2Cleartext: true, ErrorLog: quiet()})
	s.Handle("/", f)
	mounted := newServer(t, httpserver.Config{HTTP2Cleartext: true, ErrorLog: quiet()})
	mounted.HandleHTTP("/", withNew(f))
	mounted.Use(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(around{w}, r.WithContext(context.WithValue(r.Context(), around{}, "x")))
		})
	})
	return map[string]string{"HandlerFunc": serve(t, httpserver.HandlerFunc(f)), "Handle": listen(t, s), "New, middleware": listen(t, mounted)}
}

// within waits for what a test cannot go on without.
func within[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("it takes for ever until", what)
	}
	return v
}

// calls are all that use an exchange.
var calls = map[string]func(*httpserver.Responder) error{
	"WriteStatus":        func(s *httpserver.Responder) error { return s.WriteStatus() },
	"WriteHeaders":       func(s *httpserver.Responder) error { return s.WriteHeaders(headers.New("X", "y")) },
	"WriteJSON":          func(s *httpserver.Responder) error { return s.WriteJSON(1) },
	"WriteData":          func(s *httpserver.Responder) error { return s.WriteData([]byte("x"), "a/b") },
	"WriteReader":        func(s *httpserver.Responder) error { return s.WriteReader(strings.NewReader("x"), "a/b") },
	"sequential":         func(s *httpserver.Responder) error { return s.WriteReader(sequential{strings.NewReader("x")}, "a/b") },
	"SendResponse":       func(s *httpserver.Responder) error { return s.SendResponse(httpserver.TextResponse("x")) },
	"WriteBeginChunked":  func(s *httpserver.Responder) error { return s.WriteBeginChunked("a/b") },
	"WriteChunk":         func(s *httpserver.Responder) error { return s.WriteChunk([]byte("x")) },
	"WriteEndChunked":    func(s *httpserver.Responder) error { return s.WriteEndChunked([]byte("x")) },
	"Events":             func(s *httpserver.Responder) error { _, err := s.Events(); return err },
	"WriteInformational": func(s *httpserver.Responder) error { return s.WriteInformational(103, headers.Headers{}) },
	"SetWriteDeadline":   func(s *httpserver.Responder) error { return s.SetWriteDeadline(time.Time{}) },
	"WriteContent": func(s *httpserver.Responder) error {
		return s.WriteContent("x", time.Time{}, strings.NewReader("x"), headers.Headers{})
	},
}

// TestUseAfterReturn: what outlives its handler gets an error, and a Responder that nobody
// has made is no better.
func TestUseAfterReturn(t *testing.T) {
	var left *httpserver.Responder
	var stream *httpserver.EventStream
	var body io.Reader
	all := ways(t, func(r *http.Request, s *httpserver.Responder) {
		left, body = s, r.Body
		var err error
		stream, err = s.Events()
		assert.NoError(t, err)
		assert.NoError(t, stream.Close())
	})
	asks := map[string]func(){"nobody": func() { left, stream = new(httpserver.Responder), new(httpserver.EventStream) }}
	for way, addr := range all {
		asks["h1, "+way] = func() { raw(t, addr, h1("GET")) }
		asks["HTTP/1.0, "+way] = func() { raw(t, addr, "GET / HTTP/1.0\r\n\r\n") }
		asks["h1 with a body, "+way] = func() { raw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx") }
		asks["h2, "+way] = func() { frames(t, addr, "GET") }
	}
	for name, ask := range asks {
		ask()
		for call, f := range calls {
			assert.ErrorIs(t, f(left), httpserver.ErrHandlerReturned, "%s, %s", name, call)
		}
		assert.ErrorIs(t, stream.Send(httpserver.Event{Data: "x"}), httpserver.ErrHandlerReturned, name)
		assert.ErrorIs(t, stream.Comment("x"), httpserver.ErrHandlerReturned, name)
		assert.ErrorIs(t, stream.Close(), httpserver.ErrHandlerReturned, name)
		assert.True(t, left.IsResponseCanceled(), name)
		assert.True(t, left.Responded(), name)
		assert.Error(t, left.Context().Err(), name)
		if strings.HasPrefix(name, "h1 with a body") {
			_, err := body.Read(make([]byte, 1))
			assert.Error(t, err)
		}
	}
}

// TestUseWhileReturning: a goroutine that is left behind disturbs nothing.
func TestUseWhileReturning(t *testing.T) {
	var left sync.WaitGroup
	defer left.Wait()
	for name, f := range map[string]func(*http.Request, *httpserver.Responder) error{
		"chunks": func(_ *http.Request, s *httpserver.Responder) error { return s.WriteChunk([]byte("x")) },
		"reading": func(r *http.Request, s *httpserver.Responder) error {
			_, err := r.Body.Read(make([]byte, 1))
			return err
		},
		"context": func(_ *http.Request, s *httpserver.Responder) error { return s.Context().Err() },
	} {
		addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
			assert.NoError(t, s.WriteBeginChunked("a/b"))
			begun := make(chan struct{})
			var once sync.Once
			left.Go(func() {
				for {
					err := f(r, s)
					once.Do(func() { close(begun) })
					if err != nil {
						return
					}
				}
			})
			if name != "reading" {
				<-begun
			}
			assert.NoError(t, s.WriteEndChunked(nil))
		}))
		request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		if name == "reading" {
			request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"
		}
		c := send(t, addr, request)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if assert.NoError(t, err, name) {
			_, err = io.Copy(io.Discard, resp.Body)
			assert.NoError(t, err, name)
		}
	}
}

// silent is a source that has nothing to say until it is closed, but begin.
type silent struct {
	begin  io.Reader
	closed chan struct{}
	once   sync.Once
	reads  chan struct{} // told of every Read that waits
}

func newSilent(begin string) *silent {
	return &silent{begin: strings.NewReader(begin), closed: make(chan struct{}), reads: make(chan struct{}, 1)}
}

func (s *silent) Read(p []byte) (int, error) {
	if n, _ := s.begin.Read(p); n > 0 {
		return n, nil
	}
	s.reads <- struct{}{}
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s *silent) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

// sized says how much it will give.
type sized struct {
	*silent
	n int
}

func (s sized) Len() int { return s.n }

// TestSilentSource: a source is closed when the client goes, and the handler ends.
func TestSilentSource(t *testing.T) {
	for name, ask := range map[string]func(addr string) net.Conn{
		"h1":       func(addr string) net.Conn { return send(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"HTTP/1.0": func(addr string) net.Conn { return send(t, addr, "GET / HTTP/1.0\r\n\r\n") },
		"unread body": func(addr string) net.Conn {
			return send(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
		},
		"body that does not come": func(addr string) net.Conn {
			return send(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nb")
		},
		"h2": func(addr string) net.Conn { return sendH2(t, addr, "GET") },
	} {
		for kind, wrap := range map[string]func(*silent) io.Reader{
			"sequential": func(s *silent) io.Reader { return s },
			"sized":      func(s *silent) io.Reader { return sized{s, 10} },
			"large":      func(s *silent) io.Reader { return sized{s, large} },
		} {
			for _, begin := range []string{"", "begin"} {
				name := fmt.Sprintf("%s, %s source that begins with %q", name, kind, begin)
				sources, over := make(chan *silent, 1), make(chan error, 1)
				for way, addr := range ways(t, func(_ *http.Request, s *httpserver.Responder) {
					over <- s.WriteReader(wrap(<-sources), "a/b")
				}) {
					name, src := name+", "+way, newSilent(begin)
					sources <- src
					c := ask(addr)
					within(t, src.reads, "the source is read: "+name)
					c.Close()
					assert.ErrorIs(t, within(t, over, "the handler ends: "+name), context.Canceled, name)
				}
			}
		}
	}
}

// TestClientGoes: that a client does not take an answer is not the source's fault.
func TestClientGoes(t *testing.T) {
	name := t.TempDir() + "/f"
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.NoError(t, os.Truncate(name, 1<<30))
	for how, do := range map[string]func(*httpserver.Responder, *os.File) error{
		"WriteReader": func(s *httpserver.Responder, f *os.File) error { return s.WriteReader(f, "a/b") },
		"WriteContent": func(s *httpserver.Responder, f *os.File) error {
			return s.WriteContent("f", time.Time{}, f, headers.Headers{})
		},
		"sequential": func(s *httpserver.Responder, f *os.File) error { return s.WriteReader(sequential{f}, "a/b") },
	} {
		begun, over := make(chan struct{}, 1), make(chan error, 1)
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
			begun <- struct{}{}
			f, err := os.Open(name)
			require.NoError(t, err)
			defer f.Close()
			over <- do(s, f)
		}))
		for _, c := range []net.Conn{send(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), sendH2(t, addr, "GET")} {
			within(t, begun, "the handler begins") // on HTTP/2 the server's SETTINGS come before
			_, err := c.Read(make([]byte, 1))
			require.NoError(t, err)
			c.Close()
			err = within(t, over, "the answer ends")
			assert.Error(t, err, how)
			var src *httpserver.SourceError
			assert.False(t, errors.As(err, &src), "%s: %v", how, err)
		}
	}
}

// TestContextEnds: with the client, whatever it has sent of its body.
func TestContextEnds(t *testing.T) {
	half := strings.Repeat("x", 128<<10)
	for name, request := range map[string]string{
		"no body":      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"whole body":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"half a body":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo",
		"large body":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 131072\r\n\r\n" + half,
		"chunked body": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n",
		"close":        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbo",
	} {
		for how, wait := range map[string]func(*httpserver.Responder) context.Context{
			"Context": func(s *httpserver.Responder) context.Context { return s.Context() },
			"Events": func(s *httpserver.Responder) context.Context {
				_, err := s.Events()
				assert.NoError(t, err)
				return s.Context()
			},
		} {
			begun, over := make(chan struct{}, 1), make(chan bool, 1)
			for way, addr := range ways(t, func(_ *http.Request, s *httpserver.Responder) {
				ctx := wait(s)
				begun <- struct{}{}
				<-ctx.Done()
				over <- s.IsResponseCanceled()
			}) {
				c := send(t, addr, request)
				within(t, begun, "the handler begins: "+name+", "+way)
				c.Close()
				assert.True(t, within(t, over, "the context ends: "+name+", "+how+", "+way))
			}
		}
	}
}

// TestReadAhead: what is read before its handler wants it is all there, and the connection
// serves the next request.
func TestReadAhead(t *testing.T) {
	for _, size := range []int{1, 1000, 256 << 10, 3 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for way, addr := range ways(t, func(r *http.Request, s *httpserver.Responder) {
			assert.NoError(t, s.Context().Err())
			got, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(body, got), "%d of %d bytes", len(got), size)
			if r.Context().Value(around{}) == nil { // middleware that copies a request loses what was not announced, as with net/http
				assert.Equal(t, "sum", r.Trailer.Get("X-Sum"))
			}
			assert.NoError(t, s.WriteStatus())
		}) {
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			in := bufio.NewReader(c)
			for range 2 {
				_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: sum\r\n\r\n", size, body)
				require.NoError(t, err)
				resp, err := http.ReadResponse(in, nil)
				require.NoError(t, err)
				assert.Equal(t, 200, resp.StatusCode, way)
				assert.False(t, resp.Close, way)
			}
		}
	}
}

// TestUnreadBody: the rest of a body that was asked for in vain is never taken for a
// request.
func TestUnreadBody(t *testing.T) {
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for way, addr := range ways(t, func(r *http.Request, s *httpserver.Responder) {
		assert.NotEqual(t, "/smuggled", r.URL.Path)
		s.Context()
		assert.NoError(t, s.WriteBeginChunked("a/b"))
		assert.NoError(t, s.WriteEndChunked([]byte("x")))
	}) {
		c := send(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "x", string(got))
		io.WriteString(c, smuggled) // an error says the same: the connection has ended
		rest, _ := io.ReadAll(c)
		assert.Empty(t, string(rest), way)
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	return list
}

// TestMultipartCleared: files of a form that was parsed are removed, though the handler's
// request is not net/http's.
func TestMultipartCleared(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	seen := 0
	parse := func(r *http.Request, s *httpserver.Responder) {
		assert.NoError(t, r.ParseMultipartForm(1))
		seen = len(entries(t, dir))
		assert.NoError(t, s.WriteStatus())
	}
	server := newServer(t, httpserver.Config{})
	server.Handle("/Handle", parse)
	server.HandleHTTP("/HandleHTTP", httpserver.HandlerFunc(parse))
	server.HandleHTTP("/New", withNew(parse))
	addr, onServer := serve(t, httpserver.HandlerFunc(parse)), listen(t, server)
	body := "--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + strings.Repeat("x", large*11) + "\r\n--b--\r\n"
	for path, addr := range map[string]string{"/": addr, "/Handle": onServer, "/HandleHTTP": onServer, "/New": onServer} {
		seen = 0
		raw(t, addr, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
		assert.Equal(t, 1, seen, path)
		assert.Empty(t, entries(t, dir), path)
	}
}

// TestUnwrapped: a handler that takes the connection over has answered by itself.
func TestUnwrapped(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		c, _, err := http.NewResponseController(s.Unwrap()).Hijack()
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "its own")
		assert.NoError(t, err)
	}))
	assert.Equal(t, "its own", raw(t, addr, h1("GET")))
}

// TestGoexit: as with net/http, a handler that ends its goroutine ends the connection.
func TestGoexit(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		new(testing.T).SkipNow()
	}))
	got, _ := rawUntil(t, addr, h1("GET"))
	assert.Empty(t, got)
}

var errNotCalled = errors.New("the handler was not called")

// TestSwapUnanswered: each request ends with its own handler, and an answer for another
// does not count.
func TestSwapUnanswered(t *testing.T) {
	other := httptest.NewRecorder()
	err := errNotCalled
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		httpserver.HandlerFunc(func(_ *http.Request, o *httpserver.Responder) {
			s.Swap(o)
			err = s.WriteData([]byte("for the other"), "a/b")
		}).ServeHTTP(other, httptest.NewRequest("GET", "/", nil))
	}))
	assert.Contains(t, raw(t, addr, h1("GET")), "HTTP/1.1 500 ")
	assert.NoError(t, err)
	assert.Equal(t, "for the other", other.Body.String())
}
