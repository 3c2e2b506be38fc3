package wire

import "time"

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
	case w.dial == nil && w.host.emptied.After(w.unqueued):
		return w.host.emptied
	default:
		return w.unqueued
	}
}

// queued tells whether w waits for one of those.
func (w *waiter) queued() bool { return !w.done && w.dial == nil && w.host.working() }

// working tells whether there are connections that can become free.
func (h *host) working() bool { return h.carried > 0 && (h.open > 0 || h.h2Open > 0) }

// noteEmptied takes note when there are none any more.
func (h *host) noteEmptied() {
	if h.waiters > 0 && !h.working() {
		h.emptied = time.Now()
	}
}
