package wire

import "time"

// Which exchange gets which connection. A connection that is free goes to the first waiter of
// the best priority. One that wants a connection that nothing was sent on has its turn among
// the others, and what nothing was sent on is left to those who want it, as long as there are
// any.

// place takes a place on a connection that is there, nil for none. It asks no connection:
// one that ends says so by itself.
func (h *host) place(fresh bool) *conn {
	if c := h.h2.first; c != nil && !fresh {
		h.enter(c)
		return c
	}
	if c := h.h2.last; c != nil && c.uses == 0 { // new ones come last
		h.enter(c)
		return c
	}
	var c *conn
	if !fresh {
		c = h.idle.popBack()
	}
	if c == nil {
		c = h.unused.popBack()
	}
	if c != nil {
		c.carry(1)
	}
	return c
}

// enter takes a place on an HTTP/2 connection of the queue.
func (h *host) enter(c *conn) {
	c.carry(1)
	if n, _ := c.room(); c.streams >= n {
		h.h2.remove(c)
	}
}

// carry books that an exchange begins on c, or with -1 that one ends.
func (c *conn) carry(n int) {
	c.streams += n
	c.host.carried += n
}

// begin books an exchange on c, on which a place was taken for it.
func (c *conn) begin(x *Exchange) {
	x.Conn = Conn{HTTP2: c.http2, Reused: c.uses > 0 || c.kept || c.waited, TLS: c.tls, LocalAddr: c.local, RemoteAddr: c.remote, Ended: c.ended(), nc: c.nc}
	x.idled = c.uses > 0 || c.kept
	if x.got != nil {
		*x.got = c.gotConnInfo()
	}
	c.idleFrom = time.Time{}
	c.uses++
	c.expiry, c.hint = x.IdleTimeout, 0
}

// give books a place for a waiter on a connection that has one.
func (h *host) give(w *waiter, c *conn) {
	first := c.uses == 0 && !c.kept
	if w.queued() {
		w.unqueued = time.Now()
	}
	c.idleFrom = time.Time{} // it was waited for
	if w.open {
		c.kept = true
	} else {
		c.begin(w.x)
	}
	w.finish(news{conn: c, first: first})
}

// serve gives connections that are free to those who wait.
func (h *host) serve() {
	for p := range h.waiting {
		for _, fresh := range [...]bool{true, false} { // who takes any leaves the unused to the others
			for q := h.waiting[p].of(fresh); q.first != nil; {
				c := h.place(fresh)
				if c == nil {
					break
				}
				h.give(q.first, c)
			}
		}
	}
}

// provide serves those who wait, and has connections opened for the others.
func (h *host) provide() {
	if h.waiters == 0 {
		return
	}
	if h.makesRoom() {
		h.startDials()
	}
	h.serve()
	h.startDials()
}

// makesRoom tells that it is the turn of an exchange that wants a connection that nothing was
// sent on, and that an idle one must end for that. Those who take any would have it first for
// ever, where there are more of them than connections.
func (h *host) makesRoom() bool {
	if h.protocol != protoH1 || h.idle.first == nil || h.unused.first != nil || h.shared < h.pool.connsPerHost-h.open {
		return false
	}
	w := h.nextUndialled(false)
	return w != nil && w.x.Fresh
}

// introduce brings a new connection into its host.
func (h *host) introduce(c *conn, now time.Time) {
	if h.protocol = protoH1; c.http2 {
		h.protocol = protoH2
	}
	c.carry(1)
	taken := h.handOver(c)
	if !taken {
		c.carry(-1)
	}
	switch n, open := c.room(); {
	case c.http2 && open && !c.dead && c.streams < n:
		h.h2.pushBack(c)
		h.serve()
	case taken:
		return
	case c.http2 && open && !c.dead: // room for nothing yet
	case c.dead || c.http2:
		h.pool.discard(c)
		return
	default:
		h.rest(c)
	}
	if c.streams == 0 {
		h.pool.expiry.keep(c, now)
	}
}

// handOver gives a connection that was just dialled to whoever comes first, even
// if its server has ended it already: the exchange then fails with that, where
// dialling again would go on for ever. False means that nobody waits.
func (h *host) handOver(c *conn) bool {
	for p := range h.waiting {
		w, other := h.waiting[p].any.first, h.waiting[p].fresh.first
		if w == nil || other != nil && other.number < w.number {
			w = other
		}
		if w != nil {
			h.give(w, c)
			return true
		}
	}
	return false
}

// deliverToAsker gives a connection to the exchange that has accepted what others would not:
// it belongs to another host than those wait at.
func (h *host) deliverToAsker(w *waiter, c *conn) {
	if w.done {
		h.pool.discard(c)
		c.host.forget()
		return
	}
	c.carry(1)
	h.give(w, c)
	c.expiry = -1 // nobody else can use it
}
