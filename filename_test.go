package netreply_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestFileName: the name comes from the final response and from the URL of the last hop.
func TestFileName(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			w.Header().Set("Content-Disposition", `attachment; filename="of-the-redirect"`)
			w.Header().Set("Location", "/dir/target%20file.txt?a=/b")
			w.WriteHeader(http.StatusFound)
		case "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="../EURO.exe"; filename*=UTF-8''%e2%82%ac%20rates.csv`)
		case "/missing/x.txt":
			w.WriteHeader(http.StatusNotFound)
		case "/":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for path, want := range map[string]string{
			"/moved":         "target file.txt",
			"/named":         "€ rates.csv",
			"/missing/x.txt": "x.txt",
			"/a/b%2f..%2Fc":  "c",
			"/":              "download.json",
		} {
			r := s.m.Get(t.Context(), s.request(path))
			_ = r.Wait(deadline(t))
			assert.Equal(t, want, r.FileName(), path)
		}
	})

	m := newManager(t, netreply.Config{})
	r := m.Get(cancelled(), newRequest(t, "http://a.test/b/CON"))
	require.Error(t, r.Wait(deadline(t)))
	assert.Equal(t, "_CON", r.FileName(), "without a response")
	assert.Equal(t, "download", new(netreply.Reply).FileName())
}
