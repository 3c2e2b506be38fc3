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

// tapConn lies between net/http and the network on HTTP/1. It keeps the
// response head, counts bytes and holds a write error back until the read side
// has had its say: a server that refuses an upload answers and then resets, and
// the answer matters more than the reset.
type tapConn struct {
	net.Conn
	onEnd func() // called once, when reading has ended for good

	mu       sync.Mutex
	tap      headTap
	armed    bool
	received int64 // bytes of the current exchange
	sent     int64
	readErr  error // the terminal one
	writeErr error // the one held back
	activity func()

	ended    chan struct{} // closed with readErr
	closed   chan struct{}
	endOne   sync.Once
	closeOne sync.Once
}

func newTapConn(c net.Conn, headLimit int64) *tapConn {
	return &tapConn{Conn: c, ended: make(chan struct{}), closed: make(chan struct{}),
		tap: headTap{limit: int(min(headLimit, 1<<30))}}
}

// arm makes the connection keep the next head; from here to disarm it belongs
// to one exchange. activity is called for every read that brought something.
func (c *tapConn) arm(activity func()) {
	c.mu.Lock()
	c.tap.reset()
	c.armed, c.activity = true, activity
	c.received, c.sent = 0, 0
	c.mu.Unlock()
}

// headDone ends the keeping of a head; the byte counts go on.
func (c *tapConn) headDone() {
	c.mu.Lock()
	c.armed = false
	c.mu.Unlock()
}

// disarm parts the connection from its exchange.
func (c *tapConn) disarm() {
	c.mu.Lock()
	c.armed, c.activity = false, nil
	c.mu.Unlock()
}

func (c *tapConn) counts() (received, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received, c.sent
}

// state gives whether the head kept so far is wrong, whether the peer has ended
// the stream, and the error that reading ended with.
func (c *tapConn) state() (malformed, gone bool, readErr error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return headFault(c.tap.buf[c.tap.start:]), c.readErr != nil && peerClosed(c.readErr), c.readErr
}

func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.received += int64(n)
	if n > 0 && c.armed {
		c.tap.feed(p[:n])
	}
	activity := c.activity
	if err == io.EOF && c.writeErr != nil {
		// the failed write has used the socket's error up: this is no clean end
		err = c.writeErr
	}
	if err != nil && c.readErr == nil && !isTimeout(err) {
		c.readErr = err
	}
	ended := c.readErr != nil
	c.mu.Unlock()
	if n > 0 && activity != nil {
		activity()
	}
	if ended {
		c.end()
	}
	return n, err
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

func (c *tapConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.wrote(int64(n), err)
}

// ReadFrom lets net/http hand a whole request body over, which then goes out in
// large pieces from a pooled buffer.
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
			done := c.tap.done
			c.mu.Unlock()
			if !done {
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
