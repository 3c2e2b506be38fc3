package wire

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"time"

	"github.com/netreply/netreply/internal/certs"
)

// waiter is an exchange that waits for a connection. It takes whatever comes
// first, one that was freed or one that was dialled.
type waiter struct {
	x    *Exchange
	host *host
	// trace hears of the dials that are begun for it, even if their connections go to others;
	// nil for none.
	trace *httptrace.ClientTrace
	open  bool          // it wants a connection to be there, and sends nothing: see Open
	wake  chan struct{} // holds one when there is news

	// guarded by Transport.mu
	place, undialled links[waiter]
	number           uint64
	dial             *dialing
	unqueued         time.Time // see LastQueued
	done             bool      // it has its outcome, or has left: there is no more news
	news             news
}

// news is what a waiter has still to hear, in this order. It is about the dial that is under
// way for it; what was unheard of a dial before is dropped. So an exchange whose observer takes
// its time has one of each kind to hear at most, however many dials go to others meanwhile.
type news struct {
	connecting bool
	question   *Question // its asker waits
	encrypted  *tls.ConnectionState
	accepted   *certs.Failure // with encrypted

	// The outcome is one of them. first says that nothing was sent on conn, and that nobody
	// has heard of it.
	conn  *conn
	first bool
	err   error
}

// enqueue makes an exchange wait.
func (h *host) enqueue(w *waiter) *waiter {
	w.wake, w.host, w.number = make(chan struct{}, 1), h, h.arrived
	h.arrived++
	h.waiters++
	h.waiting[w.x.Priority].of(w.x.Fresh).pushBack(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).pushBack(w)
	return w
}

// dequeue takes w out of the queues. What is being dialled for it is for whoever comes.
func (w *waiter) dequeue() {
	h := w.host
	w.done = true
	h.waiters--
	h.waiting[w.x.Priority].of(w.x.Fresh).remove(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
	if d := w.dial; d != nil && d.audience == anyone {
		h.orphans.pushBack(d)
	}
}

// finish gives w its outcome.
func (w *waiter) finish(outcome news) {
	w.dequeue()
	w.news.conn, w.news.first, w.news.err = outcome.conn, outcome.first, outcome.err
	w.notify()
}

// notify wakes the exchange up, which may have been woken already.
func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take hands what is new over.
func (w *waiter) take() news {
	n := w.news
	w.news = news{}
	return n
}

// failAll ends the wait of everybody.
func (h *host) failAll(err error) {
	for p := range h.waiting {
		for _, fresh := range [...]bool{false, true} {
			for q := h.waiting[p].of(fresh); q.first != nil; {
				q.first.finish(news{err: err})
			}
		}
	}
}

// nextUndialled is the first waiter that no dial is under way for.
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

// abandon takes w out because its context has ended. A dial that nobody else needs ends. So
// does one that a time limit has passed over: whoever took it over would wait for the same
// silence.
func (h *host) abandon(w *waiter, outOfTime bool) {
	if d := w.dial; d != nil && (h.shared >= h.waiters || d.audience == ownerOnly || outOfTime) {
		d.giveUp()
	}
	w.dequeue()
	h.startDials() // whoever waits takes the dial over, and hears of it
	h.forget()
}

// take finds a connection for x: one with room, an idle one, or a new one.
func (t *Transport) take(ctx context.Context, x *Exchange) (*conn, error) {
	t.mu.Lock()
	if t.pool.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	h := t.pool.host(x.Key)
	if c := h.place(x.Fresh); c != nil {
		c.begin(x)
		t.mu.Unlock()
		return c, nil
	}
	return t.wait(ctx, h, x)
}

// wait queues for a connection. The caller holds the lock, which it gives up. It is not
// part of take, which nearly every exchange leaves with a connection, and a small stack.
func (t *Transport) wait(ctx context.Context, h *host, x *Exchange) (c *conn, err error) {
	w := h.enqueue(&waiter{x: x, trace: httptrace.ContextClientTrace(ctx)})
	x.waiter = w
	h.startDials()
	queued := w.queued()
	t.unlock()
	var n news
	over := false
	defer func() {
		if !over { // the observer has panicked, or has ended the goroutine
			t.drop(n)
			t.leave(ctx, w)
		}
	}()
	x.Observer.Waiting(queued)
	c, err = t.hear(ctx, w, &n)
	over = true
	return c, err
}

// hear tells the observer of an exchange what happens until it has a connection. n is what is
// being told.
func (t *Transport) hear(ctx context.Context, w *waiter, n *news) (*conn, error) {
	x := w.x
	connecting, encrypted := false, false // have been told
	for ctx.Err() == nil {
		select {
		case <-w.wake:
		case <-ctx.Done():
			continue
		}
		t.mu.Lock()
		*n = w.take()
		t.mu.Unlock()
		// A connection may have been opened for an exchange that did not need it after all:
		// the first one to use it hears of it.
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

// leave ends the wait of an exchange whose context has ended. What it was given in that very
// moment goes back, and who waits for its word on a question waits no longer.
func (t *Transport) leave(ctx context.Context, w *waiter) {
	t.mu.Lock()
	n := w.take()
	if !w.done {
		w.host.abandon(w, outOfTime(ctx))
	}
	t.unlock()
	if w.open && n.conn != nil { // it has begun nothing
		t.put(n.conn, true)
		n.conn = nil
	}
	t.drop(n)
}

// drop is for news of an exchange that nobody hears any more.
func (t *Transport) drop(n news) {
	if n.question != nil {
		close(n.question.seen)
	}
	if n.conn != nil {
		t.giveBack(n.conn)
	}
}

// connecting tells of a new connection.
func (x *Exchange) connecting() {
	if !x.Repeated {
		x.Observer.Connecting()
	}
}
