package wire

import (
	"context"
	"net/http/httptrace"
)

// Open opens a connection of key that nothing is sent on, for an exchange to come. It
// does nothing where no exchange would get another one: as many HTTP/1 connections as
// allowed are there, or one of HTTP/2. Questions of the handshake have no answer.
func (t *Transport) Open(ctx context.Context, key Key) error {
	t.mu.Lock()
	if t.pool.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	h := t.pool.host(key)
	if h.h2Open > 0 || h.open+h.dials >= t.cfg.ConnsPerHost {
		t.mu.Unlock()
		return nil
	}
	w := h.enqueue(&waiter{x: &Exchange{Priority: Low, Fresh: true}, trace: httptrace.ContextClientTrace(ctx), open: true})
	h.startDials()
	t.unlock()
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			t.leave(ctx, w)
			return context.Cause(ctx)
		}
		t.mu.Lock()
		n := w.take()
		t.mu.Unlock()
		if n.question != nil {
			close(n.question.seen)
		}
		switch {
		case n.err != nil:
			return n.err
		case n.conn != nil:
			t.put(n.conn, true)
			return nil
		}
	}
}
