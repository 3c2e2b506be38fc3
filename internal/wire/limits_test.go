package wire

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestNoHeaderLimit: the largest MaxHeaderBytes works without overflow.
func TestNoHeaderLimit(t *testing.T) {
	for kind, proto := range map[testserver.Kind]Protocol{testserver.Plain: HTTP1, testserver.H2C: HTTP2} {
		s, _ := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Long", strings.Repeat("x", 100<<10))
		}))
		b := newRig(t, Config{MaxHeaderBytes: math.MaxInt64})
		resp, _, err := b.exchangeOnce(call{url: s.URL, proto: proto})
		require.NoError(t, err, kind)
		require.Len(t, resp.Header.Get("Long"), 100<<10)
	}
}
