package wire

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestObserver: the calls of one exchange, and that it can be cancelled before anything is
// sent.
func TestObserver(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		var served atomic.Int64
		s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Add(1) }))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		w := &recorder{}
		_, _, err := b.fetch(call{url: s.URL, watch: w})
		require.NoError(t, err)
		assert.Equal(t, "connecting encrypted sending", w.list())
		w = &recorder{}
		_, _, err = b.fetch(call{url: s.URL, watch: w})
		require.NoError(t, err)
		assert.Equal(t, "sending", w.list())

		ctx, cancel := context.WithCancel(t.Context())
		_, _, err = b.send(ctx, call{url: s.URL, watch: &recorder{onSend: cancel}})
		require.ErrorIs(t, err, context.Canceled)
		assert.EqualValues(t, 2, served.Load(), "the third was stopped before it was sent")
		b.tr.CloseIdle()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 5*time.Second, time.Millisecond)
	})
}
