package httpserver_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// show prints the answer of a handler.
func show(h http.Handler, method, target, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
}

// One function makes all errors of a server: a page for browsers, a problem for programs.
func ExampleConfig_errorHandler() {
	s, err := httpserver.NewServer(httpserver.Config{
		MaxBodySize: 1 << 10,
		Logger:      slog.New(slog.DiscardHandler),
		ErrorHandler: func(r *http.Request, w *httpserver.Responder, err error) {
			p := httpserver.ProblemOf(err)
			if strings.Contains(r.Header.Get("Accept"), "text/html") {
				w.WriteData([]byte("<h1>"+p.Status.String()+"</h1>"), "text/html", p.Status)
				return
			}
			w.WriteProblem(p)
		},
	})
	if err != nil {
		panic(err)
	}
	files := fstest.MapFS{}
	s.Handle("GET /files/{name...}", func(r *http.Request, w *httpserver.Responder) {
		w.WriteFile(files, r.PathValue("name"), httpserver.FileOptions{})
	})
	s.Handle("GET /broken", func(*http.Request, *httpserver.Responder) { panic("out of luck") })
	show(s, "GET", "/nothing/here", "")
	show(s, "POST", "/files/a", "")
	show(s, "GET", "/files/a", "")
	show(s, "GET", "/broken", "")
	show(s, "GET", "/broken", strings.Repeat("x", 2<<10))
	// Output:
	// 404 {"status":404,"title":"Not Found"}
	// 405 {"status":405,"title":"Method Not Allowed"}
	// 404 {"status":404,"title":"Not Found"}
	// 500 {"status":500,"title":"Internal Server Error"}
	// 413 {"status":413,"title":"Request Entity Too Large"}
}

// An error of the program with the status that its client gets, and a cause that stays here.
func ExampleHTTPError() {
	errLocked := errors.New("the row is locked by 7")
	s, err := httpserver.NewServer(httpserver.Config{ErrorHandler: func(_ *http.Request, w *httpserver.Responder, err error) {
		fmt.Println("log:", err)
		w.WriteProblem(httpserver.ProblemOf(err))
	}})
	if err != nil {
		panic(err)
	}
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteError(&httpserver.HTTPError{Status: httpserver.Conflict, Err: errLocked})
	})
	show(s, "PUT", "/", "")
	// Output:
	// log: httpserver: 409 Conflict: the row is locked by 7
	// 409 {"status":409,"title":"Conflict"}
}

// ValidationError is an error of the program that its clients may read.
type ValidationError struct{ Field, Reason string }

func (e *ValidationError) Error() string { return e.Field + ": " + e.Reason }

// Problem is what ProblemOf makes of the error.
func (e *ValidationError) Problem() httpserver.Problem {
	return httpserver.Problem{
		Status: httpserver.UnprocessableEntity, Detail: e.Reason,
		Extensions: map[string]any{"field": e.Field},
	}
}

// An error with a method Problem says itself what the client gets.
func ExampleProblemOf_validation() {
	validate := func(count int) error {
		if count < 1 {
			return &ValidationError{"/count", "must be at least 1"}
		}
		return nil
	}
	h := httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		var order struct{ Count int }
		err := httpserver.DecodeJSON(r, &order, 0, httpserver.AnyContentType)
		if err == nil {
			err = validate(order.Count)
		}
		if err != nil {
			w.WriteProblem(httpserver.ProblemOf(err))
			return
		}
		w.WriteStatus(httpserver.Created)
	})
	show(h, "POST", "/", `{"count": 0}`)
	show(h, "POST", "/", `{"count": 2}`)
	// Output:
	// 422 {"detail":"must be at least 1","field":"/count","status":422,"title":"Unprocessable Entity"}
	// 201
}

func ExampleResponder_WriteError() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		var order struct{ Count int }
		if err := httpserver.DecodeJSON(r, &order, 0); err != nil {
			w.WriteError(err) // as the Config's ErrorHandler does it, or else as a problem
			return
		}
		w.WriteStatus(httpserver.Created)
	})
	show(s, "POST", "/", "")
	// Output: 400 {"detail":"the body is empty","status":400,"title":"Bad Request"}
}

func ExampleServer_Methods() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("GET /tea/{name}", func(r *http.Request) *httpserver.Response { return httpserver.TextResponse(r.PathValue("name")) })
	s.SetMissingHandler(func(r *http.Request, w *httpserver.Responder) {
		if allowed := s.Methods(r); allowed != nil {
			w.WriteHeaders(headers.New("Allow", strings.Join(allowed, ", ")), httpserver.MethodNotAllowed)
			return
		}
		w.WriteData([]byte("there is only /tea"), "text/plain", httpserver.NotFound)
	})
	show(s, "DELETE", "/tea/green", "")
	show(s, "GET", "/coffee", "")
	// Output:
	// 405
	// 404 there is only /tea
}

// A log of accesses by route.
func ExampleSummary() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("GET /tea/{name}", func(r *http.Request) *httpserver.Response { return httpserver.TextResponse(r.PathValue("name")) })
	s.Finished(func(r *http.Request, sum httpserver.Summary) {
		fmt.Printf("%s %s by %q: %v, %d bytes\n", r.Method, r.RequestURI, sum.Pattern, sum.Status, sum.Bytes)
	})
	for _, path := range []string{"/tea/green", "/coffee"} {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	// Output:
	// GET /tea/green by "GET /tea/{name}": 200 OK, 5 bytes
	// GET /coffee by "": 404 Not Found, 19 bytes
}

func ExampleStatusCode_String() {
	fmt.Println(httpserver.NotFound, httpserver.StatusCode(299))
	// Output: 404 Not Found 299
}
