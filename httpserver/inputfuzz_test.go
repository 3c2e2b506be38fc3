package httpserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netreply/netreply/httpserver"
)

// FuzzReadForm: no form makes ReadForm panic or pass on what package multipart does not find
// in it, and every error is an *InputError.
func FuzzReadForm(f *testing.F) {
	body, _ := multipartForm(f, field("a", "b"), file("f", "n", "x\r\n--limit"))
	f.Add(body)
	f.Add([]byte("--limit--"))
	f.Add([]byte("--limit\r\n\r\n"))
	f.Add([]byte("--limit--\r"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var files [][]byte
		fields, err := httpserver.ReadForm(formRequest("multipart/form-data; boundary=limit", bytes.NewReader(body)), httpserver.UploadConfig{}, func(u *httpserver.Upload) error {
			content, err := io.ReadAll(u)
			files = append(files, content)
			return err
		})
		if err != nil {
			var input *httpserver.InputError
			if !errors.As(err, &input) || input.Status() < 400 || input.Status() > 499 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		ended := body
		if bytes.HasSuffix(body, []byte("\r")) { // the end of the last line may be missing
			ended = append(bytes.Clone(body), '\n')
		}
		other, err := multipart.NewReader(bytes.NewReader(ended), "limit").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("%q is no form: %v", body, err)
		}
		defer other.RemoveAll()
		for name, values := range other.Value {
			for i, v := range values {
				if len(fields[name]) > i && fields[name][i] == v || v == "" || len(files) > 0 {
					continue
				}
				t.Fatalf("%q: %q is %q, not %q", body, name, fields[name], v)
			}
		}
	})
}

// FuzzDecodeJSON: what is taken is JSON, and the rest is an *InputError.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{"", " ", "{}", "{}x", `{"name":1}`, `{"x":[[1`, "nul", "\ufeff{}"} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, known bool) {
		var options []httpserver.DecodeOption
		if known {
			options = append(options, httpserver.KnownFieldsOnly)
		}
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		err := httpserver.DecodeJSON(r, new(animal), 1000, options...)
		var input *httpserver.InputError
		switch {
		case err == nil && !json.Valid(body):
			t.Fatalf("%q was taken", body)
		case err != nil && !errors.As(err, &input):
			t.Fatalf("%q: %v", body, err)
		case err != nil && (input.Status() < 400 || input.Status() > 499 || input.Offset > int64(len(body))):
			t.Fatalf("%q: %v", body, err)
		}
	})
}

// watchedFS is a file system that refuses what no file system should be asked for.
type watchedFS struct {
	fs.FS
	t *testing.T
}

func (w watchedFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		w.t.Fatalf("%q was looked for", name)
	}
	return w.FS.Open(name)
}

// FuzzWriteFile: no name leads anywhere but to a file, or is answered otherwise than with
// one, a redirect that stays on the site, or 404.
func FuzzWriteFile(f *testing.F) {
	for _, seed := range []string{"/", "/a", "/sub", "/sub/", "/../a", "/..%2fa", "/a%00", "/sub?x=y", "//evil.example/sub", "/%5c%5cevil.example%2f..", "/sub%2f", "/javascript:sub"} {
		f.Add(seed)
	}
	files := fstest.MapFS{"a": {Data: []byte("content")}, "sub/index": {Data: []byte("content")}, "javascript:sub/index": {Data: []byte("content")}}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.IsAbs() || u.Host != "" {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, r.RequestURI = u, target
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			w.WriteFile(watchedFS{files, t}, r.URL.Path, httpserver.FileOptions{Index: "index"})
		}).ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if w.Body.String() != "content" {
				t.Fatalf("%q: %q", target, w.Body)
			}
		case 301:
			base := &url.URL{Scheme: "http", Host: "here.example", Path: "/"}
			to, err := base.ResolveReference(u).Parse(w.Header().Get("Location"))
			if err != nil || to.Scheme != "http" || to.Host != "here.example" && to.Host != u.Host {
				t.Fatalf("%q leads to %q", target, w.Header().Get("Location"))
			}
		case 404:
		default:
			t.Fatalf("%q: %d", target, w.Code)
		}
	})
}
