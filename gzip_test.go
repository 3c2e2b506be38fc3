package netreply_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestGzipEdgeCases: rule Z2: the same coding twice is decoded twice, x-gzip is gzip, zeros
// after the end are ignored and other bytes are an error, headers may be long.
func TestGzipEdgeCases(t *testing.T) {
	gz := func(codings ...string) string { return string(encoded(t, []byte("hello"), codings...)) }
	long := strings.Repeat("n", 100_000)
	named := func(name string) string {
		one := gz("gzip")
		return one[:3] + "\x08" + one[4:10] + name + "\x00" + one[10:]
	}
	for _, c := range []struct{ coding, body, err string }{
		{"x-gzip", gz("gzip"), ""},
		{"gzip, gzip", gz("gzip", "gzip"), ""},
		{"x-gzip, gzip", gz("gzip", "gzip"), ""},
		{"deflate, deflate", gz("deflate", "deflate"), ""},
		{"gzip", gz("gzip") + strings.Repeat("\x00", 5000), ""},
		{"gzip", gz("gzip") + "\r\n", "gzip: there is other data after the end"},
		{"gzip", gz("gzip") + "junkjunkjunkjunk", "gzip: there is other data after the end"},
		{"gzip", named(long), ""},
		{"gzip", named(strings.Repeat(long, 2)), "gzip: the header is longer than 150000 bytes"},
	} {
		eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", c.coding)
			w.Write([]byte(c.body))
		}, netreply.Config{MaxHeaderBytes: 150_000}, func(t *testing.T, s *fixture) {
			body, err := s.m.Get(t.Context(), s.request("/")).ReadAll()
			if c.err == "" {
				require.NoError(t, err, c.coding)
			} else {
				require.ErrorIs(t, err, netreply.UnknownContentError)
				require.ErrorContains(t, err, c.err)
			}
			if !strings.Contains(c.err, "header") {
				assert.Equal(t, "hello", string(body), c.coding)
			}
		})
	}
}
