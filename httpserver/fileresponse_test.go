package httpserver_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestFileResponse: read when it is sent, and again each time.
func TestFileResponse(t *testing.T) {
	dir := files(t)
	name := filepath.Join(dir, "digits.txt")
	p := httpserver.FileResponse(name)
	assert.Nil(t, p.Body)
	assert.Equal(t, name, p.File)
	assert.True(t, p.Equal(p.Clone()))
	assert.False(t, p.Equal(httpserver.FileResponse(filepath.Join(dir, "empty"))))
	assert.Equal(t, httpserver.NotFound, httpserver.FileResponse(dir).Status)

	var got error
	answer := p
	srv, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true})
	require.NoError(t, err)
	hooks := 0
	srv.AfterRequest(func(_ *http.Request, p *httpserver.Response) { hooks++; p.Headers.Set("X-Hook", "yes") })
	srv.Handle("/", func(_ *http.Request, w *httpserver.Responder) { got = w.SendResponse(answer) })
	addr := serve(t, srv)
	overBoth(t, func(t *testing.T, client *http.Client) {
		answer, hooks = p, 0
		status, h, body := ask(t, client, "GET", "http://"+addr+"/", "", nil)
		assert.NoError(t, got)
		assert.Equal(t, 200, status)
		assert.Equal(t, digits, body)
		assert.Equal(t, "yes", h.Get("X-Hook"))
		assert.Equal(t, 1, hooks)

		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/", nil)
		require.NoError(t, err)
		req.Header.Set("Range", "bytes=1-2")
		resp, err := client.Do(req)
		require.NoError(t, err)
		part, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		assert.NoError(t, err)
		assert.Equal(t, "12", string(part))

		answer = p.Clone()
		answer.Status = httpserver.NotFound
		status, _, body = ask(t, client, "GET", "http://"+addr+"/", "", nil)
		assert.Equal(t, 404, status)
		assert.Equal(t, digits, body)

		answer = p.Clone()
		answer.Body = []byte("in its place")
		_, _, body = ask(t, client, "GET", "http://"+addr+"/", "", nil)
		assert.Equal(t, "in its place", body)

		answer = &httpserver.Response{File: filepath.Join(dir, "none")}
		status, _, _ = ask(t, client, "GET", "http://"+addr+"/", "", nil)
		assert.Equal(t, 500, status)
		assert.ErrorIs(t, got, fs.ErrNotExist)
	})
}

// TestWriteFileSendfile: files reach the connection as files, but for the first block.
func TestWriteFileSendfile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), make([]byte, large), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	srv, err := httpserver.NewServer(httpserver.Config{})
	require.NoError(t, err)
	srv.Handle("/server/{name}", func(r *http.Request, w *httpserver.Responder) {
		assert.NoError(t, w.WriteFile(root.FS(), r.PathValue("name"), httpserver.FileOptions{}))
	})
	srv.Route("/response/f", func(*http.Request) *httpserver.Response { return httpserver.FileResponse(filepath.Join(dir, "f")) })
	mux := http.NewServeMux()
	mux.Handle("/server/", srv)
	mux.Handle("/response/", srv)
	mux.Handle("/", fileHandler(os.DirFS(dir), httpserver.FileOptions{}, nil))
	var fromFiles atomic.Int64
	s := httptest.NewUnstartedServer(mux)
	s.Listener = countingListener{s.Listener, &fromFiles}
	s.Start()
	defer s.Close()
	for _, path := range []string{"/f", "/server/f", "/response/f"} {
		fromFiles.Store(0)
		_, _, body := ask(t, s.Client(), "GET", s.URL+path, "", nil)
		assert.Equal(t, large, len(body), path)
		// The client may have all of it before the server has counted it.
		require.Eventually(t, func() bool { return fromFiles.Load() > large-100_000 }, 20*time.Second, time.Millisecond, path)
	}
}
