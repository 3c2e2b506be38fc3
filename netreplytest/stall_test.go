package netreplytest_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestStallOfOneStream: a client that gives up a stalled request over HTTP/2 keeps the others on
// its connection.
func TestStallOfOneStream(t *testing.T) {
	for _, kind := range binary {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/stall", netreplytest.Stall())
			s.Handle("/slow", netreplytest.Answer{netreplytest.After(time.Hour), netreplytest.Body("at last")})
			slow := s.Manager().Post(t.Context(), s.Request("/slow"), netreply.StringBody("x"))
			synctest.Wait()
			req := s.Request("/stall")
			req.TransferTimeout = time.Minute
			require.ErrorIs(t, s.Manager().Get(t.Context(), req).Wait(t.Context()), netreply.TimeoutError)
			require.NoError(t, slow.Wait(t.Context()), "%v", kind)
			assert.Equal(t, 1, s.Connections())
		})
	}
}

// cleanupTB is a test that ends when end is called.
type cleanupTB struct {
	testing.TB
	cleanups []func()
}

func (t *cleanupTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *cleanupTB) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// TestHangConnectingEnds: the end of the test ends a connection attempt whose context goes on.
func TestHangConnectingEnds(t *testing.T) {
	tb := &cleanupTB{TB: t}
	s := netreplytest.NewServer(tb, netreplytest.HTTP)
	s.Fail(netreplytest.HangConnecting())
	dialed := make(chan error)
	go func() {
		_, err := s.DialContext(context.Background(), "tcp", "server.example:80")
		dialed <- err
	}()
	tb.end()
	require.Error(t, <-dialed)
}
