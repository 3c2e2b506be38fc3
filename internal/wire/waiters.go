package wire

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/reqctx"
)

// waiter is an exchange that waits for a connection. It gets the first one that becomes
// available, whether free or new.
type waiter struct {
	x    *Exchange
	host *host
	// trace gets the events of the dials that are started for it, even if their connections
	// are assigned to others; nil for none.
	trace *httptrace.ClientTrace
	open  bool          // for Transport.Open, without an exchange
	wake  chan struct{} // capacity 1: a flag that there is news

	// guarded by Transport.mu
	queueLinks, undialledLinks links[waiter]
	number                     uint64
	dial                       *dialing
	unqueued                   time.Time // see LastQueued
	done                       bool      // it has its outcome, or does not wait any more
	news                       news
}

// news are unprocessed events of a waiter, in the order in which they are processed. They
// concern its current dial; news of an earlier dial is dropped. So there is at most one
// event of each kind, however slow the observer is.
type news struct {
	connecting bool
	question   *Question // the handshake waits for the answer
	encrypted  *tls.ConnectionState
	accepted   *certs.Failure // set with encrypted

	// The outcome is conn or err. first means that conn is new, and was not reported to an
	// observer.
	conn  *conn
	first bool
	err   error
}

// enqueue adds a waiter to the queues.
func (h *host) enqueue(w *waiter) *waiter {
	w.wake, w.host, w.number = make(chan struct{}, 1), h, h.arrived
	h.arrived++
	h.waiters++
	h.waiting[w.x.Priority].of(w.x.Fresh).pushBack(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).pushBack(w)
	return w
}

// dequeue removes w from the queues. Its dial continues for other waiters.
func (w *waiter) dequeue() {
	h := w.host
	w.done = true
	h.waiters--
	h.waiting[w.x.Priority].of(w.x.Fresh).remove(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
	if d := w.dial; d != nil && d.audience == anyWaiter {
		h.orphans.pushBack(d)
	}
}

// finish sets the outcome of w.
func (w *waiter) finish(outcome news) {
	w.dequeue()
	w.news.conn, w.news.first, w.news.err = outcome.conn, outcome.first, outcome.err
	w.notify()
}

// notify wakes the exchange.
func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ContextEnded is called at the end of the context of the exchange.
func (w *waiter) ContextEnded() { w.notify() }

// takeNews returns and clears the news.
func (w *waiter) takeNews() news {
	n := w.news
	w.news = news{}
	return n
}

// failAll fails all waiters.
func (h *host) failAll(err error) {
	for p := range h.waiting {
		for _, fresh := range [...]bool{false, true} {
			for q := h.waiting[p].of(fresh); q.first != nil; {
				q.first.finish(news{err: err})
			}
		}
	}
}

// nextUndialled returns the first waiter for which no dial is running, nil for none.
func (h *host) nextUndialled(freshOnly bool) *waiter {
	for p := range h.undialled {
		l := &h.undialled[p]
		w := l.fresh.first
		if other := l.any.first; !freshOnly && other != nil && (w == nil || other.number < w.number) {
			w = other
		}
		if w != nil {
			return w
		}
	}
	return nil
}

// abandon removes w after the end of its context. Its dial is cancelled if no other waiter
// needs it, or if a time limit has passed: another waiter would wait for the same silent
// peer.
func (h *host) abandon(w *waiter, outOfTime bool) {
	if d := w.dial; d != nil && (h.shared >= h.waiters || d.audience == ownerOnly || outOfTime) {
		d.giveUp()
	}
	w.dequeue()
	h.startDials() // another waiter becomes the owner of the dial
	h.dropIfEmpty()
}

// acquire returns a connection for x: one with room, an idle one, or a new one.
func (t *Transport) acquire(ctx context.Context, x *Exchange) (*conn, error) {
	t.mu.Lock()
	if t.pool.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	h := t.pool.host(x.Key)
	if c := h.acquire(x.Fresh); c != nil {
		c.begin(x)
		t.mu.Unlock()
		return c, nil
	}
	return t.wait(ctx, h, x)
}

// wait waits for a connection. The caller holds the lock; wait releases it. It is not part
// of acquire to keep that stack small.
func (t *Transport) wait(ctx context.Context, h *host, x *Exchange) (c *conn, err error) {
	w := h.enqueue(&waiter{x: x, trace: httptrace.ContextClientTrace(ctx)})
	x.waiter, x.waited = w, true
	h.startDials()
	queued := w.queued()
	t.unlock()
	var n news
	over := false
	defer func() {
		if !over { // the observer has panicked, or called runtime.Goexit
			t.drop(n)
			t.leave(ctx, w)
		}
		t.waited(x)
	}()
	x.Observer.Waiting(queued)
	c, err = t.awaitConn(ctx, w, &n)
	over = true
	return c, err
}

// awaitConn waits for a connection, and reports the news of w to its observer. n is the
// news being reported.
func (t *Transport) awaitConn(ctx context.Context, w *waiter, n *news) (*conn, error) {
	x := w.x
	connecting, encrypted := false, false // already reported
	var done <-chan struct{}
	if own, ok := ctx.(*reqctx.Context); ok && own.Watch(w) {
		defer own.Unwatch(w)
	} else {
		done = ctx.Done()
	}
	for ctx.Err() == nil {
		select {
		case <-w.wake:
		case <-done:
			continue
		}
		t.mu.Lock()
		*n = w.takeNews()
		t.mu.Unlock()
		// The exchange for which a connection was opened may have ended: the first one to
		// use it reports it.
		if n.connecting || n.first && !connecting {
			connecting = true
			x.connecting()
		}
		if n.question != nil {
			x.Observer.Question(n.question)
			close(n.question.seen)
			n.question = nil
		}
		if n.encrypted != nil {
			encrypted = true
			x.Observer.Encrypted(n.encrypted, n.accepted)
		}
		if n.first && !encrypted && n.conn.tls != nil {
			x.Observer.Encrypted(n.conn.tls, n.conn.accepted)
		}
		switch {
		case n.err != nil:
			return nil, n.err
		case n.conn == nil:
		case ctx.Err() != nil:
			t.giveBack(n.conn)
			return nil, context.Cause(ctx)
		default:
			return n.conn, nil
		}
	}
	t.leave(ctx, w)
	return nil, context.Cause(ctx)
}

// leave ends the wait of an exchange whose context has ended. A connection that it was
// assigned meanwhile is returned, and a handshake that waits for its answer continues.
func (t *Transport) leave(ctx context.Context, w *waiter) {
	t.mu.Lock()
	n := w.takeNews()
	if !w.done {
		w.host.abandon(w, outOfTime(ctx))
	}
	t.unlock()
	if w.open && n.conn != nil { // without an exchange
		t.endExchange(n.conn, true)
		n.conn = nil
	}
	t.drop(n)
}

// drop discards news that is not reported: a handshake continues without an answer, and a
// connection is returned to the pool.
func (t *Transport) drop(n news) {
	if n.question != nil {
		close(n.question.seen)
	}
	if n.conn != nil {
		t.giveBack(n.conn)
	}
}

// connecting reports a new connection.
func (x *Exchange) connecting() {
	if !x.Repeated {
		x.Observer.Connecting()
	}
}
