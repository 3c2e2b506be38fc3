//go:build !unix || netreply_portable

package wire

import "net"

// readAhead does nothing: nothing tells it what has arrived, and its socket is always nil.
type readAhead struct{ socket *socket }

func (*readAhead) init(*socket) {}

func (*readAhead) pending() bool { return false }

func (a *readAhead) Read(p []byte) (int, error) { return a.socket.Read(p) }

func (*readAhead) readRecords(stream net.Conn, p []byte) (int, error) { return stream.Read(p) }
