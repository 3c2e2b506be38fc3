package netreply_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestH2EndDuringPing: a connection that the peer ends while a PING is being sent was closed,
// and not silent.
func TestH2EndDuringPing(t *testing.T) {
	const pingInterval = 15 * time.Second
	for _, end := range []netreplytest.Fault{netreplytest.Close(), netreplytest.Reset()} {
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				s := netreplytest.NewServer(t, netreplytest.HTTP2)
				s.Handle("/", netreplytest.Answer{netreplytest.After(pingInterval), end})
				require.ErrorIs(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()), netreply.RemoteHostClosedError)
			})
		}
	}
}
