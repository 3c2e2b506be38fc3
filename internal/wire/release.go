package wire

import (
	"slices"
	"time"

	"github.com/netreply/netreply/internal/dial"
)

// State changes of a connection: the end of an exchange, a change of the peer's limits, and
// the end of the connection.

// exchangeOver ends an exchange on c. ok means that an HTTP/1 connection can be reused.
func (h *host) exchangeOver(c *conn, ok bool, now time.Time) {
	p := h.pool
	c.carry(-1)
	switch {
	case c.removed: // already removed
	case c.http2:
		h.streamOver(c, now)
	case ok && !c.excluded && !p.closed:
		h.park(c)
		p.expiry.schedule(c, now)
	default:
		p.discard(c)
	}
	h.serveOrDial()
	if c.streams == 0 && c.expiry < 0 && !c.removed { // it is not to be kept, and no waiter has taken it
		p.discard(c)
		h.startDials()
	}
	h.noteEmptied()
	h.dropIfEmpty()
}

// park adds an HTTP/1 connection to the idle or unused ones.
func (h *host) park(c *conn) { h.parked(c).pushBack(c) }

// parked is the queue of a free HTTP/1 connection.
func (h *host) parked(c *conn) *conns {
	if c.uses == 0 {
		return &h.unused
	}
	return &h.idle
}

// streamOver ends an exchange on an HTTP/2 connection.
func (h *host) streamOver(c *conn, now time.Time) {
	p := h.pool
	n, open := c.room()
	if !open || p.closed {
		p.exclude(c)
	}
	if c.streams == 0 && c.excluded {
		p.discard(c)
		return
	}
	if !c.excluded && c.streams < n && !c.queueLinks.in {
		h.h2.pushFront(c)
	}
	if c.streams == 0 {
		p.expiry.schedule(c, now)
	}
}

// roomChanged applies a change of connection.room.
func (h *host) roomChanged(c *conn) {
	switch n, open := c.room(); {
	case !open:
		h.pool.exclude(c)
		if c.streams == 0 {
			h.pool.discard(c)
		}
	case c.excluded:
	case c.streams >= n:
		h.h2.remove(c)
	case !c.queueLinks.in:
		h.h2.pushFront(c)
	}
	h.serveOrDial()
	h.dropIfEmpty()
}

// connEnded removes a connection that has ended, at once or with its last exchange.
func (h *host) connEnded(c *conn) {
	h.pool.exclude(c)
	if c.streams == 0 {
		h.pool.discard(c)
	}
	h.startDials()
	h.dropIfEmpty()
}

// endExchange ends an exchange on c. ok means that the connection may be reused if it is able to.
func (t *Transport) endExchange(c *conn, ok bool) {
	c.exchangeDone()
	var hint time.Duration
	if ok && !c.http2 {
		ok, hint = c.reusable() // may wait for locks of net/http
	}
	now := time.Now()
	t.mu.Lock()
	c.hint = hint
	c.host.exchangeOver(c, ok, now)
	t.unlock()
}

// giveBack ends an exchange on c of which nothing was sent.
func (t *Transport) giveBack(c *conn) {
	t.mu.Lock()
	c.uses--
	t.mu.Unlock()
	t.endExchange(c, true)
}

// connChanged is called, on any goroutine, when connection.room has changed.
func (t *Transport) connChanged(c *conn) {
	t.mu.Lock()
	if !c.removed && c.allLinks.in { // otherwise not yet added, or already removed
		c.host.roomChanged(c)
	}
	t.unlock()
}

// connEnded is called when reading from c has ended.
func (t *Transport) connEnded(c *conn) {
	t.mu.Lock()
	if c.removed || !c.allLinks.in { // already removed, or not yet added
		c.excluded = true
	} else {
		c.host.connEnded(c)
	}
	t.unlock()
}

// retire keeps new exchanges off c; the current ones continue.
func (t *Transport) retire(c *conn) {
	t.mu.Lock()
	t.pool.exclude(c)
	c.host.startDials()
	t.unlock()
}

// cut closes a connection at once, even if it is in use. A blocked Read or Write of it
// returns; cut does not wait for the peer.
func (t *Transport) cut(c *conn) {
	t.mu.Lock()
	booked := t.pool.remove(c)
	if booked {
		t.pool.todo.cut = append(t.pool.todo.cut, c)
		c.host.startDials()
		c.host.dropIfEmpty()
	}
	t.unlock()
	if !booked { // a graceful close is running
		c.nc.Close()
	}
}

// CloseIdle closes the idle connections.
func (t *Transport) CloseIdle() { t.closeIdle(func(*conn) bool { return true }) }

// CloseIdleOf closes the idle connections of some profiles.
func (t *Transport) CloseIdleOf(profiles []*Profile) {
	t.closeIdle(func(c *conn) bool { return slices.Contains(profiles, c.host.key.Profile) })
}

// CloseIdleVia closes the idle connections of some routes.
func (t *Transport) CloseIdleVia(routes []*dial.Proxy) {
	t.closeIdle(func(c *conn) bool { return slices.Contains(routes, c.host.key.Route) })
}

func (t *Transport) closeIdle(which func(*conn) bool) {
	t.mu.Lock()
	t.pool.discardIdle(which)
	t.unlock()
}
