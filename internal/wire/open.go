package wire

import "context"

// Open opens a connection of key that nothing is sent on, for an exchange to come. It
// does nothing where no exchange would get another one: as many HTTP/1 connections as
// allowed are there, or one of HTTP/2. Questions of the handshake have no answer.
func (t *Transport) Open(ctx context.Context, key Key) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	h := t.hostOf(key)
	if h.h2Open > 0 || h.open+h.dials >= t.cfg.ConnsPerHost {
		t.mu.Unlock()
		return nil
	}
	w := h.enqueue(&waiter{x: &Exchange{Priority: Low, Fresh: true}, open: true})
	old := t.startDials(h)
	t.mu.Unlock()
	t.shut(old...)
	for {
		select {
		case m := <-w.ch:
			switch m.kind {
			case asking:
				close(m.seen)
			case failed:
				return m.err
			case ready:
				t.put(m.conn, true)
				return nil
			}
		case <-ctx.Done():
			t.leave(ctx, h, w)
			return context.Cause(ctx)
		}
	}
}
