//go:build unix && !netreply_portable

package wire

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// readAhead reads records from a socket for crypto/tls, which asks for little more than one at a
// time. If more has arrived, readAhead reads that too: into memory that is lent to it for the
// duration of a Read, or else into a pooled buffer, which it has only while there are unread
// bytes in it. So neither an idle connection has a buffer, nor one that waits.
type readAhead struct {
	socket *socket
	take   func(fd uintptr) bool // takeMore
	busy   bool                  // the last read from the socket has got all that it asked for, and much

	unread   []byte
	pooled   *[aheadBytes]byte // the memory of unread; nil if that is lent, or nothing is unread
	lent     []byte            // nil if no memory is lent
	dry      bool              // Read does not read from the socket
	err      error             // the result of takeMore without bytes
	buffered atomic.Bool       // there are unread bytes; for other goroutines
}

const (
	aheadBytes = 64 << 10  // of the pooled buffer
	lentBytes  = 256 << 10 // of lent memory at most
	aheadFrom  = 16 << 10  // of a read: with fewer the peer is not faster than the reader
)

var aheadPool = sync.Pool{New: func() any { return new([aheadBytes]byte) }}

// The function is made once, because RawConn requires one that escapes.
func (a *readAhead) init(s *socket) { a.socket, a.take = s, a.takeMore }

// pending reports whether there are bytes that were taken out of the socket, and that crypto/tls
// has not asked for.
func (a *readAhead) pending() bool { return a.buffered.Load() }

// Read reads for crypto/tls. It waits for bytes, unless dry or quiet are set.
func (a *readAhead) Read(p []byte) (int, error) {
	if len(a.unread) == 0 {
		switch {
		case a.dry:
			return 0, errQuiet
		case !a.busy:
			n, err := a.socket.Read(p)
			a.busy = n == len(p) && n >= aheadFrom
			return n, err
		}
		if err := a.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.unread)
	if a.unread = a.unread[n:]; len(a.unread) == 0 {
		a.release()
	}
	return n, nil
}

// fill waits for unread bytes.
func (a *readAhead) fill() error {
	a.err = nil
	if err := a.socket.raw.Read(a.take); err != nil { // closed, or a deadline
		if e, ok := err.(*net.OpError); ok {
			err = e.Err
		}
		return readError(a.socket, err)
	}
	return a.err
}

// takeMore reads from the socket, and reports false if it has to be readable first.
func (a *readAhead) takeMore(fd uintptr) bool {
	space := a.lent
	if space == nil {
		a.pooled = aheadPool.Get().(*[aheadBytes]byte)
		space = a.pooled[:]
	}
	n, err := readNow(fd, space)
	if err == nil && n > 0 {
		a.unread, a.busy = space[:n], n >= aheadFrom
		a.buffered.Store(true)
		return true
	}
	a.release()
	switch {
	case err == nil:
		a.err = io.EOF
	case err != syscall.EAGAIN:
		a.err = readError(a.socket, os.NewSyscallError("read", err))
	case a.socket.quiet.Load():
		a.err = errQuiet
	default:
		return false
	}
	return true
}

// release gives the pooled buffer back.
func (a *readAhead) release() {
	a.unread = nil
	a.buffered.Store(false)
	if a.pooled != nil {
		aheadPool.Put(a.pooled)
		a.pooled = nil
	}
}

// readRecords reads from stream, which is crypto/tls on a, into p. Its end is the lent memory;
// records are decrypted from there to its beginning.
func (a *readAhead) readRecords(stream net.Conn, p []byte) (n int, err error) {
	lent := min(len(p)/2, lentBytes)
	p, a.lent = p[:len(p)-lent], p[len(p)-lent:]
	defer a.takeBack()
	n, err = stream.Read(p)
	for a.dry = true; err == nil && len(a.unread) > 0 && n < len(p); {
		var m int
		m, err = stream.Read(p[n:])
		n += m
	}
	if n > 0 && err == error(errQuiet) {
		err = nil // the last record is incomplete
	}
	return n, err
}

// takeBack ends the loan, and keeps what is unread.
func (a *readAhead) takeBack() {
	a.lent, a.dry = nil, false
	switch {
	case a.pooled != nil || len(a.unread) == 0:
	case len(a.unread) <= aheadBytes:
		a.pooled = aheadPool.Get().(*[aheadBytes]byte)
		a.unread = a.pooled[:copy(a.pooled[:], a.unread)]
	default:
		a.unread = bytes.Clone(a.unread)
	}
}
