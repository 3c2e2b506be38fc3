package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// holdLimit bounds how long a failed write waits for the answer that may
// already be on its way.
const holdLimit = 5 * time.Second

// tapConn lies between net/http and the network on HTTP/1. It keeps the response head,
// counts bytes, hands on what belongs to a response and nothing else (see turn), and holds
// a write error back until the read side has had its say: a server that refuses an upload
// answers and then resets, and the answer matters more than the reset.
type tapConn struct {
	net.Conn
	onEnd func() // called once, when reading has ended for good

	mu       sync.Mutex
	received int64 // bytes of the current exchange
	sent     int64
	readErr  error // the terminal one
	writeErr error // the one held back
	observer Observer
	exchanges

	ended    chan struct{} // closed with readErr
	closed   chan struct{}
	endOne   sync.Once
	closeOne sync.Once

	pending *pendingCheck // for one goroutine at a time, before an exchange
	idling  *idleRead     // for the one that reads; nil where Read is all there is
}

func newTapConn(c net.Conn, headLimit int64) *tapConn {
	t := &tapConn{Conn: c, ended: make(chan struct{}), closed: make(chan struct{})}
	t.tap.limit = int(headLimit)
	t.idling = newIdleRead(t)
	return t
}

func (c *tapConn) counts() (received, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received, c.sent
}

// state gives whether the peer has ended the stream, and the error that reading ended
// with.
func (c *tapConn) state() (gone bool, readErr error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readErr != nil && peerClosed(c.readErr), c.readErr
}

// took books what a read has brought.
func (c *tapConn) took(n int, err error) (int, error) {
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

// readEnded keeps the error that reading ends with; the caller holds the lock.
func (c *tapConn) readEnded(err error) error {
	if err == io.EOF && c.writeErr != nil {
		// the failed write has used the socket's error up: this is no clean end
		err = c.writeErr
	}
	if err != nil && c.readErr == nil && !isTimeout(err) {
		c.readErr = err
	}
	return err
}

// end must not run inside Close: net/http closes connections under locks that
// the pool's questions need.
func (c *tapConn) end() {
	c.endOne.Do(func() {
		close(c.ended)
		if c.onEnd != nil {
			c.onEnd()
		}
	})
}

// errNotSent is the end of a request that came too late for its connection.
var errNotSent = errors.New("the connection ended before the request was sent")

func (c *tapConn) Write(p []byte) (int, error) {
	if !c.mayWrite() {
		return 0, errNotSent
	}
	n, err := c.Conn.Write(p)
	return n, c.wrote(int64(n), err)
}

// ReadFrom lets net/http hand a whole request body over, which then goes out in the
// pieces that it gives, from a pooled buffer.
func (c *tapConn) ReadFrom(r io.Reader) (int64, error) {
	bp := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(bp)
	n, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, *bp)
	return n, err
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

func (c *tapConn) wrote(n int64, err error) error {
	c.mu.Lock()
	c.sent += n
	if err == nil || errors.Is(err, net.ErrClosed) || isTimeout(err) || c.readErr != nil {
		c.mu.Unlock()
		return err
	}
	if c.writeErr == nil {
		c.writeErr = err
	}
	c.mu.Unlock()
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
			// the answer is being read: its end decides
			timer.Reset(holdLimit)
		}
	}
}

func (c *tapConn) Close() error {
	c.closeOne.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
