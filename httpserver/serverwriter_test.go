package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// quiet logs nothing.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// named is middleware that leaves its name in the answer.
func named(name string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Via", name)
			h.ServeHTTP(w, r)
		})
	}
}

// TestHandleHTTP: handlers of net/http get what they get from net/http.
func TestHandleHTTP(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "big.txt"), big, 0o600))
	s := newServer(t, httpserver.Config{HTTP2Cleartext: true})
	s.HandleHTTP("GET /files/", http.StripPrefix("/files", http.FileServerFS(os.DirFS(dir))))
	s.HandleHTTP("/flush", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "one")
		w.(http.Flusher).Flush()
		assert.NoError(t, http.NewResponseController(w).Flush())
		fmt.Fprint(w, "two")
	}))
	s.HandleHTTP("/take", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if r.ProtoMajor > 1 {
			assert.ErrorIs(t, err, http.ErrNotSupported)
			return
		}
		require.NoError(t, err)
		defer c.Close()
		rw.WriteString("mine")
		assert.NoError(t, rw.Flush())
	}))
	s.HandleHTTP("/echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
		assert.NoError(t, http.NewResponseController(w).Flush())
		_, err := io.Copy(w, r.Body)
		assert.NoError(t, err)
		w.Header().Set(http.TrailerPrefix+"X-Sum", r.Trailer.Get("X-Sum"))
	}))
	s.HandleHTTP("/hints", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	}))
	s.Use(named("outer"), named("inner"))
	s.Use(named("innermost"))
	addr := listen(t, s)
	get := func(path, extra string) string {
		return raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+extra+"\r\n")
	}
	head, body, _ := strings.Cut(get("/files/big.txt", ""), "\r\n\r\n")
	assert.Contains(t, head+"\r\n", "\r\nVia: outer\r\nVia: inner\r\nVia: innermost\r\n")
	assert.Contains(t, head, "Content-Length: 320000\r\n")
	assert.True(t, string(big) == body)
	_, body, _ = strings.Cut(get("/files/big.txt", "Range: bytes=100000-299999\r\n"), "\r\n\r\n")
	assert.True(t, string(big[100_000:300_000]) == body)
	assert.Contains(t, get("/files/none", ""), "HTTP/1.1 404 ")
	assert.Contains(t, get("/none", ""), "Via: innermost\r\n")
	assert.Contains(t, get("/flush", ""), "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
	assert.Equal(t, "mine", get("/take", ""))
	assert.Contains(t, get("/hints", ""), "HTTP/1.1 103 Early Hints\r\nVia: outer\r\nVia: inner\r\nVia: innermost\r\n\r\nHTTP/1.1 202 Accepted\r\n")
	got := raw(t, addr, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
	assert.Contains(t, got, "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
	assert.Regexp(t, "^HEADERS :status=404 ", frames(t, addr, "GET"))
	s.SetMissingHandler(func(r *http.Request, w *httpserver.Responder) { assert.NoError(t, w.WriteStatus(httpserver.Gone)) })
	assert.Contains(t, get("/none", ""), "Via: innermost\r\n")
}

// TestHandleHTTPLimits: others than Responders are under the same limits.
func TestHandleHTTPLimits(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxBodySize: 10})
	s.HandleHTTP("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		var large *http.MaxBytesError
		assert.ErrorAs(t, err, &large)
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	got := raw(t, listen(t, s), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n")
	assert.Contains(t, got, "HTTP/1.1 413 ")
	assert.Contains(t, got, "Connection: close\r\n")
}

// serveIn runs f with a server in a synctest bubble.
func serveIn(t *testing.T, c httpserver.Config, route func(*httpserver.Server), f func(t *testing.T, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, c)
		route(s)
		l := newPipes()
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		f(t, l)
		s.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
		time.Sleep(time.Minute) // net/http gives clients time to read its last words
	})
}

// TestHandleHTTPStalls: a client that takes nothing is given up, one that is slow is not, and
// a slow source is nobody's fault.
func TestHandleHTTPStalls(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, make([]byte, 20*piece), 0o600))
	var got error
	var took time.Duration
	timed := func(f func(w http.ResponseWriter) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			got = f(w)
			took = time.Since(began)
		})
	}
	route := func(s *httpserver.Server) {
		s.HandleHTTP("/data", timed(func(w http.ResponseWriter) error { _, err := w.Write(make([]byte, 20*piece)); return err }))
		s.HandleHTTP("/file", timed(func(w http.ResponseWriter) error {
			f, err := os.Open(file)
			require.NoError(t, err)
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		}))
		s.HandleHTTP("/source", timed(func(w http.ResponseWriter) error {
			pr, pw := io.Pipe()
			go func() {
				every(time.Hour, 20, func() error { _, err := pw.Write([]byte("x")); return err })
				pw.Close()
			}()
			_, err := io.Copy(w, pr)
			return err
		}))
	}
	for path, reads := range map[string]int{"/data": 0, "/file": 0, "/data?slow": 20, "/file?slow": 20, "/source": 20} {
		got, took = nil, 0
		serveIn(t, patient, route, func(t *testing.T, l *pipes) {
			conn := l.dial()
			defer conn.Close()
			io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if path == "/source" {
				all, err := io.ReadAll(conn)
				assert.NoError(t, err)
				assert.True(t, bytes.HasSuffix(all, []byte("\r\n\r\n"+strings.Repeat("x", 20))))
			} else {
				buf := make([]byte, piece/8)
				every(time.Second, reads*8, func() error { _, err := io.ReadFull(conn, buf); return err })
				io.CopyN(io.Discard, conn, int64(reads)*piece)
			}
			time.Sleep(time.Minute)
			conn.Close()
			synctest.Wait()
		})
		if reads > 0 {
			assert.NoError(t, got, path)
			assert.Greater(t, took, 19*8*time.Second, path)
		} else {
			assert.ErrorIs(t, got, os.ErrDeadlineExceeded, path)
			assert.Less(t, took, 31*time.Second, path)
		}
	}
}

// every answer of a Server, by its path.
func routes(s *httpserver.Server) {
	s.Route("/response", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("text", httpserver.Accepted) })
	s.Route("/nothing", func(*http.Request) *httpserver.Response { return nil })
	s.Handle("/data", func(_ *http.Request, w *httpserver.Responder) { w.WriteData([]byte("data"), "a/b") })
	s.Handle("/source", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteReader(sequential{strings.NewReader("sequential")}, "a/b")
	})
	s.Handle("/content", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteContent("f.txt", time.Time{}, strings.NewReader("content"), headers.Headers{})
	})
	s.Handle("/chunks", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteBeginChunkedWith(headers.New("Content-Type", "a/b"), []string{"X-Sum"})
		w.WriteChunk([]byte("one"))
		w.WriteEndChunkedWith([]byte("two"), headers.New("X-Sum", "1"))
	})
	s.Handle("/599", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteData([]byte("down"), "a/b", httpserver.NetworkConnectTimeoutError)
	})
	s.Handle("/lost", func(*http.Request, *httpserver.Responder) {})
	s.Handle("/panic", func(*http.Request, *httpserver.Responder) { panic("boom") })
	s.HandleHTTP("/http", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }))
	s.HandleHTTP("/http/empty", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.HandleHTTP("/http/panic", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "b"); panic("boom") }))
	s.HandleHTTP("/http/flush", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Flush() }))
	s.Route("GET /get", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("x") })
	s.Handle("/late", func(r *http.Request, w *httpserver.Responder) {
		<-r.Context().Done()
		w.WriteStatus()
	})
}

// answers are requests to routes, and what a Summary says of them.
var answers = []struct {
	request string
	status  httpserver.StatusCode
	bytes   int64
	err     error
}{
	{"GET /response", 202, 4, nil},
	{"HEAD /response", 202, 0, nil},
	{"GET /nothing", 404, 0, nil},
	{"GET /data", 200, 4, nil},
	{"GET /source", 200, 10, nil},
	{"HEAD /source", 200, 0, nil},
	{"GET /content", 200, 7, nil},
	{"GET /chunks", 200, 6, nil},
	{"GET /599", 599, 4, nil},
	{"GET /lost", 500, 0, httpserver.ErrNoAnswer},
	{"GET /panic", 500, 0, &httpserver.PanicError{}},
	{"GET /http", 200, 6, nil},
	{"HEAD /http", 200, 0, nil},
	{"GET /http/empty", 200, 0, nil},
	{"GET /http/panic", 500, 0, &httpserver.PanicError{}},
	{"GET /http/flush", 200, 0, nil},
	{"GET /missing", 404, 19, nil},
	{"POST /get", 405, 19, nil},
	{"POST /large", 413, 0, nil},
	{"GET /" + strings.Repeat("x", 100), 414, 0, nil},
	{"GET /header", 431, 0, nil},
}

// TestServerInside: a Server is a handler like any other, also of a Server.
func TestServerInside(t *testing.T) {
	inner := newServer(t, httpserver.Config{})
	routes(inner)
	inner.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-Inner", "1") })
	outer := newServer(t, httpserver.Config{})
	outer.HandleHTTP("/", inner)
	outer.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-Outer", "1") })
	var bytes int64
	outer.Finished(func(_ *http.Request, sum httpserver.Summary) { bytes = sum.Bytes })
	for _, path := range []string{"/response", "/data", "/http"} {
		w := httptest.NewRecorder()
		outer.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		assert.Equal(t, []string{"1"}, w.Result().Header["X-Inner"], path)
		assert.Equal(t, []string{"1"}, w.Result().Header["X-Outer"], path)
		assert.EqualValues(t, w.Body.Len(), bytes, path)
	}
}

// TestUseTimeout: middleware that answers in the place of a handler.
func TestUseTimeout(t *testing.T) {
	s := newServer(t, httpserver.Config{ErrorLog: quiet()})
	routes(s)
	s.Use(func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 20*time.Millisecond, "too late") })
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-A", "1") })
	told := make(chan httpserver.Summary, 1)
	s.Finished(func(_ *http.Request, sum httpserver.Summary) { told <- sum })
	addr := listen(t, s)
	got := raw(t, addr, "GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	assert.Contains(t, got, "HTTP/1.1 503 ")
	assert.Contains(t, got, "X-A: 1\r\n")
	assert.True(t, strings.HasSuffix(got, "too late"))
	assert.Equal(t, httpserver.StatusCode(503), within(t, told, "it is told").Status)
	assert.Contains(t, raw(t, addr, "GET /chunks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "X-A: 1\r\n")
}

// TestTakenOver: who takes the connection has no deadlines of the Server's.
func TestTakenOver(t *testing.T) {
	handle := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			_, err := io.ReadFull(c, b)
			assert.NoError(t, err)
			time.Sleep(time.Hour)
			_, err = c.Write(b)
			assert.NoError(t, err)
		}()
	})
	serveIn(t, patient, func(s *httpserver.Server) { s.HandleHTTP("/", handle) }, func(t *testing.T, l *pipes) {
		conn := l.dial()
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n")
		time.Sleep(time.Hour)
		_, err := io.WriteString(conn, "z")
		assert.NoError(t, err)
		got, err := bufio.NewReader(conn).ReadString('z')
		assert.NoError(t, err)
		assert.Equal(t, "z", got)
	})
}

// TestRespondersInHandleHTTP: Responders of New and of HandlerFunc are no less on a Server
// than those of Handle.
func TestRespondersInHandleHTTP(t *testing.T) {
	for way, mount := range map[string]func(s *httpserver.Server, path string, f answer){
		"Handle":      func(s *httpserver.Server, path string, f answer) { s.Handle(path, f) },
		"HandlerFunc": func(s *httpserver.Server, path string, f answer) { s.HandleHTTP(path, httpserver.HandlerFunc(f)) },
		"New":         func(s *httpserver.Server, path string, f answer) { s.HandleHTTP(path, withNew(f)) },
	} {
		s := newServer(t, httpserver.Config{HTTP2Cleartext: true, MaxBodySize: 10, DrainTimeout: -1, ErrorLog: quiet()})
		mount(s, "/response", func(_ *http.Request, w *httpserver.Responder) { w.SendResponse(httpserver.TextResponse("text")) })
		mount(s, "/599", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.NetworkConnectTimeoutError) })
		mount(s, "/lost", func(*http.Request, *httpserver.Responder) {})
		mount(s, "/panic", func(*http.Request, *httpserver.Responder) { panic("boom") })
		mount(s, "/late", func(_ *http.Request, w *httpserver.Responder) { w.WriteBeginChunked("a/b"); panic("boom") })
		mount(s, "/unfinished", func(_ *http.Request, w *httpserver.Responder) { w.WriteBeginChunked("a/b") })
		mount(s, "/body", func(r *http.Request, w *httpserver.Responder) {
			_, err := io.Copy(io.Discard, r.Body)
			var large *http.MaxBytesError
			assert.ErrorAs(t, err, &large, way)
			w.WriteStatus(httpserver.PayloadTooLarge)
		})
		begun := make(chan struct{})
		mount(s, "/stream", func(_ *http.Request, w *httpserver.Responder) {
			e, err := w.Events()
			assert.NoError(t, err)
			close(begun)
			<-w.Context().Done()
			assert.Equal(t, http.ErrServerClosed, context.Cause(w.Context()), way)
			assert.NoError(t, e.Close())
		})
		s.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
			p.Headers.Add("X-A", "1")
			if p.Body != nil {
				p.Body = append(p.Body, '!')
			}
		})
		told := make(chan httpserver.Summary, 1)
		s.Finished(func(_ *http.Request, sum httpserver.Summary) { told <- sum })
		addr := listen(t, s)
		for path, c := range map[string]struct {
			want string
			err  error
		}{
			"/response":   {"200 OK\r\n.*\r\nX-A: 1\r\n.*\r\n\r\ntext!$", nil},
			"/599":        {"599 Network Connect Timeout Error\r\n.*\r\nX-A: 1\r\n", nil},
			"/lost":       {"500 Internal Server Error\r\n.*\r\nX-A: 1\r\n", httpserver.ErrNoAnswer},
			"/panic":      {"500 Internal Server Error\r\n.*\r\nX-A: 1\r\n", &httpserver.PanicError{}},
			"/late":       {"200 OK\r\n.*\r\nX-A: 1\r\n.*\r\n\r\n$", &httpserver.PanicError{}},
			"/unfinished": {"200 OK\r\n.*\r\nX-A: 1\r\n.*\r\n\r\n$", httpserver.ErrUnfinished},
		} {
			got, _ := rawUntil(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			assert.Regexp(t, "(?s)^HTTP/1.1 "+c.want, got, "%s, %s", way, path)
			sum := within(t, told, "it is told")
			var p *httpserver.PanicError
			if errors.As(c.err, &p) {
				assert.ErrorAs(t, sum.Err, &p, "%s, %s", way, path)
			} else {
				assert.Equal(t, c.err, sum.Err, "%s, %s", way, path)
			}
		}
		got := raw(t, addr, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n")
		assert.Contains(t, got, "HTTP/1.1 413 ", way)
		assert.Contains(t, got, "Connection: close\r\n", way)
		within(t, told, "it is told")
		c := send(t, addr, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
		within(t, begun, "the stream begins")
		assert.NoError(t, s.Shutdown(t.Context()))
		all, err := io.ReadAll(c)
		assert.NoError(t, err)
		assert.True(t, bytes.HasSuffix(all, []byte("\r\n0\r\n\r\n")), way)
	}
}

// TestNewPanics: as with HandlerFunc.
func TestNewPanics(t *testing.T) {
	for _, begun := range []bool{false, true} {
		var logged lines
		s := httptest.NewUnstartedServer(withNew(func(_ *http.Request, s *httpserver.Responder) {
			if begun {
				assert.NoError(t, s.WriteBeginChunked("a/b"))
			}
			panic("boom")
		}))
		s.Config.ErrorLog = log.New(&logged, "", 0)
		s.Start()
		got, _ := rawUntil(t, s.Listener.Addr().String(), h1("GET"))
		s.Close()
		if begun {
			assert.NotContains(t, got, "\r\n0\r\n")
		} else {
			assert.Contains(t, got, "HTTP/1.1 500 ")
		}
		assert.Contains(t, logged.String(), ": boom")
	}
	h := withNew(func(_ *http.Request, s *httpserver.Responder) {
		s.End()
		panic("afterwards")
	})
	assert.PanicsWithValue(t, "afterwards", func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
}
