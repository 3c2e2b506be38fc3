package httpserver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/httpserver"
)

type idKey struct{}

// identified is middleware that gives requests an id, in a copy of theirs.
func identified(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stopped" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idKey{}, "id")))
	})
}

// TestHooksGetTheRoutedRequest: hooks can tell requests by route, and by what middleware
// knows of them.
func TestHooksGetTheRoutedRequest(t *testing.T) {
	type seen struct {
		pattern, name string
		id            any
	}
	for _, middleware := range []bool{true, false} {
		s := newServer(t, httpserver.Config{MaxURLSize: 40, ErrorLog: quiet()})
		inner := http.NewServeMux()
		inner.HandleFunc("GET /mux/{inner}", func(http.ResponseWriter, *http.Request) {})
		s.Handle("GET /json/{name}", func(_ *http.Request, w *httpserver.Responder) { w.WriteJSON(1) })
		s.Route("GET /route/{name}", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("x") })
		s.HandleHTTP("GET /bare/{name}", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.HandleHTTP("GET /panic/{name}", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
		s.HandleHTTP("/mux/{name}", inner)
		var after, finished seen
		s.AfterRequest(func(r *http.Request, _ *httpserver.Response) {
			after = seen{r.Pattern, r.PathValue("name"), r.Context().Value(idKey{})}
		})
		var sum httpserver.Summary
		s.Finished(func(r *http.Request, of httpserver.Summary) {
			sum, finished = of, seen{r.Pattern, r.PathValue("name"), r.Context().Value(idKey{})}
		})
		var id any
		if middleware {
			s.Use(identified)
			id = "id"
		}
		for path, want := range map[string]seen{
			"/json/a":                        {"GET /json/{name}", "a", id},
			"/route/b":                       {"GET /route/{name}", "b", id},
			"/bare/c":                        {"GET /bare/{name}", "c", id},
			"/panic/d":                       {"GET /panic/{name}", "d", id},
			"/none":                          {"", "", id},
			"/stopped":                       {"", "", nil},
			"/" + strings.Repeat("long", 20): {"", "", nil},
		} {
			if !middleware && path == "/stopped" {
				continue
			}
			asked(s, "GET", path, nil)
			assert.Equal(t, want, after, path)
			assert.Equal(t, want, finished, path)
			assert.Equal(t, want.pattern, sum.Pattern, path)
		}
		asked(s, "GET", "/mux/e", nil)
		assert.Equal(t, "/mux/{name}", sum.Pattern, "the Server's, not that of a ServeMux behind it")
		s.SetMissingHandler(func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.Gone) })
		asked(s, "GET", "/none", nil)
		assert.Equal(t, seen{"", "", id}, finished)
	}
}

// TestHooksBesideTheirHandler: middleware may answer while the handler still works, and the
// hooks look at the request then.
func TestHooksBesideTheirHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, httpserver.Config{})
		s.HandleHTTP("/slow/{name}", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for range 200 {
				r.Pattern += "x"
				r.SetPathValue("name", "other")
				time.Sleep(10 * time.Millisecond)
			}
		}))
		s.Use(func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Second, "late") })
		var after, finished string
		s.AfterRequest(func(r *http.Request, _ *httpserver.Response) { after = r.Pattern })
		var sum httpserver.Summary
		s.Finished(func(r *http.Request, of httpserver.Summary) { sum, finished = of, r.Pattern })
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/slow/a", nil))
		assert.Equal(t, 503, w.Code)
		for _, got := range []string{after, finished, sum.Pattern} {
			assert.Equal(t, "/slow/{name}", got)
		}
		time.Sleep(time.Minute)
	})
}

// TestFinishedHooksAllRun: one that panics, or ends its goroutine, keeps no other from knowing;
// the answer is not its business, unless it says so.
func TestFinishedHooksAllRun(t *testing.T) {
	var logged lines
	s := newServer(t, httpserver.Config{ErrorLog: log.New(&logged, "", 0)})
	boom := errors.New("boom")
	var told []string
	note := func(name string) func(*http.Request, httpserver.Summary) {
		return func(_ *http.Request, sum httpserver.Summary) {
			assert.NoError(t, sum.Err)
			told = append(told, name)
		}
	}
	var with any
	s.Finished(note("first"))
	s.Finished(func(*http.Request, httpserver.Summary) {
		if with != nil {
			panic(with)
		}
		new(testing.T).SkipNow()
	})
	s.Finished(note("last"))
	s.Route("/", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("whole") })
	with = boom
	assert.Equal(t, "whole", asked(s, "GET", "/", nil).Body.String())
	assert.Equal(t, []string{"first", "last"}, told)
	assert.Contains(t, logged.String(), "boom\n")
	assert.Contains(t, logged.String(), "routed_test.go")
	with, told = http.ErrAbortHandler, nil
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { asked(s, "GET", "/", nil) })
	assert.Equal(t, []string{"first", "last"}, told)
	with, told = nil, nil
	done := make(chan struct{})
	go func() {
		defer close(done)
		asked(s, "GET", "/", nil)
		assert.Fail(t, "the goroutine goes on")
	}()
	<-done
	assert.Equal(t, []string{"first", "last"}, told)
}

// TestHooksSeeNoBody: of what a Responder sends itself, whatever call it is.
func TestHooksSeeNoBody(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	s.Handle("/problem", func(_ *http.Request, w *httpserver.Responder) { w.WriteProblem(httpserver.Problem{Status: 400}) })
	s.Handle("/json", func(_ *http.Request, w *httpserver.Responder) { w.WriteJSON(1) })
	s.Handle("/error", func(_ *http.Request, w *httpserver.Responder) { w.WriteError(io.EOF) })
	s.Handle("/response", func(_ *http.Request, w *httpserver.Responder) { w.SendResponse(httpserver.TextResponse("x")) })
	var body []byte
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { body = p.Body })
	for path, want := range map[string]bool{"/problem": false, "/json": false, "/error": false, "/response": true} {
		asked(s, "GET", path, nil)
		assert.Equal(t, want, body != nil, path)
	}
}
