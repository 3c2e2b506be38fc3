package httpserver_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

var modified = time.Date(2024, 5, 6, 7, 8, 9, 123, time.UTC)

// digits is 0 to 9, a hundred times.
var digits = strings.Repeat("0123456789", 100)

// files is a directory with some files, and one beside it which must not be reached.
func files(t testing.TB) (dir string) {
	dir = filepath.Join(t.TempDir(), "public")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	for name, content := range map[string]string{
		"digits.txt": digits, "empty": "", "page": "<html>", "sub/index.html": "<p>index", "Kätzchen €.txt": "cat", "../secret": "secret",
	} {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		require.NoError(t, os.Chtimes(name, modified, modified))
	}
	return dir
}

// fileHandler answers with the file that the path of the URL names, and keeps the error.
func fileHandler(fsys fs.FS, o httpserver.FileOptions, got *error) http.Handler {
	return httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		err := w.WriteFile(fsys, r.URL.Path, o)
		if got != nil {
			*got = err
		}
	})
}

// TestWriteFile: whole files, over every protocol.
func TestWriteFile(t *testing.T) {
	var got error
	addr := serve(t, fileHandler(os.DirFS(files(t)), httpserver.FileOptions{Headers: headers.New("Cache-Control", "no-cache")}, &got))
	for path, c := range map[string]struct{ mime, body string }{
		"/digits.txt":                    {"text/plain; charset=utf-8", digits},
		"/empty":                         {"text/plain; charset=utf-8", ""},
		"/page":                          {"text/html; charset=utf-8", "<html>"},
		"/K%C3%A4tzchen%20%E2%82%AC.txt": {"text/plain; charset=utf-8", "cat"},
		"/sub/index.html":                {"text/html; charset=utf-8", "<p>index"},
		"/sub%2Findex.html":              {"text/html; charset=utf-8", "<p>index"},
	} {
		overBoth(t, func(t *testing.T, client *http.Client) {
			for _, method := range []string{"GET", "HEAD"} {
				status, h, body := ask(t, client, method, "http://"+addr+path, "", nil)
				assert.NoError(t, got, path)
				assert.Equal(t, 200, status, path)
				assert.Equal(t, c.mime, h.Get("Content-Type"), path)
				assert.Equal(t, "Mon, 06 May 2024 07:08:09 GMT", h.Get("Last-Modified"), path)
				assert.Equal(t, "no-cache", h.Get("Cache-Control"), path)
				assert.Equal(t, fmt.Sprint(len(c.body)), h.Get("Content-Length"), path)
				assert.Regexp(t, `^"[0-9a-z]+-[0-9a-z]+"$`, h.Get("ETag"), path)
				if method == "HEAD" {
					assert.Empty(t, body)
				} else {
					assert.Equal(t, c.body, body, path)
				}
			}
		})
		answer := raw(t, addr, "GET "+path+" HTTP/1.0\r\n\r\n")
		assert.True(t, strings.HasPrefix(answer, "HTTP/1.0 200 OK\r\n"), answer)
		assert.True(t, strings.HasSuffix(answer, "\r\n\r\n"+c.body), answer)
	}
}

// TestWriteFileMissing: what is not there, or must not be.
func TestWriteFileMissing(t *testing.T) {
	dir := files(t)
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Symlink("../secret", filepath.Join(dir, "link")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, `back\slash`), nil, 0o600))
	}
	paths := []string{
		"/none", "/sub/none", "/digits.txt/", "/digits.txt/x", "/sub", "/sub/", "/", "//digits.txt", "/sub//index.html", "/./digits.txt", "/sub/../digits.txt",
		"/../secret", "/..%2fsecret", "/%2e%2e%2Fsecret", "/%2e%2e/secret", "/sub/../../secret", "/..%5csecret", "/back%5cslash", "/digits.txt%00", "/%00", "/%ff",
		"/" + strings.Repeat("x", 5000), "/..", "/.", "/...", "/%2Fetc%2Fpasswd", "/" + strings.Repeat("../", 20) + "etc/passwd",
	}
	for name, fsys := range map[string]fs.FS{"DirFS": os.DirFS(dir), "Root": root.FS(), "map": fstest.MapFS{"digits.txt": {}, "sub/index.html": {}}} {
		var got error
		addr := serve(t, fileHandler(fsys, httpserver.FileOptions{}, &got))
		for _, path := range paths {
			answer := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 404 "), "%s, %s: %s", name, path, answer)
			assert.NoError(t, got, "%s, %s", name, path)
			assert.NotContains(t, answer, "secret")
		}
		if name == "Root" {
			assert.Contains(t, raw(t, addr, "GET /link HTTP/1.0\r\n\r\n"), " 404 ", "a link that leads out")
		}
	}
	for _, path := range []string{"NUL", "aux.txt", "digits.txt.", "digits.txt::$DATA", "C:/digits.txt"} {
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
			w.WriteFile(os.DirFS(dir), path, httpserver.FileOptions{})
		}).
			ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, 404, w.Code, "%s: there is none, and on Windows there cannot be one", path)
	}
}

// opener is a file system with one file, or the error that it gives.
type opener func() (fs.File, error)

func (o opener) Open(string) (fs.File, error) { return o() }

// TestWriteFileFails: what cannot be opened or read.
func TestWriteFileFails(t *testing.T) {
	failing := func(err error) fs.FS {
		return opener(func() (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: "x", Err: err} })
	}
	for name, c := range map[string]struct {
		fsys   fs.FS
		status int
		fails  bool
	}{
		"not allowed":          {failing(fs.ErrPermission), 403, false},
		"not there":            {failing(fs.ErrNotExist), 404, false},
		"no good name":         {failing(fs.ErrInvalid), 404, false},
		"disk":                 {failing(io.ErrClosedPipe), 500, true},
		"reading":              {opener(func() (fs.File, error) { return openFile(iotest.ErrReader(io.ErrClosedPipe), 10), nil }), 500, true},
		"reading, not allowed": {opener(func() (fs.File, error) { return openFile(iotest.ErrReader(fs.ErrPermission), 10), nil }), 403, true},
		"device":               {opener(func() (fs.File, error) { return &openedFile{Reader: strings.NewReader(""), mode: fs.ModeDevice}, nil }), 404, false},
	} {
		var got error
		w := httptest.NewRecorder()
		fileHandler(c.fsys, httpserver.FileOptions{}, &got).ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
		assert.Equal(t, c.status, w.Code, name)
		var source *httpserver.SourceError
		if c.fails {
			assert.ErrorAs(t, got, &source, name)
		} else {
			assert.NoError(t, got, name)
		}
	}
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		assert.Error(t, w.WriteFile(nil, "x", httpserver.FileOptions{}))
		assert.NoError(t, w.WriteStatus())
		assert.ErrorIs(t, w.WriteFile(os.DirFS("."), "x", httpserver.FileOptions{}), httpserver.ErrAlreadyResponded)
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))

	cut := opener(func() (fs.File, error) {
		return openFile(io.MultiReader(strings.NewReader(strings.Repeat("x", large)), iotest.ErrReader(io.ErrClosedPipe)), 2*large), nil
	})
	addr := serve(t, fileHandler(cut, httpserver.FileOptions{}, nil))
	overBoth(t, func(t *testing.T, client *http.Client) {
		resp, err := client.Get("http://" + addr + "/x")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		assert.Error(t, err)
		resp.Body.Close()
	})
}

// openedFile is a file that cannot seek.
type openedFile struct {
	io.Reader
	size int64
	mode fs.FileMode
}

func openFile(r io.Reader, size int64) *openedFile { return &openedFile{Reader: r, size: size} }

func (f *openedFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *openedFile) Close() error               { return nil }
func (f *openedFile) Name() string               { return "x" }
func (f *openedFile) Size() int64                { return f.size }
func (f *openedFile) Mode() fs.FileMode          { return f.mode }
func (f *openedFile) ModTime() time.Time         { return modified }
func (f *openedFile) IsDir() bool                { return false }
func (f *openedFile) Sys() any                   { return nil }

// TestWriteFileRanges: one, several, none that can be had, and conditions.
func TestWriteFileRanges(t *testing.T) {
	addr := serve(t, fileHandler(os.DirFS(files(t)), httpserver.FileOptions{}, nil))
	overBoth(t, func(t *testing.T, client *http.Client) {
		get := func(method string, fields ...string) (int, http.Header, string) {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/digits.txt", nil)
			require.NoError(t, err)
			for i := 0; i < len(fields); i += 2 {
				req.Header.Set(fields[i], fields[i+1])
			}
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp.StatusCode, resp.Header, string(body)
		}
		_, head, _ := get("GET")
		tag, date := head.Get("ETag"), head.Get("Last-Modified")
		for name, c := range map[string]struct {
			fields []string
			status int
			body   string
		}{
			"range":                      {[]string{"Range", "bytes=10-12"}, 206, "012"},
			"from":                       {[]string{"Range", "bytes=995-"}, 206, "56789"},
			"suffix":                     {[]string{"Range", "bytes=-3"}, 206, "789"},
			"beyond":                     {[]string{"Range", "bytes=1000-"}, 416, ""},
			"not bytes":                  {[]string{"Range", "lines=1-2"}, 416, ""},
			"If-Range, tag":              {[]string{"Range", "bytes=0-1", "If-Range", tag}, 206, "01"},
			"If-Range, another tag":      {[]string{"Range", "bytes=0-1", "If-Range", `"x"`}, 200, digits},
			"If-Range, weak tag":         {[]string{"Range", "bytes=0-1", "If-Range", "W/" + tag}, 200, digits},
			"If-Range, date":             {[]string{"Range", "bytes=0-1", "If-Range", date}, 206, "01"},
			"If-Range, another date":     {[]string{"Range", "bytes=0-1", "If-Range", "Mon, 06 May 2024 07:08:08 GMT"}, 200, digits},
			"If-None-Match":              {[]string{"If-None-Match", tag}, 304, ""},
			"If-None-Match, weak, list":  {[]string{"If-None-Match", `"x", W/` + tag}, 304, ""},
			"If-None-Match, another":     {[]string{"If-None-Match", `"x"`, "If-Modified-Since", date}, 200, digits},
			"If-Modified-Since":          {[]string{"If-Modified-Since", date}, 304, ""},
			"If-Modified-Since, earlier": {[]string{"If-Modified-Since", "Mon, 06 May 2024 07:08:08 GMT"}, 200, digits},
			"If-Match":                   {[]string{"If-Match", tag}, 200, digits},
			"If-Match, another":          {[]string{"If-Match", `"x"`}, 412, ""},
			"If-Unmodified-Since":        {[]string{"If-Unmodified-Since", "Mon, 06 May 2024 07:08:08 GMT"}, 412, ""},
			"too many ranges":            {[]string{"Range", "bytes=0-0" + strings.Repeat(",2-2", 100)}, 200, digits},
		} {
			status, h, body := get("GET", c.fields...)
			assert.Equal(t, c.status, status, name)
			if c.status < 400 {
				assert.Equal(t, c.body, body, name)
			}
			if c.status == 304 {
				assert.Equal(t, tag, h.Get("ETag"), name)
			}
			if c.status == 416 && name == "beyond" {
				assert.Equal(t, "bytes */1000", h.Get("Content-Range"))
			}
		}
		status, h, body := get("GET", "Range", "bytes=0-1,998-")
		assert.Equal(t, 206, status)
		kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
		assert.NoError(t, err)
		assert.Equal(t, "multipart/byteranges", kind)
		parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
		for _, want := range [][2]string{{"bytes 0-1/1000", "01"}, {"bytes 998-999/1000", "89"}} {
			p, err := parts.NextPart()
			require.NoError(t, err)
			content, err := io.ReadAll(p)
			assert.NoError(t, err)
			assert.Equal(t, want, [2]string{p.Header.Get("Content-Range"), string(content)})
		}
		_, err = parts.NextPart()
		assert.Equal(t, io.EOF, err)

		status, h, _ = get("HEAD", "Range", "bytes=0-1")
		assert.Equal(t, 200, status, "ranges are of GET")
		assert.Equal(t, "1000", h.Get("Content-Length"))
		status, _, _ = get("HEAD", "If-None-Match", tag)
		assert.Equal(t, 304, status)
	})
}

// TestWriteFileTags: when they change, and when they are weak.
func TestWriteFileTags(t *testing.T) {
	dir := files(t)
	tag := func(fsys fs.FS, name string, o httpserver.FileOptions) string {
		w := httptest.NewRecorder()
		fileHandler(fsys, o, nil).ServeHTTP(w, httptest.NewRequest("GET", "/"+name, nil))
		require.Equal(t, 200, w.Code)
		return w.Header().Get("ETag")
	}
	at := func(name string) string { return tag(os.DirFS(dir), name, httpserver.FileOptions{}) }
	first := at("digits.txt")
	assert.Equal(t, first, at("digits.txt"))
	assert.NotEqual(t, first, at("page"), "another size")
	name := filepath.Join(dir, "digits.txt")
	require.NoError(t, os.Chtimes(name, modified, modified.Add(time.Millisecond)))
	assert.NotEqual(t, first, at("digits.txt"), "another time")
	require.NoError(t, os.Chtimes(name, modified, time.Now().Add(time.Hour)))
	assert.True(t, strings.HasPrefix(at("digits.txt"), `W/"`), "it may still change without another time")
	assert.Equal(t, `"mine"`, tag(os.DirFS(dir), "page", httpserver.FileOptions{Headers: headers.New("ETag", `"mine"`)}))

	// What has no time, as with package embed.
	timeless := func(content string) string {
		return tag(fstest.MapFS{"a": {Data: []byte(content)}}, "a", httpserver.FileOptions{})
	}
	assert.Regexp(t, `^"[0-9a-f]{32}"$`, timeless("x"))
	assert.Equal(t, timeless("x"), timeless("x"))
	assert.NotEqual(t, timeless("x"), timeless("y"))
	assert.Empty(t, timeless(strings.Repeat("x", 1<<20+1)))
}

// TestWriteFileZip: files that cannot seek.
func TestWriteFileZip(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{"digits.txt": digits, "large": strings.Repeat("x", large)} {
		to, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified})
		require.NoError(t, err)
		_, err = io.WriteString(to, content)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	fsys, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	addr := serve(t, fileHandler(fsys, httpserver.FileOptions{}, nil))
	overBoth(t, func(t *testing.T, client *http.Client) {
		status, h, body := ask(t, client, "GET", "http://"+addr+"/digits.txt", "", nil)
		assert.Equal(t, 200, status)
		assert.Equal(t, digits, body)
		assert.Equal(t, "1000", h.Get("Content-Length"))
		_, _, body = ask(t, client, "GET", "http://"+addr+"/large", "", nil)
		assert.Equal(t, large, len(body))
		for _, fields := range [][2]string{{"Range", "bytes=5-6"}, {"If-None-Match", h.Get("ETag")}} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/digits.txt", nil)
			require.NoError(t, err)
			req.Header.Set(fields[0], fields[1])
			resp, err := client.Do(req)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, map[string]int{"Range": 200, "If-None-Match": 304}[fields[0]], resp.StatusCode)
		}
	})
}

// TestWriteFileIndex: a directory's page, behind a path that ends in a slash.
func TestWriteFileIndex(t *testing.T) {
	dir := files(t)
	addr := serve(t, fileHandler(os.DirFS(dir), httpserver.FileOptions{Index: "index.html"}, nil))
	overBoth(t, func(t *testing.T, client *http.Client) {
		status, h, body := ask(t, client, "GET", "http://"+addr+"/sub/", "", nil)
		assert.Equal(t, 200, status)
		assert.Equal(t, "<p>index", body)
		assert.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
		status, h, _ = ask(t, client, "GET", "http://"+addr+"/sub?a=b", "", nil)
		assert.Equal(t, 301, status)
		assert.Equal(t, "./sub/?a=b", h.Get("Location"))
		status, _, _ = ask(t, client, "GET", "http://"+addr+"/", "", nil)
		assert.Equal(t, 404, status, "it has no index")
	})
	prefixed := serve(t, http.StripPrefix("/files", fileHandler(os.DirFS(filepath.Join(dir, "sub")), httpserver.FileOptions{Index: "index.html"}, nil)))
	assert.Contains(t, raw(t, prefixed, "GET /files HTTP/1.0\r\n\r\n"), "Location: ./files/\r\n")
	assert.Contains(t, raw(t, prefixed, "GET /files/ HTTP/1.0\r\n\r\n"), "<p>index")
}

// TestWriteFileAttachment: names that browsers save under.
func TestWriteFileAttachment(t *testing.T) {
	for name, want := range map[string]string{
		"cat.txt":     `attachment; filename="cat.txt"`,
		"my cat.txt":  `attachment; filename="my cat.txt"`,
		"Kätzchen €":  `attachment; filename="K_tzchen _"; filename*=UTF-8''K%C3%A4tzchen%20%E2%82%AC`,
		`a"b\c`:       `attachment; filename="c"`,
		"50%25'.txt":  `attachment; filename="50_25'.txt"; filename*=UTF-8''50%2525%27.txt`,
		"../../x":     `attachment; filename="x"`,
		"a\r\nX-B: c": `attachment; filename="a__X-B_ c"`,
		"..":          `attachment`,
	} {
		w := httptest.NewRecorder()
		fileHandler(fstest.MapFS{"x": {}}, httpserver.FileOptions{Attachment: name}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
		assert.Equal(t, 200, w.Code)
		got := w.Header().Get("Content-Disposition")
		assert.Equal(t, want, got)
		kind, params, err := mime.ParseMediaType(got)
		assert.NoError(t, err, name)
		assert.Equal(t, "attachment", kind)
		assert.Equal(t, httpserver.SafeFileName(name), params["filename"], "every client can read it")
	}
	h := headers.New("Content-Disposition", "inline", "X-A", "b")
	w := httptest.NewRecorder()
	fileHandler(fstest.MapFS{"x": {}}, httpserver.FileOptions{Attachment: "x", Headers: h}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	assert.Equal(t, "b", w.Header().Get("X-A"))
	assert.Equal(t, `attachment; filename="x"`, w.Header().Get("Content-Disposition"))
	assert.Equal(t, "inline", h.Get("Content-Disposition"), "the caller's fields are not changed")
}

// countingListener counts the bytes that connections send straight from files.
type countingListener struct {
	net.Listener
	fromFiles *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{c.(*net.TCPConn), l.fromFiles}, nil
}

type countingConn struct {
	*net.TCPConn
	fromFiles *atomic.Int64
}

// ReadFrom is where TCPConn uses sendfile.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if l, ok := r.(*io.LimitedReader); ok {
		if _, ok := l.R.(*os.File); ok {
			c.fromFiles.Add(n)
		}
	}
	return n, err
}
