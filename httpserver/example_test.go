package httpserver_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

func get(h http.Handler, path string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	body, _ := io.ReadAll(w.Body)
	fmt.Printf("%d %s %s\n", w.Code, w.Header().Get("Content-Type"), body)
}

func ExampleHandlerFunc() {
	mux := http.NewServeMux()
	mux.Handle("GET /user/{name}", httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		if r.PathValue("name") != "gopher" {
			w.WriteStatus(httpserver.NotFound)
			return
		}
		w.WriteJSON(map[string]string{"name": "gopher"})
	}))
	get(mux, "/user/gopher")
	get(mux, "/user/nobody")
	// Output:
	// 200 application/json {"name":"gopher"}
	// 404 application/x-empty
}

func ExampleResponder_WriteBeginChunkedWith() {
	get(httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		w.WriteBeginChunkedWith(headers.New("Content-Type", "text/plain"), []string{"X-Lines"})
		for i := range 3 {
			w.WriteChunk(fmt.Appendf(nil, "line %d. ", i))
		}
		w.WriteEndChunkedWith(nil, headers.New("X-Lines", "3"))
	}), "/")
	// Output: 200 text/plain line 0. line 1. line 2.
}

func ExampleServer() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("GET /", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("hello") })
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Set("Server", "example") })
	get(s, "/")
	// Output: 200 text/plain; charset=utf-8 hello
}
