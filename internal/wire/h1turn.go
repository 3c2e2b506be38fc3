package wire

import (
	"io"
	"net/http"
	"time"
)

// turn says whose word it is on an HTTP/1 connection. Bytes that come while no response
// is owed belong to nothing (RFC 9112, section 9.2): they end the connection, unseen by
// net/http, which would take them for the next response or write a line to the log.
type turn uint8

const (
	unused turn = iota // no exchange has been here yet
	idle               // the last response is over
	armed              // an exchange is here, and has not written yet
	owed               // a request was sent, or is being sent
)

// exchanges is what a tapConn knows of the exchanges on it; its lock guards it.
type exchanges struct {
	tap   headTap
	turn  turn
	blank int  // bytes of empty lines since the last response
	fresh bool // armed or owed: it is the first exchange
	// endErr is what the next Read returns: something is wrong, or came that belongs to
	// nothing.
	endErr  error
	asked   chan struct{} // closed when the first request is sent, for bytes that were faster
	waiting bool          // such bytes are there
	until   time.Time     // what the server says about how long it keeps the connection
}

// arm makes the connection follow the next response; from here to disarm it belongs
// to one exchange. observer hears of every read that brought something.
func (c *tapConn) arm(method string, observer Observer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tap.reset(method)
	c.fresh = c.turn == unused
	c.turn, c.blank, c.until = armed, 0, time.Time{}
	c.observer = observer
	c.received, c.sent = 0, 0
}

// disarm parts the connection from its exchange.
func (c *tapConn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observer = nil
	if c.turn == armed || c.turn == owed {
		c.turn = idle
	}
}

// mayWrite tells whether the connection still takes a request that has not begun. One
// that has begun goes on, whatever the peer has said meanwhile.
func (c *tapConn) mayWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn != armed {
		return true
	}
	if c.readErr != nil {
		return false
	}
	c.turn = owed
	if c.asked != nil {
		close(c.asked)
		c.asked = nil
	}
	return true
}

// Read reads what belongs to a response.
func (c *tapConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		err, expected := c.endErr, c.turn == owed
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
				kept = c.takeOwed(p[:n])
			}
			end := c.endErr
			c.mu.Unlock()
			if kept == 0 && err == nil && end == nil {
				continue // empty lines
			}
			if n = kept; n == 0 && end != nil {
				err = end
			}
		}
		return c.took(n, err)
	}
}

// early tells whether bytes that come now are before the first request; the caller holds
// the lock.
func (c *tapConn) early() bool { return c.turn == unused || c.turn == armed && c.fresh }

// earlyLimit is how long bytes that come on a new connection wait for the request.
const earlyLimit = time.Second

// awaitRequest lets bytes wait that come before the first request on a connection: a
// server that is too busy may answer before it is asked, and there is no other exchange
// that those bytes could be of.
func (c *tapConn) awaitRequest() {
	c.mu.Lock()
	if !c.early() {
		c.mu.Unlock()
		return
	}
	asked := make(chan struct{})
	c.asked, c.waiting = asked, true
	c.mu.Unlock()
	timer := time.NewTimer(earlyLimit)
	defer timer.Stop()
	select {
	case <-asked:
	case <-c.closed:
	case <-timer.C:
	}
	c.mu.Lock()
	c.asked, c.waiting = nil, false
	c.mu.Unlock()
}

// takeOwed tells how many of the bytes that came net/http may have: those of the response
// that is owed. Others end the connection, but for empty lines. The caller holds the
// lock.
func (c *tapConn) takeOwed(p []byte) (kept int) {
	if c.turn == owed {
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
		c.turn, c.blank = idle, 0
		if tap.limitsKeep {
			c.until = time.Now().Add(keepMargin(tap.keepAlive))
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

// endReading ends reading with the next Read; the caller holds the lock.
func (c *tapConn) endReading(err error) {
	c.endErr = err
	if c.readErr == nil {
		c.readErr = err
	}
}

// keepMargin is how long a connection may lie idle of which the server says that it
// keeps it for d: less, since the request has a way to go.
func keepMargin(d time.Duration) time.Duration { return max(d-time.Second, d/2) }

// usable tells whether the connection may be used for another exchange, as far as is
// known without asking the system.
func (c *tapConn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readErr == nil && !c.waiting && !c.tap.spent && (c.until.IsZero() || time.Now().Before(c.until))
}

// keepsFor is how long the server keeps the idle connection, 0 if it has not said so.
func (c *tapConn) keepsFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return keepMargin(c.tap.keepAlive)
}

// fault is what is wrong with the response of the exchange. stray says that it was not
// the beginning of a response at all; at is how far it came.
func (c *tapConn) fault() (stray bool, at stage, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap.stray, c.tap.stage, c.tap.fault
}

// final is the head of the response that net/http has read, see headTap.final.
func (c *tapConn) final(resp *http.Response) (head string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap.final(resp)
}
