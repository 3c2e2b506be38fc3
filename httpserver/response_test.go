package httpserver_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

func TestResponse(t *testing.T) {
	a, err := httpserver.JSONResponse(map[string]string{"k": "v"}, httpserver.Created)
	require.NoError(t, err)
	assert.Equal(t, httpserver.Created, a.Status)
	assert.Equal(t, "application/json", a.MIMEType())
	b := a.Clone()
	assert.True(t, a.Equal(b))
	b.Headers.Add("X", "y")
	assert.False(t, a.Equal(b))
	b = a.Clone()
	b.Body[0] = '['
	assert.False(t, a.Equal(b))
	_, err = httpserver.JSONResponse(func() {})
	require.Error(t, err)
	assert.Equal(t, "image/png", httpserver.DataResponse([]byte("\x89PNG\x0d\x0a\x1a\x0a"), "").MIMEType())
	assert.True(t, httpserver.StatusResponse(0).Equal(httpserver.StatusResponse(httpserver.Ok)))

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.json"), []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page"), []byte("<!doctype html>"), 0o600))
	assert.Equal(t, "application/json", httpserver.FileResponse(filepath.Join(dir, "a.json")).MIMEType())
	assert.Equal(t, "text/html; charset=utf-8", httpserver.FileResponse(filepath.Join(dir, "page")).MIMEType())
	assert.Equal(t, httpserver.NotFound, httpserver.FileResponse(filepath.Join(dir, "none")).Status)
}

// TestStatusNames: every one prints as its number and a reason phrase, others as their number.
func TestStatusNames(t *testing.T) {
	assert.Equal(t, "404 Not Found", httpserver.NotFound.String())
	assert.Equal(t, "599 Network Connect Timeout Error", httpserver.NetworkConnectTimeoutError.String())
	assert.Equal(t, "299", httpserver.StatusCode(299).String())
	for _, s := range []httpserver.StatusCode{100, 101, 102, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 426, 428, 429, 431, 451,
		500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 599} {
		assert.Regexp(t, `^\d{3} [A-Z]`, s.String())
	}
}
