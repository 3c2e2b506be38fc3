package httpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"strings"
	"testing/fstest"

	"github.com/netreply/netreply/httpserver"
)

func ExampleServer_HandleHTTP() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	files := fstest.MapFS{"hello.txt": {Data: []byte("hello")}}
	s.HandleHTTP("GET /files/", http.StripPrefix("/files", http.FileServerFS(files)))
	s.HandleHTTP("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
	s.HandleHTTP("GET /debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
	get(s, "/files/hello.txt")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/cmdline", nil))
	fmt.Println(strings.HasPrefix(w.Body.String(), os.Args[0]))
	// Output:
	// 200 text/plain; charset=utf-8 hello
	// true
}

func ExampleServer_Use() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("/", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("done") })
	s.Use(http.NewCrossOriginProtection().Handler)
	for _, from := range []string{"same-origin", "cross-site"} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Sec-Fetch-Site", from)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		fmt.Println(from, w.Code)
	}
	// Output:
	// same-origin 200
	// cross-site 403
}

func ExampleServer_AfterRequest() {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
		p.Headers.Set("X-Content-Type-Options", "nosniff")
	})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/nothing/here", nil))
	fmt.Println(w.Code, w.Header().Get("X-Content-Type-Options"))
	// Output: 404 nosniff
}

func ExampleServer_Finished() {
	s, err := httpserver.NewServer(httpserver.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	s.Handle("/text", func(_ *http.Request, w *httpserver.Responder) { w.WriteData([]byte("hello"), "text/plain") })
	s.Handle("/forgets", func(*http.Request, *httpserver.Responder) {})
	s.Handle("/panics", func(*http.Request, *httpserver.Responder) { panic("out of luck") })
	s.Finished(func(r *http.Request, sum httpserver.Summary) {
		fmt.Println(r.URL.Path, int(sum.Status), sum.Bytes, sum.Err)
		if p := (*httpserver.PanicError)(nil); errors.As(sum.Err, &p) {
			fmt.Println(bytes.Contains(p.Stack, []byte("ExampleServer_Finished")))
		}
	})
	for _, path := range []string{"/text", "/forgets", "/panics"} {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	// Output:
	// /text 200 5 <nil>
	// /forgets 500 0 httpserver: the handler gave no answer
	// /panics 500 0 httpserver: panic: out of luck
	// true
}

func ExampleNew() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := httpserver.New(w, r)
		defer s.End()
		if err := s.WriteReader(strings.NewReader("from a reader"), "text/plain"); err != nil && !s.Responded() {
			s.WriteStatus(httpserver.BadGateway)
		}
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	body, _ := io.ReadAll(w.Body)
	fmt.Println(w.Code, string(body))
	// Output: 200 from a reader
}
