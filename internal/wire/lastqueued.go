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
	switch {
	case x.waiter != nil:
		return x.waiter.lastQueued()
	case x.lastQueued != nil:
		return *x.lastQueued
	}
	return time.Time{}
}

// lastQueued is LastQueued of an exchange that waits. The caller holds the lock.
func (w *waiter) lastQueued() time.Time {
	switch {
	case w.queued():
		return time.Now()
	case w.dial == nil && w.host.emptied.After(w.unqueued):
		return w.host.emptied
	default:
		return w.unqueued
	}
}

// waited ends the wait of an exchange, which does not keep its waiter in memory, nor what that
// refers to.
func (t *Transport) waited(x *Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := x.waiter.lastQueued()
	x.lastQueued, x.waiter = &last, nil
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
