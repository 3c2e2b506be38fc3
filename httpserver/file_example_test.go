package httpserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

func ExampleResponder_WriteFile() {
	fsys := fstest.MapFS{ // or an embed.FS, os.DirFS, the FS of an os.Root
		"index.html":    {Data: []byte("<p>hello")},
		"docs/note.txt": {Data: []byte("0123456789")},
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{path...}", httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		err := w.WriteFile(fsys, r.PathValue("path"), httpserver.FileOptions{
			Index:   "index.html",
			Headers: headers.New("Cache-Control", "no-cache", "X-Content-Type-Options", "nosniff"),
		})
		if err != nil {
			fmt.Println(err) // the file could not be read; the client has been told
		}
	}))
	get(mux, "/")
	get(mux, "/docs/note.txt")
	for _, path := range []string{"/docs", "/docs/none.txt", "/..%2Fsecret.txt"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Code, path)
	}
	r := httptest.NewRequest("GET", "/docs/note.txt", nil)
	r.Header.Set("Range", "bytes=2-4")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Range"), w.Body)
	// Output:
	// 200 text/html; charset=utf-8 <p>hello
	// 200 text/plain; charset=utf-8 0123456789
	// 301 /docs
	// 404 /docs/none.txt
	// 404 /..%2Fsecret.txt
	// 206 bytes 2-4/10 234
}

func ExampleFileOptions() {
	fsys := fstest.MapFS{"42.pdf": {Data: []byte("%PDF")}}
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		w.WriteFile(fsys, "42.pdf", httpserver.FileOptions{Attachment: "Bericht für März.pdf"})
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Header().Get("Content-Disposition"))
	// Output: attachment; filename="Bericht f_r M_rz.pdf"; filename*=UTF-8''Bericht%20f%C3%BCr%20M%C3%A4rz.pdf
}

func ExampleFileResponse() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(name, []byte("a note"), 0o600); err != nil {
		panic(err)
	}
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("GET /note", func(*http.Request) *httpserver.Response { return httpserver.FileResponse(name) })
	get(s, "/note")
	fmt.Println(int(httpserver.FileResponse(filepath.Join(dir, "none")).Status))
	// Output:
	// 200 text/plain; charset=utf-8 a note
	// 404
}
