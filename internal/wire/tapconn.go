package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// holdLimit is how long a failed write waits for a response that the server may have sent
// before.
const holdLimit = 5 * time.Second

// tapConn is the connection below net/http's HTTP/1 client. It stores the response head,
// counts bytes, passes on only bytes of expected responses (see h1Usage), and delays a
// write error until reading has ended: a server that rejects an upload sends its response
// and then resets the connection, and the response is more important than the reset.
type tapConn struct {
	net.Conn
	onEnd func() // called once, when reading has ended

	mu       sync.Mutex
	received int64 // bytes of the current exchange
	sent     int64
	readErr  error // error that has ended reading
	writeErr error // delayed write error
	running  runningWrite
	observer Observer
	exchanges

	ended     chan struct{} // closed when readErr is set
	closed    chan struct{}
	endOnce   sync.Once
	closeOnce sync.Once
	tunnel    atomic.Bool // another protocol is used: bytes pass through unseen

	pending *pendingCheck // used by one goroutine at a time, before an exchange
	idling  *idleRead     // used by Read; nil if not supported
}

func newTapConn(c net.Conn, headLimit int64) *tapConn {
	t := &tapConn{Conn: c, ended: make(chan struct{}), closed: make(chan struct{})}
	t.tap.limit = int(headLimit)
	t.idling = newIdleRead(t)
	return t
}

// counts returns the bytes of the exchange. Those of a running Write count as sent: the server
// may have answered them already.
func (c *tapConn) counts() (received, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received, c.sent + int64(c.running.bytes)
}

// state reports whether the peer has ended the stream, and the error that has ended
// reading.
func (c *tapConn) state() (gone bool, readErr error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readErr != nil && peerClosed(c.readErr), c.readErr
}

// afterRead updates the state after a read.
func (c *tapConn) afterRead(n int, err error) (int, error) {
	if err == io.EOF {
		c.endWrite()
	}
	c.mu.Lock()
	c.received += int64(n)
	observer := c.observer
	err = c.readEnded(err)
	ended := c.readErr != nil
	c.mu.Unlock()
	if n > 0 && observer != nil {
		observer.Activity()
	}
	if ended {
		c.end()
	}
	return n, err
}

// readEnded stores the error that ends reading. The caller holds the lock.
func (c *tapConn) readEnded(err error) error {
	if err == io.EOF && c.writeErr != nil {
		// the failed write has consumed the socket's error: this is no clean end
		err = c.writeErr
	}
	if err != nil && c.readErr == nil && !isTimeout(err) {
		c.readErr = err
	}
	return err
}

// end must not be called by Close: net/http closes connections under locks that
// connection.reusable needs.
func (c *tapConn) end() {
	c.endOnce.Do(func() {
		close(c.ended)
		if c.onEnd != nil {
			c.onEnd()
		}
	})
}

// errNotSent is the error of a request whose connection ended before it was written.
var errNotSent = errors.New("the connection ended before the request was sent")

// becomeTunnel ends the use of the connection for HTTP, after a 101 response.
func (c *tapConn) becomeTunnel() {
	c.mu.Lock()
	c.observer = nil
	c.mu.Unlock()
	c.tunnel.Store(true)
}

func (c *tapConn) Write(p []byte) (int, error) {
	if !c.beginWrite(len(p)) {
		return 0, errNotSent
	}
	n, err := c.Conn.Write(p)
	return n, c.afterWrite(int64(n), err)
}

// ReadFrom copies a request body in the pieces that its Read returns, through a pooled
// buffer.
func (c *tapConn) ReadFrom(r io.Reader) (int64, error) {
	bp := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(bp)
	n, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, *bp)
	return n, err
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

func (c *tapConn) afterWrite(n int64, err error) error {
	c.mu.Lock()
	c.sent += n
	final := err == nil || errors.Is(err, net.ErrClosed) || isTimeout(err) || c.readErr != nil
	if !final && c.writeErr == nil {
		c.writeErr = err
	}
	c.running.end()
	c.mu.Unlock()
	if final {
		return err
	}
	timer := time.NewTimer(holdLimit)
	defer timer.Stop()
	for {
		select {
		case <-c.ended:
			return err
		case <-c.closed:
			return err
		case <-timer.C:
			c.mu.Lock()
			answered := c.tap.stage != inHead
			c.mu.Unlock()
			if !answered {
				return err
			}
			// the response is being read: wait for its end
			timer.Reset(holdLimit)
		}
	}
}

func (c *tapConn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
