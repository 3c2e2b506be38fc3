package wire

import (
	"context"
	"errors"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
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
// It is also the context that net/http gets, with a trace: the own one of the request would
// have to make one of package context for it. When the exchange is over, a goroutine of net/http
// may still ask for Done and Err, even when the memory is that of the next exchange, whose end
// does not matter to a stream whose response was received.
type cancellation struct {
	context.Context // of the request; set under mu
	done            chan struct{}
	trace           httptrace.ClientTrace

	t     *Transport
	c     *conn
	x     *Exchange
	began time.Time
	stop  func() bool // ends watching the context; nil if that cannot end, or calls ContextEnded itself
	own   bool        // it calls ContextEnded itself: it is a *reqctx.Context
	// joined: the trace was changed for this exchange, with another one or for HEAD
	joined  bool
	written atomic.Bool // net/http has written the request, which it does not look at any more

	mu       sync.Mutex
	answered bool // there is a response body
	canceled bool // the context has ended
	finished bool
	clean    bool // the context had not ended, and is not watched any more
	over     bool // nobody uses the response body
}

// watch begins to watch ctx, before the request is sent on c, in the memory of an earlier exchange
// if there is any.
func (t *Transport) watch(ctx context.Context, c *conn, x *Exchange) {
	e := x.cancellation
	if !c.http2 {
		x.cancellation = nil
		return
	}
	if e == nil {
		e = &cancellation{done: make(chan struct{})}
		e.trace.Got1xxResponse, e.trace.WroteRequest = e.interim, e.wroteRequest
		x.cancellation = e
	}
	e.mu.Lock()
	e.Context = ctx
	e.mu.Unlock()
	e.t, e.c, e.x, e.began = t, c, x, time.Now()
	if own, ok := ctx.(*reqctx.Context); ok && own.Watch(e) {
		e.own = true
	} else if ctx.Done() != nil {
		e.stop = context.AfterFunc(ctx, e.ContextEnded)
	}
}

func (e *cancellation) interim(code int, header textproto.MIMEHeader) error {
	return e.x.Observer.Interim(code, header)
}

func (e *cancellation) wroteRequest(httptrace.WroteRequestInfo) { e.written.Store(true) }

// Done is closed at the end of the context, unless the exchange has ended before.
func (e *cancellation) Done() <-chan struct{} { return e.done }

// Err is that of the context.
func (e *cancellation) Err() error {
	e.mu.Lock()
	ctx := e.Context
	e.mu.Unlock()
	return ctx.Err()
}

// Value has the trace in addition to the values of the context.
func (e *cancellation) Value(key any) any {
	if key == traceKey && !e.joined {
		return &e.trace
	}
	return e.Context.Value(key)
}

// traceKey is the key of the trace in a context. Package httptrace tells it to contexts only.
var traceKey = func() any {
	var k keyFinder
	httptrace.ContextClientTrace(&k)
	return k.key
}()

// keyFinder is a context that remembers which key it was asked for.
type keyFinder struct {
	context.Context
	key any
}

func (k *keyFinder) Value(key any) any {
	k.key = key
	return nil
}

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
	answered := e.answered
	e.mu.Unlock()
	if answered {
		(*responseBody)(e.x).abandon()
		return
	}
	time.AfterFunc(endGrace, func() { // RoundTrip ends by itself, or when the connection is closed
		if !e.isFinished() {
			e.t.cut(e.c)
		}
	})
}

// answer is called when there is a response body, which is closed at the end of the context;
// false means that it has already ended.
func (e *cancellation) answer() bool {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answered = true
	return !e.canceled
}

// finish is called at the end of the exchange.
func (e *cancellation) finish() {
	if e == nil {
		return
	}
	clean := true
	switch {
	case e.own:
		clean = e.Context.(*reqctx.Context).Unwatch(e)
	case e.stop != nil:
		clean = e.stop()
	}
	e.mu.Lock()
	e.finished, e.clean = true, clean
	e.mu.Unlock()
}

// bodyOver is called, as the last thing that is done with a response body, when its end was
// read, or when there is none.
func (e *cancellation) bodyOver() {
	if e == nil {
		return
	}
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
}

// renew prepares it for another exchange. It returns false if anything may still refer to
// this one.
func (e *cancellation) renew() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.clean || !e.over || e.joined || !e.written.Load() {
		return false
	}
	e.Context = context.Background()
	e.t, e.c, e.x, e.began, e.stop, e.own = nil, nil, nil, time.Time{}, nil, false
	e.answered, e.finished, e.clean, e.over = false, false, false, false
	e.written.Store(false)
	return true
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
