package wire

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Ends of exchanges and connections that net/http would let wait for the peer. Its HTTP/2
// client does not watch the context of a request in its flow control, nor in a Read or Close
// of a body that has to send a WINDOW_UPDATE while another stream's Write stands: only the
// end of the connection frees these. So an exchange that is given up gets a moment to end in
// good order, and then its connection ends, which is taken out of the pool and costs the
// exchanges on it.

// endGrace is how long an exchange on a shared connection may take to end after its context
// has, and closing a connection to say goodbye.
const endGrace = 200 * time.Millisecond

// ending ends an exchange on a shared connection with its context. nil stands for an
// exchange that net/http ends by itself.
type ending struct {
	t     *Transport
	c     *conn
	began time.Time
	stop  func() bool

	mu       sync.Mutex
	response *body // once there is one
	given    bool  // the context has ended
	over     bool
}

// watch begins, when the request is about to be sent on c.
func (t *Transport) watch(ctx context.Context, c *conn) *ending {
	if !c.http2 || ctx.Done() == nil {
		return nil
	}
	e := &ending{t: t, c: c, began: time.Now()}
	e.stop = context.AfterFunc(ctx, func() { e.giveUp(ctx) })
	return e
}

// outOfTime tells that a context has ended by a time limit.
func outOfTime(ctx context.Context) bool {
	var limit interface{ Timeout() bool }
	return errors.As(context.Cause(ctx), &limit) && limit.Timeout()
}

// silence is how long nothing may have come on a shared connection for an exchange that
// runs into a time limit to be a reason not to begin another one on it; half the exchange
// if that was shorter.
const silence = 250 * time.Millisecond

// giveUp runs at the end of the context, on a goroutine of its own.
func (e *ending) giveUp(ctx context.Context) {
	if h, ok := e.c.connection.(*h2Conn); ok && outOfTime(ctx) && h.silentFor() >= min(silence, time.Since(e.began)/2) {
		e.t.retire(e.c)
	}
	e.mu.Lock()
	e.given = true
	b := e.response
	e.mu.Unlock()
	if b != nil {
		b.abandon()
		return
	}
	time.AfterFunc(endGrace, func() { // RoundTrip ends by itself, or with the connection
		if !e.isOver() {
			e.t.cut(e.c)
		}
	})
}

// answered hands the response over to be ended; false means that it is too late for that.
func (e *ending) answered(b *body) bool {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.response = b
	return !e.given
}

// finish says that the exchange is over.
func (e *ending) finish() {
	if e == nil {
		return
	}
	e.stop()
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
}

func (e *ending) isOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over
}

// abandon resets the stream of a body that is not read to its end. It may wait for the
// connection, up to endGrace.
func (b *body) abandon() {
	timer := time.AfterFunc(endGrace, func() { b.t.cut(b.c) })
	b.ReadCloser.Close()
	timer.Stop()
	b.release(true)
}

// closeLimit bounds how long Close waits.
const closeLimit = 2 * time.Second

// Close ends every connection, whatever it carries, gives the dials up, and makes later
// exchanges fail with ErrClosed. It returns when all that has ended, or after a moment in any
// case: a DialContext that ignores its context, and a connection of it that does not close,
// are left behind.
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
