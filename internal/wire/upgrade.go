package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Upgraded is an HTTP/1 connection after a 101 response, which speaks another protocol and
// is no longer used for HTTP (RFC 9110, section 7.8). It does not count against the limit
// of connections, and ends with neither the context of its request nor with its exchange:
// Close closes it, or Transport.Close. Its Read begins with the bytes that arrived together
// with the response head.
type Upgraded struct {
	net.Conn               // TLS, or the socket
	body     io.ReadCloser // net/http's: what it has buffered, then the connection
	t        *Transport
	c        *conn
	closed   atomic.Bool
}

func (u *Upgraded) Read(p []byte) (int, error) { return u.body.Read(p) }

// Close closes the connection. A second Close returns net.ErrClosed.
func (u *Upgraded) Close() error {
	if !u.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	u.t.mu.Lock()
	upgraded := u.c.upgraded
	u.c.upgraded = false
	u.t.mu.Unlock()
	if upgraded { // otherwise Transport.Close closes it
		u.t.closeConn(u.c)
	}
	return nil
}

// CloseWrite ends the stream in the direction to the peer, where the connection can do so:
// TCP, Unix domain sockets and TLS can.
func (u *Upgraded) CloseWrite() error {
	if c, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return fmt.Errorf("closing one direction: %w", errors.ErrUnsupported)
}

// upgrade removes the connection of an exchange from the pool, after a 101 response.
func (t *Transport) upgrade(c *conn, body io.ReadCloser) *Upgraded {
	if tap, ok := c.connection.(*stdConn); ok {
		tap.tap.becomeTunnel()
	}
	c.stream.SetDeadline(time.Time{})
	t.mu.Lock()
	c.carry(-1)
	if t.pool.remove(c) { // otherwise Transport.Close is closing it
		c.upgraded = true
		c.host.startDials()
		c.host.dropIfEmpty()
	}
	t.unlock()
	return &Upgraded{Conn: c.stream, body: body, t: t, c: c}
}
