package netreply_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestRoundTripperTrailerNames: trailers that describe the framing are refused before
// anything is sent, whatever the protocol.
func TestRoundTripperTrailerNames(t *testing.T) {
	rt := newManager(t, netreply.Config{}).RoundTripper(netreply.RoundTripperOptions{})
	for _, name := range []string{"Content-Length", "transfer-encoding", "Trailer"} {
		body := observed(strings.NewReader("text"))
		req, err := http.NewRequestWithContext(deadline(t), "POST", "http://"+testserver.Refusing(t), body)
		assert.NoError(t, err)
		req.Trailer = http.Header{name: {"1"}}
		_, err = rt.RoundTrip(req)
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		assert.ErrorContains(t, err, name)
		body.awaitClose(t)
	}
}
