package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// lateConn is a connection whose Reads, once it is held, return only after release is
// closed: then with bytes that had arrived, although it has been closed meanwhile.
type lateConn struct {
	net.Conn
	held    atomic.Bool
	reading chan struct{} // gets an item when a held Read has begun
	release chan struct{}
}

func (c *lateConn) Read(p []byte) (int, error) {
	if !c.held.Load() {
		return c.Conn.Read(p)
	}
	c.reading <- struct{}{}
	<-c.release
	return copy(p, "more"), nil
}

// TestCloseDuringReadIsNoEnd: where Close ends an exchange during a Read, that Read does not
// return io.EOF: a body that ends with the connection would look complete.
func TestCloseDuringReadIsNoEnd(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if _, ok := c.Head(); ok {
			c.Say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome")
			c.Head()
		}
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		nc := &lateConn{reading: make(chan struct{}, 1), release: make(chan struct{})}
		b := with(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			nc.Conn = c
			return nc, err
		}}})
		resp, _, err := b.send(t.Context(), call{url: s.URL()})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		_, err = io.ReadFull(resp.Body, make([]byte, 4))
		require.NoError(t, err)
		nc.held.Store(true)
		ended := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(resp.Body) // which returns no error for io.EOF
			ended <- err
		}()
		<-nc.reading
		assert.NoError(t, resp.Body.Close())
		close(nc.release)
		assert.ErrorIs(t, <-ended, net.ErrClosed)
	})
}
