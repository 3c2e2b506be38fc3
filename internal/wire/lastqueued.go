package wire

import "time"

// LastQueued returns until when an exchange waited for a connection because all allowed
// connections were in use, as opposed to waiting for its peer: now, if it still does; a
// time before it began, if it never did. It counts as waiting for the peer while the first
// connections to a host are being opened, for whichever exchange, and while the peer
// accepts no exchange on a connection without any. LastQueued is safe for concurrent use.
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

// queued reports whether w waits because all connections are in use.
func (w *waiter) queued() bool { return !w.done && w.dial == nil && w.host.hasBusyConns() }

// hasBusyConns reports whether any connection carries exchanges, so that it can become free.
func (h *host) hasBusyConns() bool { return h.carried > 0 && (h.open > 0 || h.h2Open > 0) }

// noteEmptied records the time at which hasBusyConns becomes false.
func (h *host) noteEmptied() {
	if h.waiters > 0 && !h.hasBusyConns() {
		h.emptied = time.Now()
	}
}
