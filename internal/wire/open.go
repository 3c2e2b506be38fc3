package wire

import (
	"context"
	"net/http/httptrace"
)

// Open opens a connection of key for a later exchange, without sending anything. It does
// nothing if no exchange would get a further connection: the limit of HTTP/1 connections is
// reached, or there is an HTTP/2 connection. Questions of the handshake stay without an
// answer.
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
		n := w.takeNews()
		t.mu.Unlock()
		if n.question != nil {
			close(n.question.seen)
		}
		switch {
		case n.err != nil:
			return n.err
		case n.conn != nil:
			t.endExchange(n.conn, true)
			return nil
		}
	}
}
