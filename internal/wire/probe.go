package wire

import "time"

// A connection that nothing reads while it is idle is probed now and then, so that one that
// the server has closed does not stay in the pool until it is needed or expires. A probe is
// a system call that does not block. Meanwhile the connection is not available.

// probeInterval is the time before the next probe of an idle connection, after a number of
// probes. Servers close idle connections either soon or at round times; the first probes
// are for the former.
func probeInterval(probes int) time.Duration {
	return min(250*time.Millisecond<<(2*min(probes, 3)), 16*time.Second)
}

// takeForProbe takes an idle connection out of its queue.
func (h *host) takeForProbe(c *conn) {
	h.parked(c).remove(c)
	c.carry(1)
	c.probing = true
	h.pool.todo.probe = append(h.pool.todo.probe, c)
}

// probed puts a connection back that has kept its place in the order of idle connections
// only roughly: it becomes the oldest one, which is used last.
func (h *host) probed(c *conn, ok bool, now time.Time) {
	p := h.pool
	c.carry(-1)
	c.probing = false
	switch {
	case c.removed:
	case ok && !c.excluded && !p.closed:
		h.parked(c).pushFront(c)
		c.probes++
		c.nextProbe = now.Add(probeInterval(c.probes))
		p.expiry.enter(c, now)
	default:
		p.discard(c)
	}
	h.serveOrDial()
	h.noteEmptied()
	h.dropIfEmpty()
}

// probe checks a connection that was taken.
func (t *Transport) probe(c *conn) {
	ok := c.stillIdle()
	now := time.Now()
	t.mu.Lock()
	c.host.probed(c, ok, now)
	t.unlock()
}
