package netreplytest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memoryBuffer is how many bytes of one direction a connection in memory holds before its
// writer has to wait, as a socket does.
const memoryBuffer = 64 << 10

// memoryAddr is the address of a connection in memory: one for documentation (RFC 5737), so
// that it has the type and the form of a TCP address and leads nowhere.
func memoryAddr(host byte, port int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, host), Port: port}
}

// memoryPipe is one direction of a connection in memory. It waits by a sync.Cond only, which
// testing/synctest counts as waiting.
type memoryPipe struct {
	mu            sync.Mutex
	changed       sync.Cond
	buf           []byte
	ended         bool  // the writer has closed: the reader gets io.EOF after buf
	left          bool  // the reader has closed
	broken        error // a reset, for both sides, at once
	readDeadline  deadline
	writeDeadline deadline
}

func newMemoryPipe() *memoryPipe {
	p := &memoryPipe{}
	p.changed.L = &p.mu
	return p
}

// deadline is guarded by the lock of its pipe.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set changes a deadline; the timer wakes who waits when it passes.
func (p *memoryPipe) set(d *deadline, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if rest := time.Until(at); !at.IsZero() && rest > 0 {
		d.timer = time.AfterFunc(rest, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.changed.Broadcast()
		})
	}
	p.changed.Broadcast()
}

func (p *memoryPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.left:
			return 0, net.ErrClosed
		case p.broken != nil:
			return 0, p.broken
		case p.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0 || len(b) == 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			if len(p.buf) == 0 {
				p.buf = nil
			}
			p.changed.Broadcast()
			return n, nil
		case p.ended:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (p *memoryPipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ended:
			return n, net.ErrClosed
		case p.broken != nil:
			return n, p.broken
		case p.left:
			return n, errBrokenPipe
		case p.writeDeadline.passed():
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		if room := memoryBuffer - len(p.buf); room > 0 {
			part := b[n:min(len(b), n+room)]
			p.buf = append(p.buf, part...)
			n += len(part)
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// end applies a change and wakes who waits.
func (p *memoryPipe) end(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	for _, d := range []*deadline{&p.readDeadline, &p.writeDeadline} {
		if d.timer != nil && (p.left || p.broken != nil) {
			d.timer.Stop()
		}
	}
	p.changed.Broadcast()
}

// awaitEnd waits until either side has closed the connection, and reads nothing.
func (p *memoryPipe) awaitEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended && !p.left && p.broken == nil {
		p.changed.Wait()
	}
}

// memoryConn is one end of a connection in memory.
type memoryConn struct {
	in, out       *memoryPipe
	local, remote net.Addr
}

// newMemoryConns makes a connection.
func newMemoryConns(client, server net.Addr) (clientEnd, serverEnd *memoryConn) {
	up, down := newMemoryPipe(), newMemoryPipe()
	return &memoryConn{down, up, client, server}, &memoryConn{up, down, server, client}
}

func (c *memoryConn) failure(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.failure("read", err)
}

func (c *memoryConn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.failure("write", err)
}

// Close ends both directions. What was written before can still be read.
func (c *memoryConn) Close() error {
	c.CloseWrite()
	c.in.end(func() { c.in.left = true })
	return nil
}

// CloseWrite ends the direction to the peer.
func (c *memoryConn) CloseWrite() error {
	c.out.end(func() { c.out.ended = true })
	return nil
}

// reset breaks both directions for the peer, as a TCP reset does, after what was written.
func (c *memoryConn) reset() {
	c.out.mu.Lock()
	for len(c.out.buf) > 0 && !c.out.left && !c.out.ended && c.out.broken == nil && !c.out.readDeadline.passed() {
		c.out.changed.Wait()
	}
	c.out.mu.Unlock()
	for _, p := range []*memoryPipe{c.in, c.out} {
		p.end(func() { p.broken = errReset })
	}
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.readDeadline, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.writeDeadline, t)
	return nil
}

// queueListener is a listener whose connections are handed to it.
type queueListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func newQueueListener(addr net.Addr) *queueListener {
	return &queueListener{conns: make(chan net.Conn), closed: make(chan struct{}), addr: addr}
}

// put hands over a connection, and closes it if nobody can take it any more.
func (l *queueListener) put(ctx context.Context, c net.Conn) error {
	var err error
	select {
	case l.conns <- c:
		return nil
	case <-l.closed:
		err = &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: errRefused}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	c.Close()
	return err
}

func (l *queueListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *queueListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *queueListener) Addr() net.Addr { return l.addr }
