package wire

import (
	"math"
	"time"
)

// LastQueued tells, from any goroutine, until when an exchange waited for a connection while
// all that there may be carried others, and not for its peer: now, if it still does; a time
// before it began, if it never did. While the first connections of all are being opened it
// is the peer that is waited for, whoever they were begun for; and so it is while the peer
// takes no exchange on a connection that carries none.
func (t *Transport) LastQueued(x *Exchange) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch w := x.waiter; {
	case w == nil:
		return time.Time{}
	case w.queued():
		return time.Now()
	case w.dial == nil:
		return w.host.emptied
	default:
		return w.unqueued
	}
}

// queued is for whoever holds the lock, as the rest is.
func (w *waiter) queued() bool { return !w.done && w.dial == nil && w.host.working() }

// working tells whether there are connections that can become free.
func (h *host) working() bool { return h.carried > 0 && (h.open > 0 || h.h2Open > 0) }

// idled takes note when there are none any more.
func (h *host) idled() {
	if h.waiters > 0 && !h.working() {
		h.emptied = time.Now()
	}
}

// dialled notes that a connection is being opened for w.
func (w *waiter) dialled(d *dialing) {
	if w.dial, w.unqueued = d, w.host.emptied; w.host.working() {
		w.unqueued = time.Now()
	}
}

// PeerMoved is now, if something has gone on since the last call that nobody is told of:
// the peer has taken bytes of the request off the system's hands, which takes far more
// than the peer has, so that a slow upload and a dead one look the same for seconds; or
// bytes of a large HTTP/2 frame have come, which net/http waits for as a whole, or word of
// what the peer has read. It may be called from Sending on, from one goroutine at a time.
// It is the zero time otherwise, and where that cannot be seen, or not be told apart from
// the bytes of other exchanges.
func (t *Transport) PeerMoved(x *Exchange) (at time.Time) {
	c := x.carrier
	if c == nil {
		return at
	}
	t.mu.Lock()
	alone := c.streams == 1
	t.mu.Unlock()
	untaken, moved := x.untaken, x.moved
	x.untaken = int32(min(x.Conn.Untaken(), math.MaxInt32))
	if s, ok := c.connection.(*h2Conn); ok {
		x.moved = s.guard.moved.Load()
	}
	if alone && (x.untaken >= 0 && x.untaken < untaken || x.moved != moved) {
		at = time.Now()
	}
	return at
}
