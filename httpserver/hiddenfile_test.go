package httpserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

func writeFile(t *testing.T, fsys fstest.MapFS, name string, o httpserver.FileOptions) (status int, body string) {
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) { assert.NoError(t, w.WriteFile(fsys, name, o)) }).
		ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Code, w.Body.String()
}

// TestWriteFileHidden: names that begin with a dot are not found, unless they are asked for.
func TestWriteFileHidden(t *testing.T) {
	hidden := []string{".env", ".git/config", "a/.b/c", "a/..d", "a/.well-known/x", ".well-known/.x", ".well-knownx"}
	shown := []string{"a.b", "a/b.", ".well-known/x", "index.html"}
	fsys := fstest.MapFS{}
	for _, name := range append(hidden, shown...) {
		fsys[name] = &fstest.MapFile{Data: []byte(name)}
	}
	for _, name := range hidden {
		for _, given := range []string{name, "/" + name} {
			status, body := writeFile(t, fsys, given, httpserver.FileOptions{})
			assert.Equal(t, 404, status, given)
			assert.Empty(t, body, given)
			status, body = writeFile(t, fsys, given, httpserver.FileOptions{Hidden: true})
			assert.Equal(t, 200, status, given)
			assert.Equal(t, name, body)
		}
	}
	for _, name := range shown {
		status, body := writeFile(t, fsys, name, httpserver.FileOptions{})
		assert.Equal(t, 200, status, name)
		assert.Equal(t, name, body)
	}
	status, _ := writeFile(t, fsys, ".git", httpserver.FileOptions{Index: "config"})
	assert.Equal(t, 404, status, "nor is a redirect to it")
	status, body := writeFile(t, fsys, "/", httpserver.FileOptions{Index: "index.html"})
	assert.Equal(t, 200, status)
	assert.Equal(t, "index.html", body)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestWriteFileUnfinished: an upload that is on its way cannot be fetched.
func TestWriteFileUnfinished(t *testing.T) {
	dir := t.TempDir()
	u, err := httpserver.BodyUpload(httptest.NewRequest("PUT", "/", io.MultiReader(strings.NewReader("secret"), readerFunc(func([]byte) (int, error) {
		all, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, all, 1)
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
			assert.NoError(t, w.WriteFile(os.DirFS(dir), all[0].Name(), httpserver.FileOptions{}))
		}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, 404, w.Code)
		return 0, io.EOF
	}))), httpserver.UploadConfig{})
	require.NoError(t, err)
	_, err = u.SaveAs(filepath.Join(dir, "x"))
	assert.NoError(t, err)
}
