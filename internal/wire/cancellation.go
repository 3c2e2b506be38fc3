package wire

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/reqctx"
)

// Ending exchanges and connections where net/http would wait for the peer. Its HTTP/2
// client does not watch the context of a request in flow control, nor in a Read or Close of
// a body that has to send a WINDOW_UPDATE while the Write of another stream blocks: only
// closing the connection ends these. Therefore a cancelled exchange gets a short time to
// end gracefully, and then its connection is removed from the pool and closed, which fails
// the other exchanges on it.

// endGrace is how long an exchange on a shared connection may take to end after its
// context, and how long a graceful close may take.
const endGrace = 200 * time.Millisecond

// cancellation ends an exchange on a shared connection with its context. It is nil for an
// exchange that net/http ends by itself.
//
// It is also the context that net/http gets: the own one of the request would have to make
// one of package context for it, and its trace. Both are for this exchange only.
type cancellation struct {
	context.Context // of the request
	done            chan struct{}
	trace           httptrace.ClientTrace

	t     *Transport
	c     *conn
	began time.Time
	stop  func() bool     // ends watching the context; nil if that cannot end, or for watched
	own   *reqctx.Context // the context if it calls ContextEnded itself, else nil

	mu       sync.Mutex
	response *responseBody // nil before the response head
	canceled bool          // the context has ended
	finished bool
}

// watch begins to watch ctx, before the request is sent on c.
func (t *Transport) watch(ctx context.Context, c *conn) *cancellation {
	if !c.http2 {
		return nil
	}
	e := &cancellation{Context: ctx, done: make(chan struct{}), t: t, c: c, began: time.Now()}
	if own, ok := ctx.(*reqctx.Context); ok && own.Watch(e) {
		e.own = own
	} else if ctx.Done() != nil {
		e.stop = context.AfterFunc(ctx, e.ContextEnded)
	}
	return e
}

// Done is closed at the end of the context, unless the exchange has ended before.
func (e *cancellation) Done() <-chan struct{} { return e.done }

// ContextEnded is called at the end of the context. It does not block.
func (e *cancellation) ContextEnded() {
	close(e.done)
	go e.giveUp()
}

// outOfTime reports whether a context has ended because of a time limit.
func outOfTime(ctx context.Context) bool {
	var limit interface{ Timeout() bool }
	return errors.As(context.Cause(ctx), &limit) && limit.Timeout()
}

// silenceLimit decides about a shared connection after an exchange on it has exceeded a
// time limit: if nothing was received on it for this long, or for half the duration of the
// exchange, no new exchanges begin on it.
const silenceLimit = 250 * time.Millisecond

// giveUp runs at the end of the context, on its own goroutine.
func (e *cancellation) giveUp() {
	if h, ok := e.c.connection.(*h2Conn); ok && outOfTime(e.Context) && h.silentFor() >= min(silenceLimit, time.Since(e.began)/2) {
		e.t.retire(e.c)
	}
	e.mu.Lock()
	e.canceled = true
	b := e.response
	e.mu.Unlock()
	if b != nil {
		b.abandon()
		return
	}
	time.AfterFunc(endGrace, func() { // RoundTrip ends by itself, or when the connection is closed
		if !e.isFinished() {
			e.t.cut(e.c)
		}
	})
}

// answered sets the response body to close; false means that the context has already ended.
func (e *cancellation) answered(b *responseBody) bool {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.response = b
	return !e.canceled
}

// finish is called at the end of the exchange.
func (e *cancellation) finish() {
	if e == nil {
		return
	}
	switch {
	case e.own != nil:
		e.own.Unwatch(e)
	case e.stop != nil:
		e.stop()
	}
	e.mu.Lock()
	e.finished = true
	e.mu.Unlock()
}

func (e *cancellation) isFinished() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.finished
}

// abandon resets the stream of a body that was not read to its end. It may block for
// endGrace.
func (b *responseBody) abandon() {
	timer := time.AfterFunc(endGrace, func() { b.body.t.cut(b.carrier) })
	b.body.ReadCloser.Close()
	timer.Stop()
	b.release(true)
}

// closeLimit is how long Close waits at most.
const closeLimit = 2 * time.Second

// Close closes all connections, even those in use, cancels all dials, and makes later
// exchanges fail with ErrClosed. It waits until all have ended, but at most for closeLimit:
// it does not wait for a DialContext that ignores its context, or for the Close of its
// connections.
func (t *Transport) Close() {
	t.mu.Lock()
	if !t.pool.closed {
		t.pool.close()
		t.pool.expiry.timer.Stop()
	}
	t.unlock()
	t.stop()
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	select {
	case <-t.over:
	case <-timer.C:
	}
}
