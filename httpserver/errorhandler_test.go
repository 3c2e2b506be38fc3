package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// asked gives the answer of a handler to a request.
func asked(h http.Handler, method, target string, body io.Reader, fields ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, body)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	h.ServeHTTP(w, r)
	return w
}

// everyError has the routes of a Server that answer, or do not, in each way that an
// ErrorHandler is asked for.
func everyError(s *httpserver.Server) {
	files := fstest.MapFS{"dir/file": {Data: []byte("file")}}
	s.Handle("GET /known/{name}", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
	s.Handle("PUT /known/{name}", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
	s.Handle("/silent", func(*http.Request, *httpserver.Responder) {})
	s.Handle("/refused", func(_ *http.Request, w *httpserver.Responder) { w.WriteJSON(func() {}) })
	s.Handle("/panics", func(*http.Request, *httpserver.Responder) { panic("out of luck") })
	s.Handle("/file/{name...}", func(r *http.Request, w *httpserver.Responder) {
		w.WriteFile(files, r.PathValue("name"), httpserver.FileOptions{})
	})
	s.Route("/nil", func(*http.Request) *httpserver.Response { return nil })
	s.HandleHTTP("/bare", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of luck") }))
	s.HandleHTTP("/own", http.NotFoundHandler())
	s.Handle("/status", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.NotFound) })
	s.Handle("/told", func(_ *http.Request, w *httpserver.Responder) { w.WriteError(fs.ErrExist) })
}

// TestErrorHandler: all answers that no handler gives have one body, and the fields that
// belong to them.
func TestErrorHandler(t *testing.T) {
	var got error
	s := newServer(t, httpserver.Config{
		MaxBodySize: 10, MaxURLSize: 100, MaxHeaderSize: 300, MaxHeaderFieldSize: 200, MaxHeaderFields: 4, ErrorLog: quiet(),
		ErrorHandler: func(r *http.Request, w *httpserver.Responder, err error) {
			assert.NotNil(t, r)
			got = err
			assert.NoError(t, w.WriteProblem(httpserver.ProblemOf(err)))
		},
	})
	everyError(s)
	var sum httpserver.Summary
	s.Finished(func(_ *http.Request, of httpserver.Summary) { sum = of })
	long := strings.Repeat("x", 150)
	var panicked *httpserver.PanicError
	for _, c := range []struct {
		target string
		status int
		is     error // of what the ErrorHandler gets
		as     any
		sum    error
		body   string
		fields []string
	}{
		{target: "/none", status: 404},
		{target: "/nil", status: 404},
		{target: "/silent", status: 500, is: httpserver.ErrNoAnswer, sum: httpserver.ErrNoAnswer},
		{target: "/refused", status: 500, is: httpserver.ErrNoAnswer, sum: httpserver.ErrNoAnswer},
		{target: "/panics", status: 500, as: &panicked},
		{target: "/bare", status: 500, as: &panicked},
		{target: "/file/none", status: 404, is: fs.ErrNotExist},
		{target: "/file/dir", status: 404, is: fs.ErrNotExist},
		{target: "/file/a\\b", status: 404, is: fs.ErrNotExist},
		{target: "/file/dir/file", status: 416, fields: []string{"Range", "bytes=7-8"}},
		{target: "/told", status: 409, is: fs.ErrExist},
		{target: "/silent", status: 413, as: new(*http.MaxBytesError), body: "more than ten bytes"},
		{target: "/" + long, status: 414},
		{target: "/silent", status: 431, fields: []string{"X", long + long}},
		{target: "/silent", status: 431, fields: []string{"X", long, "Y", long}},
		{target: "/silent", status: 431, fields: []string{"A", "", "B", "", "C", "", "D", ""}},
	} {
		got = nil
		w := asked(s, "GET", c.target, strings.NewReader(c.body), c.fields...)
		assert.Equal(t, c.status, w.Code, c.target)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), c.target)
		assert.Contains(t, w.Body.String(), fmt.Sprintf(`{"status":%d,"title":`, c.status), c.target)
		assert.EqualValues(t, c.status, sum.Status, c.target)
		if e := (*httpserver.HTTPError)(nil); c.target != "/told" && assert.ErrorAs(t, got, &e, c.target) {
			assert.EqualValues(t, c.status, e.Status, c.target)
		}
		if c.is != nil {
			assert.ErrorIs(t, got, c.is, c.target)
		}
		if c.as != nil {
			assert.ErrorAs(t, got, c.as, c.target)
		}
		switch {
		case c.sum != nil:
			assert.ErrorIs(t, sum.Err, c.sum, c.target)
		case c.as == &panicked:
			assert.ErrorAs(t, sum.Err, &panicked, c.target)
		default:
			assert.NoError(t, sum.Err, c.target)
		}
	}
	w := asked(s, "POST", "/known/x", nil)
	assert.Equal(t, 405, w.Code)
	assert.Equal(t, "GET, HEAD, PUT", w.Header().Get("Allow"))
	e := (*httpserver.HTTPError)(nil)
	require.ErrorAs(t, got, &e)
	assert.Equal(t, []string{"GET", "HEAD", "PUT"}, e.Allow)
	w = asked(s, "GET", "/file/dir/file", nil, "Range", "bytes=7-8")
	assert.Equal(t, "bytes */4", w.Header().Get("Content-Range"))
	assert.Empty(t, w.Header().Get("ETag"))
	assert.Equal(t, "ile", asked(s, "GET", "/file/dir/file", nil, "Range", "bytes=1-").Body.String())
	got = nil
	assert.Equal(t, "404 page not found\n", asked(s, "GET", "/own", nil).Body.String())
	assert.Empty(t, asked(s, "GET", "/status", nil).Body.String())
	assert.NoError(t, got, "what handlers answer is theirs")
	assert.Equal(t, 404, asked(s, "GET", "/none", nil).Code)
	w = asked(s, "GET", "/a/../b", nil)
	assert.Equal(t, 307, w.Code, "ServeMux's redirects stay")
	assert.Equal(t, "/b", w.Header().Get("Location"))
	s.SetMissingHandler(func(r *http.Request, w *httpserver.Responder) {
		w.WriteData([]byte(strings.Join(s.Methods(r), " ")), "text/plain", httpserver.Gone)
	})
	got = nil
	assert.Equal(t, "GET HEAD PUT", asked(s, "POST", "/known/x", nil).Body.String())
	assert.Empty(t, asked(s, "GET", "/none", nil).Body.String())
	assert.NoError(t, got)
	assert.Empty(t, s.Methods(httptest.NewRequest("GET", "/known/x", nil)))
	assert.NotPanics(t, func() { s.Methods(httptest.NewRequest("GET", "/bare", nil)) }, "no route is called")
}

// TestErrorHandlerEndsGoroutine: as a handler that does so, it ends the connection.
func TestErrorHandlerEndsGoroutine(t *testing.T) {
	s := newServer(t, httpserver.Config{ErrorLog: quiet(), ErrorHandler: func(*http.Request, *httpserver.Responder, error) {
		new(testing.T).SkipNow()
	}})
	everyError(s)
	addr := listen(t, s)
	for _, path := range []string{"/silent", "/panics", "/told", "/none"} {
		got, _ := rawUntil(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		assert.Empty(t, got, path)
	}
}

// TestErrorHandlerOverHTTP: 408 and 429, which need a connection, and an answer with a body
// that nobody has read.
func TestErrorHandlerOverHTTP(t *testing.T) {
	c := patient
	c.RateLimit = 2
	c.ErrorLog = quiet()
	c.ErrorHandler = func(_ *http.Request, w *httpserver.Responder, err error) {
		p := httpserver.ProblemOf(err)
		if p.Status == httpserver.RequestTimeout {
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		assert.NoError(t, w.WriteData([]byte("sorry: "+p.Status.String()), "text/plain", p.Status))
	}
	bubble(t, c, func(r *http.Request, _ *httpserver.Responder) { io.Copy(io.Discard, r.Body) }, func(t *testing.T, l *pipes) {
		for request, want := range map[string]string{
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n": "sorry: 408 Request Timeout",
			"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":  "sorry: 500 Internal Server Error",
		} {
			conn := l.dial()
			io.WriteString(conn, request)
			got, err := io.ReadAll(conn)
			assert.NoError(t, err)
			assert.True(t, bytes.HasSuffix(got, []byte("\r\n\r\n"+want)), "%s", got)
			conn.Close()
		}
	})
	s := newServer(t, c)
	addr := listen(t, s)
	raw(t, addr, h1("GET"))
	raw(t, addr, h1("GET"))
	got := raw(t, addr, h1("GET"))
	assert.Contains(t, got, "\r\nRetry-After: ")
	assert.Contains(t, got, "\r\n\r\nsorry: 429 Too Many Requests")
}

// TestErrorHandlerFails: one that gives no answer, panics or asks for itself leaves the client
// what it would get without it; one that cuts the answer cuts it.
func TestErrorHandlerFails(t *testing.T) {
	boom := errors.New("boom")
	for name, f := range map[string]func(*httpserver.Responder, error){
		"silent":  func(*httpserver.Responder, error) {},
		"refused": func(w *httpserver.Responder, _ error) { w.WriteJSON(func() {}) },
		"panics":  func(*httpserver.Responder, error) { panic(boom) },
		"asks":    func(w *httpserver.Responder, err error) { assert.NoError(t, w.WriteError(err)) },
		"unwraps": func(w *httpserver.Responder, _ error) { http.Error(w.Unwrap(), "sorry", 500) },
		"swaps":   func(w *httpserver.Responder, _ error) { w.Swap(new(httpserver.Responder)) },
		"no file": func(w *httpserver.Responder, _ error) {
			w.WriteFile(fstest.MapFS{}, "500.html", httpserver.FileOptions{})
		},
		"deserts":  func(*httpserver.Responder, error) { panic(http.ErrAbortHandler) },
		"finished": func(w *httpserver.Responder, err error) { assert.NoError(t, w.WriteJSON(err.Error(), 500)) },
	} {
		s := newServer(t, httpserver.Config{ErrorLog: quiet(), ErrorHandler: func(_ *http.Request, w *httpserver.Responder, err error) { f(w, err) }})
		everyError(s)
		var sums []httpserver.Summary
		s.Finished(func(_ *http.Request, sum httpserver.Summary) { sums = append(sums, sum) })
		for _, path := range []string{"/silent", "/panics", "/bare", "/refused", "/none", "/told"} {
			sums = nil
			what := name + " " + path
			if name == "deserts" {
				assert.PanicsWithValue(t, http.ErrAbortHandler, func() { asked(s, "GET", path, nil) }, what)
				require.Len(t, sums, 1, what)
				assert.Error(t, sums[0].Err, what)
				continue
			}
			w := asked(s, "GET", path, nil)
			require.Len(t, sums, 1, what)
			assert.EqualValues(t, w.Code, sums[0].Status, what)
			if p := (*httpserver.PanicError)(nil); name == "panics" && assert.ErrorAs(t, sums[0].Err, &p, what) && path == "/none" {
				assert.ErrorIs(t, p, boom)
			}
			switch {
			case name == "finished" || name == "unwraps":
				assert.NotEmpty(t, w.Body.String(), what)
			case name == "no file" && path != "/told":
				assert.Equal(t, 404, w.Code, what) // the handler's own doing
			case path == "/none":
				assert.Equal(t, 404, w.Code, what)
			case path == "/told":
				if name != "no file" {
					assert.Equal(t, 409, w.Code, what)
					assert.Contains(t, w.Body.String(), `"status":409`, what)
				}
			default:
				assert.Equal(t, 500, w.Code, what)
			}
		}
	}
}

// TestErrorHandlerKnowsMiddleware: it gets the request as it has come out of the middleware.
func TestErrorHandlerKnowsMiddleware(t *testing.T) {
	type key struct{}
	var got []any
	s := newServer(t, httpserver.Config{ErrorLog: quiet(), ErrorHandler: func(r *http.Request, w *httpserver.Responder, err error) {
		got = append(got, r.Context().Value(key{}))
		assert.NoError(t, w.WriteReader(iotest.HalfReader(strings.NewReader("sorry")), "text/plain", httpserver.ProblemOf(err).Status))
	}})
	everyError(s)
	s.Use(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), key{}, "id"), time.Hour)
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		})
	})
	for _, path := range []string{"/none", "/silent", "/panics", "/bare", "/told", "/file/none"} {
		got = nil
		w := asked(s, "GET", path, nil)
		assert.Equal(t, []any{"id"}, got, path)
		assert.Equal(t, "sorry", w.Body.String(), path)
	}
}

// TestWriteErrorAlone: without an ErrorHandler, and without a Server, an error is a problem.
func TestWriteErrorAlone(t *testing.T) {
	write := func(_ *http.Request, w *httpserver.Responder) {
		assert.NoError(t, w.WriteError(&httpserver.HTTPError{Status: httpserver.Locked, Err: errors.New("secret")}))
		assert.ErrorIs(t, w.WriteError(nil), httpserver.ErrAlreadyResponded)
	}
	s := newServer(t, httpserver.Config{})
	s.Handle("/", write)
	for _, h := range []http.Handler{s, httpserver.HandlerFunc(write)} {
		w := asked(h, "GET", "/", nil)
		assert.Equal(t, 423, w.Code)
		assert.Equal(t, `{"status":423,"title":"Locked"}`, w.Body.String())
	}
}

// TestHTTPError: it says what is known, and its zero value is 500.
func TestHTTPError(t *testing.T) {
	cause := errors.New("cause")
	assert.EqualError(t, &httpserver.HTTPError{Status: httpserver.Gone, Err: cause}, "httpserver: 410 Gone: cause")
	assert.EqualError(t, &httpserver.HTTPError{}, "httpserver: 500 Internal Server Error")
	assert.ErrorIs(t, fmt.Errorf("x: %w", &httpserver.HTTPError{Err: cause}), cause)
	assert.Equal(t, httpserver.Gone, httpserver.ProblemOf(fmt.Errorf("x: %w", &httpserver.HTTPError{Status: httpserver.Gone, Err: fs.ErrNotExist})).Status)
}

// outOfStock is an error of a program that clients may read.
type outOfStock struct{ item string }

func (e *outOfStock) Error() string { return e.item + " is out of stock, at warehouse 7" }
func (e *outOfStock) Problem() httpserver.Problem {
	return httpserver.Problem{Status: httpserver.UnprocessableEntity, Detail: "out of stock", Extensions: map[string]any{"field": "item"}}
}

// TestProblemOfOwn: an error that knows its problem is asked, wrapped or not.
func TestProblemOfOwn(t *testing.T) {
	p := httpserver.ProblemOf(fmt.Errorf("ordering: %w", &outOfStock{"tea"}))
	assert.Equal(t, (&outOfStock{}).Problem(), p)
	assert.Equal(t, p, httpserver.ProblemOf(&httpserver.InputError{Kind: httpserver.ErrWrongType, Err: &outOfStock{"tea"}}))
}

// TestProblemFieldIsBounded: a client that chooses the name of a field does not get it back
// whole.
func TestProblemFieldIsBounded(t *testing.T) {
	p := httpserver.ProblemOf(&httpserver.InputError{Kind: httpserver.ErrUnknownField, Field: strings.Repeat("é", 1<<20)})
	assert.Equal(t, strings.Repeat("é", 50)+"...", p.Extensions["field"])
	p = httpserver.ProblemOf(&httpserver.InputError{Kind: httpserver.ErrUnknownField, Field: "short"})
	assert.Equal(t, "short", p.Extensions["field"])
}

// TestNoAnswerSaysWhy: what has been refused is known, in the Summary and in the log.
func TestNoAnswerSaysWhy(t *testing.T) {
	var logged bytes.Buffer
	s := newServer(t, httpserver.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	bad := map[string]func(*httpserver.Responder) error{
		"json":   func(w *httpserver.Responder) error { return w.WriteJSON(func() {}) },
		"status": func(w *httpserver.Responder) error { return w.WriteStatus(99) },
		"type":   func(w *httpserver.Responder) error { return w.WriteData(nil, "") },
		"type2":  func(w *httpserver.Responder) error { return w.WriteReader(strings.NewReader(""), "a\nb") },
		"type3":  func(w *httpserver.Responder) error { return w.WriteBeginChunked("") },
		"trailers": func(w *httpserver.Responder) error {
			return w.WriteBeginChunkedWith(httpserver.Headers{}, []string{"Content-Length"})
		},
		"body":    func(w *httpserver.Responder) error { return w.WriteData([]byte("x"), "a/b", httpserver.NoContent) },
		"source":  func(w *httpserver.Responder) error { return w.WriteReader(nil, "a/b") },
		"source2": func(w *httpserver.Responder) error { return w.WriteReader(iotest.ErrReader(io.ErrClosedPipe), "a/b") },
		"content": func(w *httpserver.Responder) error { return w.WriteContent("", time.Time{}, nil, httpserver.Headers{}) },
		"file":    func(w *httpserver.Responder) error { return w.WriteFile(nil, "x", httpserver.FileOptions{}) },
		"problem": func(w *httpserver.Responder) error {
			return w.WriteProblem(httpserver.Problem{Extensions: map[string]any{"status": 1}})
		},
		"response": func(w *httpserver.Responder) error { return w.SendResponse(&httpserver.Response{Status: 1}) },
		"response2": func(w *httpserver.Responder) error {
			return w.SendResponse(&httpserver.Response{File: "/nonexistent/file"})
		},
		"items": func(w *httpserver.Responder) error { return httpserver.WriteJSONLines[int](w, nil) },
	}
	var refused error
	s.Handle("/{what}", func(r *http.Request, w *httpserver.Responder) {
		assert.Error(t, w.WriteStatus(1))
		refused = bad[r.PathValue("what")](w)
	})
	s.Route("/route", func(*http.Request) *httpserver.Response { return &httpserver.Response{Status: 99} })
	var sum httpserver.Summary
	s.Finished(func(_ *http.Request, of httpserver.Summary) { sum = of })
	for _, hooked := range []bool{false, true} {
		if hooked {
			s.AfterRequest(func(*http.Request, *httpserver.Response) {})
		}
		for what := range bad {
			refused = nil
			assert.Equal(t, 500, asked(s, "GET", "/"+what, nil).Code, what)
			assert.Error(t, refused, what)
			assert.ErrorIs(t, sum.Err, httpserver.ErrNoAnswer, what)
			assert.ErrorIs(t, sum.Err, refused, what)
			assert.Equal(t, "httpserver: the handler gave no answer: "+refused.Error(), sum.Err.Error(), what)
		}
	}
	assert.Equal(t, 500, asked(s, "GET", "/route", nil).Code)
	var status *httpserver.StatusError
	assert.ErrorIs(t, sum.Err, httpserver.ErrNoAnswer)
	assert.ErrorAs(t, sum.Err, &status)
	assert.Contains(t, logged.String(), "status 99 cannot be sent here")
	assert.Contains(t, logged.String(), "pattern=/{what} ", "records can be told by route")
}

// TestEmptyTypes: Qt's type of an answer without a body, and the call that has none.
func TestEmptyTypes(t *testing.T) {
	for want, do := range map[string]func(*httpserver.Responder) error{
		"Content-Type: application/x-empty\r\n": func(w *httpserver.Responder) error { return w.WriteStatus(httpserver.Gone) },
		"":                                      func(w *httpserver.Responder) error { return w.WriteHeaders(httpserver.Headers{}, httpserver.Gone) },
	} {
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) { assert.NoError(t, do(w)) }))
		assert.Equal(t, "HTTP/1.1 410 Gone\r\n"+want+"Content-Length: 0\r\nConnection: close\r\n\r\n", raw(t, addr, h1("GET")))
	}
}

// TestErrorHandlerBesideHandler: what a handler has left behind may answer at the same time;
// one of both does, and the answer is whole.
func TestErrorHandlerBesideHandler(t *testing.T) {
	var left sync.WaitGroup
	defer left.Wait()
	s := newServer(t, httpserver.Config{ErrorLog: quiet(), ErrorHandler: func(_ *http.Request, w *httpserver.Responder, _ error) {
		w.WriteData([]byte("one of both"), "text/plain", httpserver.InternalServerError)
	}})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		left.Go(func() { w.WriteData([]byte("one of both"), "text/plain") })
	})
	addr := listen(t, s)
	for range 100 {
		assert.Regexp(t, "^HTTP/1.1 (200 OK|500 Internal Server Error)\r\n(.+\r\n)*\r\none of both$", raw(t, addr, h1("GET")))
	}
}

// TestErrorHandlerHTTP2: the same there, and the fields of a connection stay away.
func TestErrorHandlerHTTP2(t *testing.T) {
	for want, c := range map[string]httpserver.Config{
		"HEADERS :status=431 content-length=5 content-type=text/plain\nDATA sorry\nEND":               {MaxHeaderSize: 1},
		"HEADERS :status=404 content-length=5 content-type=text/plain\nDATA sorry\nEND":               {},
		"HEADERS :status=429 content-length=5 content-type=text/plain retry-after=1\nDATA sorry\nEND": {RateLimit: 1},
	} {
		c.HTTP2Cleartext = true
		c.ErrorHandler = func(_ *http.Request, w *httpserver.Responder, err error) {
			assert.NoError(t, w.WriteData([]byte("sorry"), "text/plain", httpserver.ProblemOf(err).Status))
		}
		addr := listen(t, newServer(t, c))
		if c.RateLimit > 0 {
			frames(t, addr, "GET")
		}
		assert.Equal(t, want, frames(t, addr, "GET"))
	}
}
