//go:build unix

package httpserver_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestWriteFilePipe: a pipe, which nobody writes to, is not waited for.
func TestWriteFilePipe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	w := httptest.NewRecorder()
	fileHandler(os.DirFS(dir), httpserver.FileOptions{}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/pipe", nil))
	assert.Equal(t, 404, w.Code)
	assert.Equal(t, httpserver.NotFound, httpserver.FileResponse(filepath.Join(dir, "pipe")).Status)
}
