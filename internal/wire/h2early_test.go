package wire

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// TestH2EarlyResponseWithoutContent: after a response to an upload that consists of a head
// only, and without further reading by the server, the exchange ends without a leaked
// stream or goroutine.
func TestH2EarlyResponseWithoutContent(t *testing.T) {
	settings := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 100}, {ID: http2.SettingMaxConcurrentStreams, Val: 1}}
	for _, status := range []string{"200", "204", "404"} {
		url := newH2Peer(t, false, settings, func(p *h2Peer, r peerRequest) { p.head(r.stream, true, ":status", status) })
		b := newRig(t, Config{})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			resp, _, err := b.send(ctx, call{url: url, method: "POST", proto: HTTP2, body: strings.NewReader(strings.Repeat("x", 1000)), length: 1000})
			require.NoError(t, err, status)
			require.NoError(t, resp.Body.Close())
			cancel()
			_, body, err := b.exchangeOnce(call{url: url, proto: HTTP2})
			require.NoError(t, err, status)
			assert.Empty(t, body)
		}
		assert.Equal(t, 1, b.tr.Connections(), status)
	}
}
