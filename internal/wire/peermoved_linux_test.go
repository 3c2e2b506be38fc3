package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// TestPeerMoved: detects whether the peer accepts bytes from the socket buffer of an
// upload, for both protocols.
func TestPeerMoved(t *testing.T) {
	take := make(chan int64)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for n := range take {
			io.CopyN(io.Discard, c, n)
		}
	})
	defer close(take)
	tr := NewTransport(Config{Dialer: &dial.Dialer{}})
	defer tr.Close()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL(), bytes.NewReader(make([]byte, 64<<20)))
	require.NoError(t, err)
	sending, ended := make(chan struct{}), make(chan struct{})
	x := &Exchange{Key: Key{Scheme: "http", Addr: s.Addr}, Observer: &recorder{onSend: func() { close(sending) }}}
	require.Zero(t, tr.PeerMoved(x))
	go func() {
		defer close(ended)
		tr.RoundTrip(req, x)
	}()
	<-sending
	// the system's buffers are full from then on
	still, last := 0, int32(-1)
	require.Eventually(t, func() bool {
		if tr.PeerMoved(x); x.unacked != last {
			still, last = 0, x.unacked
		} else {
			still++
		}
		return still == 20
	}, time.Minute, 20*time.Millisecond)
	require.NotZero(t, x.unacked)
	require.Zero(t, tr.PeerMoved(x))
	take <- 16 << 20
	require.Eventually(t, func() bool { return !tr.PeerMoved(x).IsZero() }, 10*time.Second, time.Millisecond)
	cancel()
	<-ended
}
