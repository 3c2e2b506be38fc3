package netreply_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestRoundTripperSchemes: neither a request nor a redirect that http.Client follows reaches a
// file of the system, and redirects reach no other scheme (rule F12).
func TestRoundTripperSchemes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte("secret"), 0o600))
	file := "file://" + filepath.ToSlash(name)
	served := 0
	m := newManager(t, netreply.Config{
		FileAccess: netreply.FullFileAccess,
		Backends: map[string]netreply.Backend{"mem": netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			served++
			if q.URL.Path == "/moved" {
				w.SetAttribute(netreply.HTTPStatusCode, http.StatusFound)
				return w.SetRawHeader("Location", "mem://host/")
			}
			_, err := io.WriteString(w, "text")
			return err
		})},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, q.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}
	for _, target := range []string{file, server.URL + "/?to=" + file, server.URL + "/?to=data:,text", server.URL + "/?to=mem://host/"} {
		for _, method := range []string{"GET", "PUT"} {
			body := observed(strings.NewReader("changed"))
			req, err := http.NewRequest(method, target, body)
			require.NoError(t, err)
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("changed")), nil }
			resp, err := client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			assert.ErrorIs(t, err, netreply.ProtocolUnknownError, "%s %s", method, target)
			assert.ErrorContains(t, err, "unsupported protocol scheme")
			body.awaitClose(t)
		}
	}
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(content))
	assert.Zero(t, served, "redirects reach a Backend")

	resp, err := client.Get("mem://host/moved")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "text", string(text), "within the scheme they do")
	resp, err = client.Get("data:,text")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}
