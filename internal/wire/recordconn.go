package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// tlsStream is TLS of crypto/tls, which makes a system call for each record that it sends, and
// for every other one that it receives. A record has at most 16 KiB, and less than 2 KiB at the
// beginning of a connection. Here a large Write sends several records with one system call, and
// a large Read receives several.
type tlsStream struct {
	*tls.Conn
	records *recordConn
	single  bool         // Read reads one record: behind it there may be a handshake, which waits
	writing atomic.Int32 // large Writes that are running
}

const (
	maxRecord = 16 << 10  // plaintext of a record (RFC 8446, section 5.1)
	largeRead = 128 << 10 // a part of a Read from this size on is used for reading ahead
)

// Read reads one record, or several into a large p. Like crypto/tls it waits only for the
// first. It is used by one goroutine at a time.
func (s *tlsStream) Read(p []byte) (int, error) {
	if len(p) < largeRead || s.single || s.records.ahead.socket == nil {
		return s.Conn.Read(p)
	}
	return s.records.ahead.readRecords(s.Conn, p)
}

// Write writes p, of which everything has been given to the socket when it returns. If it
// fails, n is at most how much of p has been.
func (s *tlsStream) Write(p []byte) (n int, err error) {
	if len(p) <= maxRecord {
		return s.Conn.Write(p)
	}
	s.writing.Add(1)
	defer s.writing.Add(-1)
	s.records.hold()
	n, err = s.Conn.Write(p)
	lost, failed := s.records.flush()
	if err == nil {
		err = failed
	}
	return max(n-lost, 0), err
}

// Close closes the connection. Like that of crypto/tls it sends no close_notify during a Write,
// for which it would have to wait.
func (s *tlsStream) Close() error {
	if s.writing.Load() > 0 {
		return s.records.Close()
	}
	return s.Conn.Close()
}

// recordConn is the connection below crypto/tls. It holds records, to write several at once, and
// reads ahead.
type recordConn struct {
	net.Conn
	ahead readAhead // used by Read

	mu      sync.Mutex // held during a write of the connection: records are sent in their order
	holding int        // number of hold without flush
	held    *[heldBytes]byte
	n       int   // bytes in held
	lost    int   // bytes of held records that were not sent
	err     error // of a write, behind which the peer could decrypt nothing
}

// heldBytes is how many bytes of records are held at most: four full records, with more than
// the overhead that any cipher has.
const heldBytes = 4 * (maxRecord + 256)

var heldPool = sync.Pool{New: func() any { return new([heldBytes]byte) }}

// newRecordConn returns the connection below crypto/tls on nc. socket is nc, nil if that cannot
// be asked whether anything has arrived.
func newRecordConn(nc net.Conn, socket *socket) *recordConn {
	c := &recordConn{Conn: nc}
	if socket != nil {
		c.Conn = socket
		c.ahead.init(socket)
	}
	return c
}

// NetConn returns what was passed to newRecordConn.
func (c *recordConn) NetConn() net.Conn {
	if c.ahead.socket != nil {
		return c.ahead.socket.Conn
	}
	return c.Conn
}

// SyscallConn is for those who look below TLS, see tls.Conn.NetConn.
func (c *recordConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// records returns the connection below crypto/tls, nil without TLS and for another one.
func (c *conn) records() *recordConn {
	if s, ok := c.stream.(*tlsStream); ok {
		return s.records
	}
	return nil
}

// Read reads for crypto/tls.
func (c *recordConn) Read(p []byte) (int, error) {
	if c.ahead.socket == nil {
		return c.Conn.Read(p)
	}
	return c.ahead.Read(p)
}

// hold makes Write hold records until flush. It never holds more than heldBytes.
func (c *recordConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding++
}

// flush ends hold and sends what is held. lost is how many bytes of held records were not sent.
func (c *recordConn) flush() (lost int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding--
	c.send()
	return c.lost, c.err
}

// send sends what is held. The caller holds the lock.
func (c *recordConn) send() {
	if c.held == nil {
		return
	}
	sent := 0
	if c.err == nil {
		sent, c.err = c.Conn.Write(c.held[:c.n])
	}
	c.lost += c.n - sent
	heldPool.Put(c.held)
	c.held, c.n = nil, 0
}

// Write writes a record, or several of a handshake.
func (c *recordConn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding == 0 || c.n+len(p) > heldBytes {
		c.send()
	}
	if c.err != nil {
		return 0, c.err
	}
	if c.holding == 0 || len(p) > heldBytes {
		n, c.err = c.Conn.Write(p)
		return n, c.err
	}
	if c.held == nil {
		c.held = heldPool.Get().(*[heldBytes]byte)
	}
	c.n += copy(c.held[c.n:], p)
	return len(p), nil
}
