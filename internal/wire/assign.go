package wire

import "time"

// The assignment of connections to exchanges. A free connection is assigned to the first
// waiter of the highest priority. Exchanges with Fresh take turns with the others, and
// unused connections are left to them, as long as any are waiting.

// acquire reserves an existing connection for an exchange, nil if none is free. It does not
// check the connection: connections report their end.
func (h *host) acquire(fresh bool) *conn {
	if c := h.h2.first; c != nil && !fresh {
		h.acquireH2(c)
		return c
	}
	if c := h.h2.last; c != nil && c.uses == 0 { // new connections are last
		h.acquireH2(c)
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

// acquireH2 reserves a stream on an HTTP/2 connection of the queue.
func (h *host) acquireH2(c *conn) {
	c.carry(1)
	if n, _ := c.room(); c.streams >= n {
		h.h2.remove(c)
	}
}

// carry adds n to the number of exchanges on c.
func (c *conn) carry(n int) {
	c.streams += n
	c.host.carried += n
}

// begin begins an exchange on c, which was reserved for it.
func (c *conn) begin(x *Exchange) {
	x.Conn = Conn{HTTP2: c.http2, Reused: c.uses > 0 || c.preopened || c.delayed, TLS: c.tls, Addrs: c.addrs, Ended: c.ended(), nc: c.nc}
	_, x.Conn.Detached = c.connection.(*h1Conn)
	x.wasIdle = c.uses > 0 || c.preopened
	if x.gotConn != nil {
		*x.gotConn = c.gotConnInfo()
	}
	c.idleSince = time.Time{}
	c.uses++
	c.expiry, c.hint = x.IdleTimeout, 0
}

// assign gives a waiter the connection that was reserved for it.
func (h *host) assign(w *waiter, c *conn) {
	first := c.uses == 0 && !c.preopened
	if w.queued() {
		w.unqueued = time.Now()
	}
	c.idleSince = time.Time{} // the connection was not idle
	if w.open {
		c.preopened = true
	} else {
		c.begin(w.x)
	}
	w.finish(news{conn: c, first: first})
}

// serveWaiters assigns free connections to waiters.
func (h *host) serveWaiters() {
	for p := range h.waiting {
		for _, fresh := range [...]bool{true, false} { // Fresh first: unused connections are left to them
			for q := h.waiting[p].of(fresh); q.first != nil; {
				c := h.acquire(fresh)
				if c == nil {
					break
				}
				h.assign(q.first, c)
			}
		}
	}
}

// serveOrDial assigns free connections to waiters, and starts dials for the others.
func (h *host) serveOrDial() {
	if h.waiters == 0 {
		return
	}
	if h.needsRoom() {
		h.startDials()
	}
	h.serveWaiters()
	h.startDials()
}

// needsRoom reports that the next waiter is Fresh and that an idle connection must be
// closed to open a new one for it. Otherwise the other waiters would always get the idle
// connection first if there are more of them than connections.
func (h *host) needsRoom() bool {
	if h.protocol != protoH1 || h.idle.first == nil || h.unused.first != nil || h.shared < h.pool.connsPerHost-h.open {
		return false
	}
	w := h.nextUndialled(false)
	return w != nil && w.x.Fresh
}

// placeNew adds a new connection to its host, and assigns it to a waiter if there is one.
func (h *host) placeNew(c *conn, now time.Time) {
	if h.protocol = protoH1; c.http2 {
		h.protocol = protoH2
	}
	c.carry(1)
	taken := h.assignFirst(c)
	if !taken {
		c.carry(-1)
	}
	switch n, open := c.room(); {
	case c.http2 && open && !c.excluded && c.streams < n:
		h.h2.pushBack(c)
		h.serveWaiters()
	case taken:
		return
	case c.http2 && open && !c.excluded: // the peer allows no streams yet
	case c.excluded || c.http2:
		h.pool.discard(c)
		return
	default:
		h.park(c)
	}
	if c.streams == 0 {
		h.pool.expiry.schedule(c, now)
	}
}

// assignFirst assigns a new connection to the first waiter, even if its server has already
// closed it: the exchange then fails with that error, where dialling again could repeat
// forever. False means that there is no waiter.
func (h *host) assignFirst(c *conn) bool {
	for p := range h.waiting {
		w, other := h.waiting[p].any.first, h.waiting[p].fresh.first
		if w == nil || other != nil && other.number < w.number {
			w = other
		}
		if w != nil {
			h.assign(w, c)
			return true
		}
	}
	return false
}

// deliverToAsker assigns a connection to the exchange that has accepted its certificate.
// Its profile, and so its host, differ from those of the other waiters.
func (h *host) deliverToAsker(w *waiter, c *conn) {
	if w.done {
		h.pool.discard(c)
		c.host.dropIfEmpty()
		return
	}
	c.carry(1)
	h.assign(w, c)
	c.expiry = -1 // no other exchange may use it
}
