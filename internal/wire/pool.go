package wire

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/netreply/netreply/internal/certs"
)

// host holds the connections of one key. All of it is guarded by Transport.mu.
type host struct {
	key Key
	// HTTP/1 connections that carry nothing: the one used last at the end, and those that
	// nothing was sent on yet.
	idle, unused conns
	h2           conns // HTTP/2 connections that take one more exchange
	open         int   // HTTP/1 connections, busy ones included
	h2Open       int   // HTTP/2 connections that take new exchanges, full ones included
	h2Ending     int   // those that take none any more, and still carry some
	carried      int   // exchanges on connections
	protocol     protocol

	waiting [priorities]lanes
	waiters int
	arrived uint64 // numbers the waiters
	// undialled are those of the waiters that no dial is under way for.
	undialled [priorities]dialLanes

	dials   int   // under way
	opening int   // those of them that anybody may get
	orphans dials // those of these whose waiter went another way

	emptied time.Time // when it last stopped to be working while somebody waited
}

// protocol is what a server was found to speak.
type protocol int

const (
	protoUnknown protocol = iota
	protoH1
	protoH2
)

// lanes are the waiters of one priority: those that take any connection, and those that want
// one that nothing was sent on.
type lanes struct{ any, fresh waiters }

type dialLanes struct{ any, fresh undialled }

// The kinds of queues.
type (
	conns     = queue[conn, placeOfConn]
	allConns  = queue[conn, listOfConns]
	waiters   = queue[waiter, placeOfWaiter]
	undialled = queue[waiter, placeOfUndialled]
	dials     = queue[dialing, placeOfDial]

	placeOfConn      struct{}
	listOfConns      struct{}
	placeOfWaiter    struct{}
	placeOfUndialled struct{}
	placeOfDial      struct{}
)

func (placeOfConn) of(c *conn) *links[conn]          { return &c.place }
func (listOfConns) of(c *conn) *links[conn]          { return &c.listed }
func (placeOfWaiter) of(w *waiter) *links[waiter]    { return &w.place }
func (placeOfUndialled) of(w *waiter) *links[waiter] { return &w.undialled }
func (placeOfDial) of(d *dialing) *links[dialing]    { return &d.place }
func (l *lanes) of(fresh bool) *waiters              { return pick(fresh, &l.fresh, &l.any) }
func (l *dialLanes) of(fresh bool) *undialled        { return pick(fresh, &l.fresh, &l.any) }
func pick[T any](second bool, yes, no *T) *T {
	if second {
		return yes
	}
	return no
}

// waiter is an exchange that waits for a connection. It takes whatever comes
// first, one that was freed or one that was dialled.
type waiter struct {
	ch   chan msg // buffered for all that can come: nobody waits in sending to it
	x    *Exchange
	host *host
	open bool // it wants a connection to be there, and sends nothing: see Open

	// guarded by Transport.mu
	place, undialled links[waiter]
	number           uint64
	done             bool // nothing is sent to it any more
	dial             *dialing
	unqueued         time.Time // see LastQueued
}

type kind int

const (
	connecting kind = iota
	encrypted
	ready
	failed
	asking
)

type msg struct {
	kind     kind
	conn     *conn
	first    bool // of a ready conn: nothing was sent on it, and nobody has heard of it
	tls      *tls.ConnectionState
	accepted *certs.Failure // with tls
	err      error
	question *Question
	seen     chan struct{} // closed when the question was
}

// maxNews is how much news of its dials a waiter can have before it.
const maxNews = 2

// take finds a connection for x: one with room, an idle one, or a new one.
func (t *Transport) take(ctx context.Context, x *Exchange) (*conn, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	h := t.hostOf(x.Key)
	if c := h.place(x.Fresh); c != nil {
		c.begin(x)
		t.mu.Unlock()
		return c, nil
	}
	return t.wait(ctx, h, x)
}

// wait queues for a connection. The caller holds the lock, which it gives up. It is not
// part of take, which nearly every exchange leaves with a connection, and a small stack.
func (t *Transport) wait(ctx context.Context, h *host, x *Exchange) (*conn, error) {
	w := h.enqueue(&waiter{x: x})
	x.waiter = w
	old := t.startDials(h)
	queued := w.queued()
	t.mu.Unlock()
	t.shut(old...)
	x.Observer.Waiting(queued)
	told, secured := false, false
	for {
		select {
		case m := <-w.ch:
			switch m.kind {
			case connecting:
				told = true
				x.connecting()
			case encrypted:
				secured = true
				x.Observer.Encrypted(m.tls, m.accepted)
			case asking:
				x.Observer.Question(m.question)
				close(m.seen)
			case failed:
				return nil, m.err
			case ready:
				// a connection may have been opened for an exchange that did not need
				// it after all: the first one to use it hears of it
				if m.first && !told {
					x.connecting()
				}
				if m.first && !secured && m.conn.tls != nil {
					x.Observer.Encrypted(m.conn.tls, m.conn.accepted)
				}
				if ctx.Err() != nil {
					t.giveBack(m.conn)
					return nil, context.Cause(ctx)
				}
				return m.conn, nil
			}
			if ctx.Err() == nil {
				continue
			}
		case <-ctx.Done():
		}
		t.leave(ctx, h, w)
		return nil, context.Cause(ctx)
	}
}

// enqueue makes w wait; the caller holds the lock.
func (h *host) enqueue(w *waiter) *waiter {
	w.ch, w.host, w.number = make(chan msg, maxNews+maxAsked+1), h, h.arrived
	h.arrived++
	h.waiters++
	h.waiting[w.x.Priority].of(w.x.Fresh).pushBack(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).pushBack(w)
	return w
}

// finish sends the last message to a waiter and takes it out of the queues; the caller holds
// the lock. What was being dialled for it is for whoever comes.
func (h *host) finish(w *waiter, m msg) {
	h.dequeue(w)
	w.ch <- m
}

func (h *host) dequeue(w *waiter) {
	w.done = true
	h.waiters--
	h.waiting[w.x.Priority].of(w.x.Fresh).remove(w)
	h.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
	if d := w.dial; d != nil && !d.lost && d.asked == 0 {
		h.orphans.pushBack(d)
	}
}

// give books a place for a waiter on a connection that has one.
func (h *host) give(w *waiter, c *conn) {
	first := c.uses == 0 && !c.kept
	if w.open {
		c.kept = true
	} else {
		c.begin(w.x)
	}
	h.finish(w, msg{kind: ready, conn: c, first: first})
}

// giveBack ends what give began before anything was sent.
func (t *Transport) giveBack(c *conn) {
	t.mu.Lock()
	c.uses--
	t.mu.Unlock()
	t.put(c, true)
}

// hostOf finds the connections of a key; the caller holds the lock.
func (t *Transport) hostOf(key Key) *host {
	h := t.hosts[key]
	if h == nil {
		h = &host{key: key}
		switch {
		case key.Scheme != "https" && key.Protocol == HTTP2:
			h.protocol = protoH2
		case key.Scheme != "https" || key.Protocol == HTTP1:
			h.protocol = protoH1
		}
		t.hosts[key] = h
	}
	return h
}

// connecting tells of a new connection.
func (x *Exchange) connecting() {
	if !x.Repeated {
		x.Observer.Connecting()
	}
}

// begin books an exchange; the caller holds the lock. The place itself was
// taken when c was picked.
func (c *conn) begin(x *Exchange) {
	x.Conn = Conn{HTTP2: c.http2, Reused: c.uses > 0 || c.kept || c.waited, TLS: c.tls, LocalAddr: c.local, RemoteAddr: c.remote, Ended: c.ended(), nc: c.nc}
	x.idled = c.uses > 0 || c.kept
	c.uses++
	c.expiry, c.hint = x.IdleTimeout, 0
}

// place takes a place on a connection that is there, nil for none. It asks no connection:
// one that ends says so by itself.
func (h *host) place(fresh bool) *conn {
	if c := h.h2.first; c != nil && !fresh {
		h.enter(c)
		return c
	}
	if c := h.h2.last; c != nil && c.uses == 0 { // new ones come last
		h.enter(c)
		return c
	}
	var c *conn
	if !fresh {
		c = h.idle.popBack()
	}
	if c == nil {
		c = h.unused.popBack()
	}
	if c != nil {
		c.carry(1)
	}
	return c
}

// enter takes a place on an HTTP/2 connection of the queue.
func (h *host) enter(c *conn) {
	c.carry(1)
	if n, _ := c.room(); c.streams >= n {
		h.h2.remove(c)
	}
}

// leave takes w out of the queue because its context ended. What it was given
// in that very moment goes back, and a dial that nobody else needs ends. So does one that a
// time limit has passed over: whoever took it over would wait for the same silence.
func (t *Transport) leave(ctx context.Context, h *host, w *waiter) {
	t.mu.Lock()
	if w.done {
		t.mu.Unlock()
		for m := range w.left() {
			switch {
			case m.kind != ready:
			case w.open: // it has begun nothing
				t.put(m.conn, true)
			default:
				t.giveBack(m.conn)
			}
		}
		return
	}
	d := w.dial
	if d != nil && (h.opening >= h.waiters || d.asked > 0 || outOfTime(ctx)) {
		h.lose(d)
	} else {
		d = nil
	}
	h.dequeue(w)
	old := t.startDials(h) // whoever waits takes the dial over, and hears of it
	t.forget(h)
	t.mu.Unlock()
	for range w.left() {
	}
	if d != nil {
		d.cancel()
	}
	t.shut(old...)
}

// left yields what has been sent to a waiter that is gone. What waits for its word on a
// question waits no longer.
func (w *waiter) left() func(func(msg) bool) {
	return func(yield func(msg) bool) {
		for {
			select {
			case m := <-w.ch:
				if m.seen != nil {
					close(m.seen)
				}
				if !yield(m) {
					return
				}
			default:
				return
			}
		}
	}
}

// provide serves those who wait, and has connections opened for the others. The caller holds
// the lock and closes what is returned.
func (t *Transport) provide(h *host) (old []*conn) {
	if t.makesRoom(h) {
		old = t.startDials(h)
	}
	h.serve()
	return append(old, t.startDials(h)...)
}

// makesRoom tells that it is the turn of an exchange that wants a connection that nothing was
// sent on, and that an idle one must end for that. Those who take any would have it first for
// ever, where there are more of them than connections. The caller holds the lock.
func (t *Transport) makesRoom(h *host) bool {
	if h.protocol != protoH1 || h.idle.first == nil || h.unused.first != nil || h.opening < t.cfg.ConnsPerHost-h.open {
		return false
	}
	w := h.nextUndialled(false)
	return w != nil && w.x.Fresh
}

// serve gives connections that are free to those who wait, best priority
// first; the caller holds the lock.
func (h *host) serve() {
	for p := range h.waiting {
		for _, fresh := range [...]bool{true, false} { // who takes any leaves the unused to the others
			for q := h.waiting[p].of(fresh); q.first != nil; {
				c := h.place(fresh)
				if c == nil {
					break
				}
				h.give(q.first, c)
			}
		}
	}
}

// handOver gives a connection that was just dialled to whoever comes first, even
// if its server has ended it already: the exchange then fails with that, where
// dialling again would go on for ever. False means that nobody waits.
func (h *host) handOver(c *conn) bool {
	for p := range h.waiting {
		w, other := h.waiting[p].any.first, h.waiting[p].fresh.first
		if w == nil || other != nil && other.number < w.number {
			w = other
		}
		if w != nil {
			h.give(w, c)
			return true
		}
	}
	return false
}

// put ends an exchange on c. ok says that it may go on; whether it can, the
// connection knows.
func (t *Transport) put(c *conn, ok bool) {
	c.parted()
	var hint time.Duration
	if ok && !c.http2 {
		ok, hint = c.reusable() // which may wait for net/http
	}
	now := time.Now()
	var old []*conn
	t.mu.Lock()
	h := c.host
	c.carry(-1)
	c.hint = hint
	switch {
	case c.gone: // and not here any more
	case c.http2:
		old = t.putH2(c, now)
	case ok && !c.dead && !t.closed && (c.expiry >= 0 || h.waiters > 0):
		h.rest(c)
		t.keep(c, now)
	case t.remove(c):
		old = append(old, c)
	}
	if h.waiters > 0 {
		old = append(old, t.provide(h)...)
		h.idled()
	}
	t.forget(h)
	t.mu.Unlock()
	t.shut(old...)
}

// rest lays an HTTP/1 connection aside that carries nothing.
func (h *host) rest(c *conn) {
	if c.uses == 0 {
		h.unused.pushBack(c)
	} else {
		h.idle.pushBack(c)
	}
}

// putH2 ends an exchange on a connection that may carry others; the caller holds the lock.
func (t *Transport) putH2(c *conn, now time.Time) (old []*conn) {
	n, open := c.room()
	if !open || t.closed {
		t.exclude(c)
	}
	if c.streams == 0 && (c.dead || c.expiry < 0 && c.host.waiters == 0) {
		if t.remove(c) {
			old = append(old, c)
		}
		return old
	}
	if !c.dead && c.streams < n && !c.place.in {
		c.host.h2.pushFront(c)
	}
	if c.streams == 0 {
		t.keep(c, now)
	}
	return old
}

// changed is called, by any goroutine, when an HTTP/2 peer has changed how many exchanges it
// takes, or takes no more.
func (t *Transport) changed(c *conn) {
	t.mu.Lock()
	if c.gone || !c.listed.in { // it is in the pool no more, or not yet
		t.mu.Unlock()
		return
	}
	h := c.host
	n, open := c.room()
	var old []*conn
	switch {
	case !open:
		t.exclude(c)
		if c.streams == 0 && t.remove(c) {
			old = append(old, c)
		}
	case c.dead:
	case c.streams >= n:
		h.h2.remove(c)
	case !c.place.in:
		h.h2.pushFront(c)
	}
	if h.waiters > 0 {
		old = append(old, t.provide(h)...)
	}
	t.forget(h)
	t.mu.Unlock()
	t.shut(old...)
}

// ended is called when reading from c has ended for good: a connection that its server
// closed leaves the pool at once, or with the last exchange on it.
func (t *Transport) ended(c *conn) {
	t.mu.Lock()
	if c.gone || !c.listed.in { // it is in the pool no more, or not yet: being made still
		c.dead = true
		t.mu.Unlock()
		return
	}
	t.exclude(c)
	h := c.host
	var old []*conn
	if c.streams == 0 && t.remove(c) {
		old = append(old, c)
	}
	if h.waiters > 0 {
		old = append(old, t.startDials(h)...)
	}
	t.forget(h)
	t.mu.Unlock()
	t.shut(old...)
}

// retire takes c out of use: what it carries goes on, nothing is added.
func (t *Transport) retire(c *conn) {
	t.mu.Lock()
	t.exclude(c)
	var old []*conn
	if c.host.waiters > 0 {
		old = t.startDials(c.host)
	}
	t.mu.Unlock()
	t.shut(old...)
}

// exclude keeps new exchanges off a connection: they have another one opened, however long
// this one takes to end. The caller holds the lock.
func (t *Transport) exclude(c *conn) {
	if c.dead {
		return
	}
	c.dead = true
	if h := c.host; c.http2 && c.listed.in {
		h.h2.remove(c)
		h.h2Open--
		h.h2Ending++
	}
}

// add enters a connection into the books of its host; the caller holds the lock.
func (t *Transport) add(c *conn) {
	switch h := c.host; {
	case !c.http2:
		h.open++
	case c.dead:
		h.h2Ending++
	default:
		h.h2Open++
	}
	t.all.pushBack(c)
	t.live.Add(1)
}

// remove takes a connection out of the books of its host, whatever it carries, and says
// whether it was in; the caller holds the lock and closes it.
func (t *Transport) remove(c *conn) bool {
	if c.gone {
		return false
	}
	t.exclude(c)
	c.gone = true
	h := c.host
	switch {
	case c.http2:
		h.h2Ending--
	case c.uses == 0:
		h.unused.remove(c)
		h.open--
	default:
		h.idle.remove(c)
		h.open--
	}
	h.idled()
	t.forgetDue(c)
	t.live.Add(-1)
	return true
}

// removeIdle takes the connections that carry nothing out of the books.
func (t *Transport) removeIdle() (old []*conn) {
	for c := t.all.first; c != nil; c = c.listed.next {
		if c.streams == 0 && t.remove(c) {
			old = append(old, c)
		}
	}
	return old
}

// forget drops a host that holds nothing.
func (t *Transport) forget(h *host) {
	if h.open == 0 && h.h2Open == 0 && h.h2Ending == 0 && h.dials == 0 && h.waiters == 0 && t.hosts[h.key] == h {
		delete(t.hosts, h.key)
	}
}
