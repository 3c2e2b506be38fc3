//go:build unix

package wire

import (
	"io"
	"net"
	"os"
	"syscall"
)

// pendingCheck tells whether bytes, or the end, lie unread in a socket. Its function is
// made once per connection, since RawConn wants one that escapes.
type pendingCheck struct {
	raw  syscall.RawConn
	look func(fd uintptr)
	any  bool
}

// hasPending tells whether something lies unread in nc, which must be the socket under c;
// false where that cannot be told.
func (c *tapConn) hasPending(nc net.Conn) bool {
	if c.pending == nil {
		c.pending = newPendingCheck(nc)
	}
	p := c.pending
	if p.raw == nil {
		return false
	}
	p.any = false
	p.raw.Control(p.look)
	return p.any
}

func newPendingCheck(nc net.Conn) *pendingCheck {
	p := &pendingCheck{}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return p
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return p
	}
	var b [1]byte
	p.raw = raw
	p.look = func(fd uintptr) {
		// the socket does not block: EAGAIN says that nothing is there
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		p.any = err != syscall.EAGAIN && err != syscall.EINTR
	}
	return p
}

// idleRead reads from a socket on which nothing is expected, and decides under the lock of
// the tapConn, in one step with taking the bytes out of the socket, whose they are. So there
// is no moment in which they are neither in the socket nor known, and a request that goes
// out then meets them. The socket does not block: the lock is held for a copy.
type idleRead struct {
	raw  syscall.RawConn
	take func(fd uintptr) bool
	p    []byte
	n    int
	kept int
	err  error
}

// newIdleRead gives nil for connections that are more than a socket.
func newIdleRead(c *tapConn) *idleRead {
	var raw syscall.RawConn
	var err error
	switch nc := c.Conn.(type) {
	case *net.TCPConn:
		raw, err = nc.SyscallConn()
	case *net.UnixConn:
		raw, err = nc.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	r := &idleRead{raw: raw}
	r.take = func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for {
			r.n, r.err = syscall.Read(int(fd), r.p)
			if r.err != syscall.EINTR {
				break
			}
		}
		if r.n > 0 && !c.early() {
			r.kept = c.takeOwed(r.p[:r.n])
		}
		return r.err != syscall.EAGAIN
	}
	return r
}

// read gives what came, and how much of it is a response's; that is still to be decided when
// c.early says so.
func (r *idleRead) read(c *tapConn, p []byte) (n, kept int, err error) {
	r.p, r.n, r.kept, r.err = p, 0, -1, nil
	if err = r.raw.Read(r.take); err != nil {
		return 0, 0, err
	}
	r.p = nil
	switch {
	case r.err != nil:
		return 0, 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", r.err)}
	case r.n == 0:
		return 0, 0, io.EOF
	}
	return r.n, r.kept, nil
}
