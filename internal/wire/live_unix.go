//go:build unix && !netreply_portable

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// errQuietWrite is the error of a Write that might have to wait. It is final.
var errQuietWrite = errors.New("the connection is idle")

// hasSockets reports whether newSocket is supported.
const hasSockets = true

// socket is a socket that can be asked, without waiting, whether anything has arrived on
// it. It is the connection below crypto/tls, or carries HTTP itself.
type socket struct {
	net.Conn
	raw syscall.RawConn

	// The functions are made once, because RawConn requires functions that escape. Their
	// arguments and results are used by one goroutine at a time: between exchanges the one
	// that has the connection from the pool, during exchanges none.
	look  func(fd uintptr)
	found bool
	take  func(fd uintptr) bool
	wait  func(fd uintptr) bool
	p     []byte
	in    *[readBuffer]byte
	n     int
	err   error

	quiet   atomic.Bool // Read does not wait, and Write fails
	refused atomic.Bool // a Write has failed for that reason
	scratch [1]byte
}

// newSocket returns nil for anything other than a plain socket.
func newSocket(nc net.Conn) *socket {
	raw := plainSocket(nc)
	if raw == nil {
		return nil
	}
	s := &socket{Conn: nc, raw: raw}
	s.look = func(fd uintptr) { // a connection on which something has come is given up: the byte is not missed
		_, err := readNow(fd, s.scratch[:])
		s.found = err != syscall.EAGAIN
	}
	s.take = func(fd uintptr) bool {
		s.n, s.err = readNow(fd, s.p)
		return true
	}
	s.wait = func(fd uintptr) bool {
		s.in = inputs.Get().(*[readBuffer]byte)
		s.n, s.err = readNow(fd, s.in[:])
		if s.err == syscall.EAGAIN { // it is called again when there is something
			inputs.Put(s.in)
			s.in = nil
			return false
		}
		return true
	}
	return s
}

// readPooled is Read into a buffer of inputs, which it takes when there is something to read.
// The caller gives it back.
func (s *socket) readPooled() (in *[readBuffer]byte, n int, err error) {
	s.n, s.err = 0, nil
	err = s.raw.Read(s.wait)
	in, s.in = s.in, nil
	n, err = s.result(err)
	return in, n, err
}

// SyscallConn is for those who look below TLS, see tls.Conn.NetConn.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }

// NetConn returns the socket itself.
func (s *socket) NetConn() net.Conn { return s.Conn }

// pending reports whether bytes, or the end of the stream, are unread.
func (s *socket) pending() bool {
	s.found = true
	if s.raw.Control(s.look) != nil {
		return true // closed
	}
	return s.found
}

// Read reads, without waiting if quiet is set.
func (s *socket) Read(p []byte) (int, error) {
	if !s.quiet.Load() {
		return s.Conn.Read(p)
	}
	s.p, s.n, s.err = p, 0, nil
	err := s.raw.Read(s.take)
	s.p = nil
	return s.result(err)
}

// result is the result of a read; err is that of RawConn.
func (s *socket) result(err error) (int, error) {
	switch {
	case err != nil:
		if op, ok := err.(*net.OpError); ok {
			op.Op = "read" // as of Conn
		}
		return 0, err
	case s.err == syscall.EAGAIN:
		return 0, errQuiet
	case s.err != nil:
		return 0, readError(s, os.NewSyscallError("read", s.err))
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// Write fails if quiet is set: TLS may have to answer, when it reads, and would wait for a
// peer that reads nothing.
func (s *socket) Write(p []byte) (int, error) {
	if s.quiet.Load() {
		s.refused.Store(true)
		return 0, errQuietWrite
	}
	return s.Conn.Write(p)
}
