package wire

import (
	"slices"
	"time"
)

// What becomes of a connection when an exchange on it is over, when its peer says something
// about it, and when it has ended.

// exchangeOver ends an exchange on c. ok says that an HTTP/1 connection can carry another one.
func (h *host) exchangeOver(c *conn, ok bool, now time.Time) {
	p := h.pool
	c.carry(-1)
	switch {
	case c.gone: // and not here any more
	case c.http2:
		h.streamOver(c, now)
	case ok && !c.dead && !p.closed:
		h.rest(c)
		p.expiry.keep(c, now)
	default:
		p.discard(c)
	}
	h.provide()
	if c.streams == 0 && c.expiry < 0 && !c.gone { // it is not to be kept, and nobody has taken it
		p.discard(c)
		h.startDials()
	}
	h.noteEmptied()
	h.forget()
}

// rest lays an HTTP/1 connection aside that carries nothing.
func (h *host) rest(c *conn) {
	if c.uses == 0 {
		h.unused.pushBack(c)
	} else {
		h.idle.pushBack(c)
	}
}

// streamOver ends an exchange on a connection that may carry others.
func (h *host) streamOver(c *conn, now time.Time) {
	p := h.pool
	n, open := c.room()
	if !open || p.closed {
		p.exclude(c)
	}
	if c.streams == 0 && c.dead {
		p.discard(c)
		return
	}
	if !c.dead && c.streams < n && !c.place.in {
		h.h2.pushFront(c)
	}
	if c.streams == 0 {
		p.expiry.keep(c, now)
	}
}

// roomChanged books that an HTTP/2 peer has changed how many exchanges it takes, or takes no more.
func (h *host) roomChanged(c *conn) {
	switch n, open := c.room(); {
	case !open:
		h.pool.exclude(c)
		if c.streams == 0 {
			h.pool.discard(c)
		}
	case c.dead:
	case c.streams >= n:
		h.h2.remove(c)
	case !c.place.in:
		h.h2.pushFront(c)
	}
	h.provide()
	h.forget()
}

// connEnded books that a connection has ended: it leaves at once, or with the last exchange on it.
func (h *host) connEnded(c *conn) {
	h.pool.exclude(c)
	if c.streams == 0 {
		h.pool.discard(c)
	}
	h.startDials()
	h.forget()
}

// put ends an exchange on c. ok says that it may go on; whether it can, the
// connection knows.
func (t *Transport) put(c *conn, ok bool) {
	c.exchangeDone()
	var hint time.Duration
	if ok && !c.http2 {
		ok, hint = c.reusable() // which may wait for net/http
	}
	now := time.Now()
	t.mu.Lock()
	c.hint = hint
	c.host.exchangeOver(c, ok, now)
	t.unlock()
}

// giveBack ends an exchange that was booked on c, of which nothing was sent.
func (t *Transport) giveBack(c *conn) {
	t.mu.Lock()
	c.uses--
	t.mu.Unlock()
	t.put(c, true)
}

// changed is called, by any goroutine, when an HTTP/2 peer has changed how many exchanges it
// takes, or takes no more.
func (t *Transport) changed(c *conn) {
	t.mu.Lock()
	if !c.gone && c.listed.in { // else it is in the pool no more, or not yet
		c.host.roomChanged(c)
	}
	t.unlock()
}

// ended is called when reading from c has ended for good.
func (t *Transport) ended(c *conn) {
	t.mu.Lock()
	if c.gone || !c.listed.in { // it is in the pool no more, or not yet: being made still
		c.dead = true
	} else {
		c.host.connEnded(c)
	}
	t.unlock()
}

// retire takes c out of use: what it carries goes on, nothing is added.
func (t *Transport) retire(c *conn) {
	t.mu.Lock()
	t.pool.exclude(c)
	c.host.startDials()
	t.unlock()
}

// cut ends a connection at once, whatever it carries. What stands in a Read or Write of it
// returns; nothing waits for the peer.
func (t *Transport) cut(c *conn) {
	t.mu.Lock()
	booked := t.pool.remove(c)
	if booked {
		t.pool.todo.cut = append(t.pool.todo.cut, c)
		c.host.startDials()
		c.host.forget()
	}
	t.unlock()
	if !booked { // it is being closed in good order
		c.nc.Close()
	}
}

// CloseIdle ends the connections that carry nothing at the moment.
func (t *Transport) CloseIdle() { t.closeIdle(func(*conn) bool { return true }) }

// CloseIdleOf ends those of some profiles that carry nothing at the moment.
func (t *Transport) CloseIdleOf(profiles []*Profile) {
	t.closeIdle(func(c *conn) bool { return slices.Contains(profiles, c.host.key.Profile) })
}

func (t *Transport) closeIdle(which func(*conn) bool) {
	t.mu.Lock()
	t.pool.discardIdle(which)
	t.unlock()
}
