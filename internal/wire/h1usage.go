package wire

import (
	"io"
	"net"
	"net/http"
	"net/textproto"
	"time"
)

// h1Usage is the state of an HTTP/1 connection. Bytes that arrive while no response is
// expected belong to no exchange (RFC 9112, section 9.2): they end the connection, and are
// kept from net/http, which would treat them as the next response or write a line to the
// log.
type h1Usage uint8

const (
	connUnused   h1Usage = iota // before the first exchange
	connIdle                    // after a response
	connArmed                   // an exchange has begun, and has not written yet
	connAwaiting                // the request is being or was sent
)

// exchanges is the part of a tapConn that concerns exchanges; guarded by its lock.
type exchanges struct {
	tap   headTap
	usage h1Usage
	blank int  // bytes of empty lines since the last response
	fresh bool // in connArmed and connAwaiting: it is the first exchange
	// endErr is the error of the next Read, after an invalid response or unexpected bytes.
	endErr    error
	requested chan struct{} // closed when the first request is sent; see awaitRequest
	holding   bool          // awaitRequest is waiting with bytes
	keepUntil time.Time     // end of the server's Keep-Alive timeout; zero for none
}

// arm assigns the connection to an exchange, until disarm. observer is called for every
// read with bytes.
func (c *tapConn) arm(method string, observer Observer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tap.reset(method)
	c.fresh = c.usage == connUnused
	c.usage, c.blank, c.keepUntil = connArmed, 0, time.Time{}
	c.observer = observer
	c.received, c.sent = 0, 0
}

// disarm ends the assignment to an exchange. If its response was not read to the end, then a
// Read that still runs fails: io.EOF, which unexpected bytes cause, would be the regular end
// of a body that ends with the connection.
func (c *tapConn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observer = nil
	if c.usage == connAwaiting && c.tap.stage != over {
		c.endReading(net.ErrClosed)
	}
	if c.usage == connArmed || c.usage == connAwaiting {
		c.usage = connIdle
	}
}

// interim reports an interim response to the exchange.
func (c *tapConn) interim(code int, header textproto.MIMEHeader) error {
	c.mu.Lock()
	observer := c.observer
	c.mu.Unlock()
	if observer == nil {
		return nil
	}
	return observer.Interim(code, header)
}

// beginWrite begins a Write of n bytes. It reports false if that must not be made: at the
// beginning of a request, if reading has ended.
func (c *tapConn) beginWrite(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usage == connArmed && c.readErr != nil {
		return false
	}
	c.running.begin()
	c.running.bytes = n
	if c.usage != connArmed {
		return true
	}
	c.usage = connAwaiting
	if c.requested != nil {
		close(c.requested)
		c.requested = nil
	}
	return true
}

// Read returns the bytes of expected responses.
func (c *tapConn) Read(p []byte) (int, error) {
	if c.tunnel.Load() {
		return c.Conn.Read(p)
	}
	for {
		c.mu.Lock()
		err, expected := c.endErr, c.usage == connAwaiting
		c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		n, kept := 0, -1
		if expected || c.idling == nil {
			n, err = c.Conn.Read(p)
		} else {
			n, kept, err = c.idling.read(c, p)
		}
		if n > 0 {
			if kept < 0 {
				c.awaitRequest()
			}
			c.mu.Lock()
			if kept < 0 {
				kept = c.acceptBytes(p[:n])
			}
			end := c.endErr
			c.mu.Unlock()
			if kept == 0 && err == nil && end == nil {
				continue // only empty lines
			}
			if n = kept; n == 0 && end != nil {
				err = end
			}
		}
		return c.afterRead(n, err)
	}
}

// early reports whether the first request was not sent yet. The caller holds the lock.
func (c *tapConn) early() bool { return c.usage == connUnused || c.usage == connArmed && c.fresh }

// earlyLimit is how long bytes on a new connection are held back before the request.
const earlyLimit = time.Second

// awaitRequest holds back bytes that arrive before the first request: an overloaded server
// may send its response early, and on a new connection the bytes cannot belong to another
// exchange.
func (c *tapConn) awaitRequest() {
	c.mu.Lock()
	if !c.early() {
		c.mu.Unlock()
		return
	}
	asked := make(chan struct{})
	c.requested, c.holding = asked, true
	c.mu.Unlock()
	timer := time.NewTimer(earlyLimit)
	defer timer.Stop()
	select {
	case <-asked:
	case <-c.closed:
	case <-timer.C:
	}
	c.mu.Lock()
	c.requested, c.holding = nil, false
	c.mu.Unlock()
}

// acceptBytes returns how many of the received bytes are passed to net/http: those of the
// expected response. Others end the connection, except empty lines. The caller holds the
// lock.
func (c *tapConn) acceptBytes(p []byte) (kept int) {
	if c.usage == connAwaiting {
		var used int
		tap := &c.tap
		kept, used = tap.feed(p)
		p = p[used:]
		if tap.fault != nil {
			c.endReading(tap.fault)
			return kept
		}
		if tap.stage != over {
			return kept
		}
		c.usage, c.blank = connIdle, 0
		if tap.limitsKeep {
			c.keepUntil = time.Now().Add(keepMargin(tap.keepAlive))
		}
	}
	for _, b := range p {
		if b != '\r' && b != '\n' || c.blank == maxBlank {
			c.endReading(io.EOF)
			break
		}
		c.blank++
	}
	return kept
}

// endReading makes Reads fail, with the first error that is given. The caller holds the lock.
func (c *tapConn) endReading(err error) {
	if c.endErr == nil {
		c.endErr = err
	}
	if c.readErr == nil {
		c.readErr = err
	}
}

// keepMargin is how long a connection is kept idle for which the server promises d: less
// than d, because a request takes time to arrive.
func keepMargin(d time.Duration) time.Duration { return max(d-time.Second, d/2) }

// usable reports whether the connection may be reused, without a system call.
func (c *tapConn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readErr == nil && !c.holding && !c.tap.noReuse && (c.keepUntil.IsZero() || time.Now().Before(c.keepUntil))
}

// keepsFor is how long the server keeps the idle connection, 0 if unknown.
func (c *tapConn) keepsFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return keepMargin(c.tap.keepAlive)
}

// fault returns the error of the response, how far it was read, and whether it was no
// response at all.
func (c *tapConn) fault() (stray bool, at stage, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap.stray, c.tap.stage, c.tap.fault
}

// final returns the head of a response, see headTap.final.
func (c *tapConn) final(resp *http.Response) (head string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap.final(resp)
}
