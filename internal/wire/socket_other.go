//go:build !unix

package wire

import "net"

// Without this check only the background reader notices bytes on an idle connection.
type pendingCheck struct{}

func (*tapConn) hasPending(net.Conn) bool { return false }

type idleRead struct{}

func newIdleRead(*tapConn) *idleRead { return nil }

func (*idleRead) read(c *tapConn, p []byte) (n, kept int, err error) {
	n, err = c.Conn.Read(p)
	return n, -1, err
}
