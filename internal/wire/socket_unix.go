//go:build unix

package wire

import (
	"io"
	"net"
	"os"
	"syscall"
)

// pendingCheck checks whether bytes, or the end of the stream, are unread in a socket. Its
// function is made once per connection, because RawConn requires a function that escapes.
type pendingCheck struct {
	raw   syscall.RawConn
	look  func(fd uintptr)
	found bool
}

// hasPending reports whether bytes or the end of the stream are unread in nc, which must be
// the socket below c; false if that cannot be determined.
func (c *tapConn) hasPending(nc net.Conn) bool {
	if c.pending == nil {
		c.pending = newPendingCheck(nc)
	}
	p := c.pending
	if p.raw == nil {
		return false
	}
	p.found = false
	p.raw.Control(p.look)
	return p.found
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
		// the socket is non-blocking: EAGAIN means that nothing is available
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		p.found = err != syscall.EAGAIN && err != syscall.EINTR
	}
	return p
}

// plainSocket returns nil for anything other than a plain socket: another type may change the
// bytes or the deadlines.
func plainSocket(nc net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, err = nc.SyscallConn()
	case *net.UnixConn:
		raw, err = nc.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return raw
}

// readNow reads what has arrived; EAGAIN means nothing.
func readNow(fd uintptr, p []byte) (n int, err error) {
	for {
		if n, err = syscall.Read(int(fd), p); err != syscall.EINTR {
			return n, err
		}
	}
}

// readError is an error of reading from a socket.
func readError(nc net.Conn, err error) error {
	return &net.OpError{Op: "read", Net: nc.LocalAddr().Network(), Source: nc.LocalAddr(), Addr: nc.RemoteAddr(), Err: err}
}

// idleRead reads from a socket on which nothing is expected. Under the lock of the tapConn
// it both takes the bytes out of the socket and decides whether they belong to a response.
// So at any time unexpected bytes are either in the socket or known to the tapConn, and a
// request that is sent then detects them. The socket is non-blocking: the lock is held only
// for a copy.
type idleRead struct {
	raw  syscall.RawConn
	take func(fd uintptr) bool
	p    []byte
	n    int
	kept int
	err  error
}

// newIdleRead returns nil for connections other than plain sockets.
func newIdleRead(c *tapConn) *idleRead {
	raw := plainSocket(c.Conn)
	if raw == nil {
		return nil
	}
	r := &idleRead{raw: raw}
	r.take = func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.n, r.err = readNow(fd, r.p)
		if r.n > 0 && !c.early() {
			r.kept = c.acceptBytes(r.p[:r.n])
		}
		return r.err != syscall.EAGAIN
	}
	return r
}

// read returns the number of bytes read, and how many of them belong to a response; -1 if
// the caller has to decide, because the first request was not sent yet.
func (r *idleRead) read(c *tapConn, p []byte) (n, kept int, err error) {
	r.p, r.n, r.kept, r.err = p, 0, -1, nil
	if err = r.raw.Read(r.take); err != nil {
		return 0, 0, err
	}
	r.p = nil
	switch {
	case r.err != nil:
		return 0, 0, readError(c, os.NewSyscallError("read", r.err))
	case r.n == 0:
		return 0, 0, io.EOF
	}
	return r.n, r.kept, nil
}
