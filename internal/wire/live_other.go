//go:build !unix || netreply_portable

package wire

import (
	"net"
	"sync/atomic"
)

// hasSockets reports whether newSocket is supported.
const hasSockets = false

// socket is a socket that can be asked, without waiting, whether anything has arrived on
// it. Here there is none, so that HTTP/1 is left to net/http, which always reads.
type socket struct {
	net.Conn
	quiet   atomic.Bool
	refused atomic.Bool
	scratch [1]byte
}

func newSocket(net.Conn) *socket { return nil }

func (*socket) pending() bool { return true }

func (s *socket) readPooled() (in *[readBuffer]byte, n int, err error) {
	in = inputs.Get().(*[readBuffer]byte)
	n, err = s.Conn.Read(in[:])
	return in, n, err
}
