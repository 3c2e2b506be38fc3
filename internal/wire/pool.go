package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/netreply/netreply/internal/certs"
)

// host holds the connections of one key. All of it is guarded by Transport.mu.
type host struct {
	key     Key
	idle    []*conn // HTTP/1, the one used last at the end
	h2      []*conn
	open    int   // HTTP/1 connections, idle ones included
	speaks  speak // what the server was found to speak
	dialing []*dialing
	waiting [priorities][]*waiter
}

type speak int

const (
	unknown speak = iota
	one
	two
)

// waiter is an exchange that waits for a connection. It takes whatever comes
// first, one that was freed or one that was dialled.
type waiter struct {
	ch       chan msg // buffered for all that can come
	priority Priority
	fresh    bool
	once     bool
	done     bool // guarded by Transport.mu
	dial     *dialing
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
	tls      *tls.ConnectionState
	accepted *certs.Failure // with tls
	err      error
	question *Question
	seen     chan struct{} // closed when the question was
}

// finish sends the last message; the caller holds the lock and has taken w out
// of its queue.
func (w *waiter) finish(m msg) {
	w.done = true
	w.ch <- m
}

// dialing is one connection being opened; its goroutine ends by itself, within
// the Dialer's limits.
type dialing struct {
	host   *host
	cancel context.CancelFunc
	owner  *waiter // the exchange it was started for, told of its progress
	lost   bool    // cancelled
	asked  int     // questions: a dial with any is for nobody else
	asker  *waiter // whom the last one went to
	again  bool    // after a session that was stale
}

// take finds a connection for x: one with room, an idle one, or a new one.
func (t *Transport) take(ctx context.Context, x *Exchange) (*conn, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	h := t.hostOf(x.Key)
	var stale []*conn
	c := h.pick(x.Fresh, x.Once, &stale)
	if c != nil {
		c.begin(x)
		t.mu.Unlock()
		closeAll(stale)
		return c, nil
	}
	return t.wait(ctx, h, x, stale)
}

// wait queues for a connection. The caller holds the lock, which it gives up. It is not
// part of take, which nearly every exchange leaves with a connection, and a small stack.
func (t *Transport) wait(ctx context.Context, h *host, x *Exchange, stale []*conn) (*conn, error) {
	w := &waiter{ch: make(chan msg, 3+maxAsked), priority: x.Priority, fresh: x.Fresh, once: x.Once}
	h.waiting[w.priority] = append(h.waiting[w.priority], w)
	if x.Fresh && h.open >= t.cfg.ConnsPerHost && len(h.idle) > 0 { // make room for a new one
		stale = append(stale, h.idle[0])
		h.idle = h.idle[1:]
		h.open--
	}
	t.startDials(h)
	t.mu.Unlock()
	closeAll(stale)
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
				t.mu.Lock()
				first := m.conn.uses == 0 && !m.conn.kept
				m.conn.begin(x)
				t.mu.Unlock()
				// a connection may have been opened for an exchange that did not need
				// it after all: the first one to use it hears of it
				if first && !told {
					x.connecting()
				}
				if first && !secured && m.conn.tls != nil {
					x.Observer.Encrypted(m.conn.tls, m.conn.accepted)
				}
				if ctx.Err() != nil {
					t.put(m.conn, true)
					return nil, context.Cause(ctx)
				}
				return m.conn, nil
			}
			if ctx.Err() == nil {
				continue
			}
		case <-ctx.Done():
		}
		t.leave(h, w)
		return nil, context.Cause(ctx)
	}
}

// hostOf finds the connections of a key; the caller holds the lock.
func (t *Transport) hostOf(key Key) *host {
	h := t.hosts[key]
	if h == nil {
		h = &host{key: key}
		switch {
		case key.Scheme != "https" && key.Protocol == HTTP2:
			h.speaks = two
		case key.Scheme != "https" || key.Protocol == HTTP1:
			h.speaks = one
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

func closeAll(cs []*conn) {
	for _, c := range cs {
		c.close()
	}
}

// begin books an exchange; the caller holds the lock. The place itself was
// taken when c was picked.
func (c *conn) begin(x *Exchange) {
	x.Conn = Conn{HTTP2: c.http2, Reused: c.uses > 0 || c.kept || c.waited, TLS: c.tls, LocalAddr: c.nc.LocalAddr(), RemoteAddr: c.nc.RemoteAddr()}
	c.uses++
	c.expiry = x.IdleTimeout
}

// pick takes a place on a connection that is there; what it finds dead goes to
// stale. An HTTP/2 connection gets one exchange more than it has room for: that
// one waits inside, and finds out at once if the server is closing the
// connection, which nothing else tells.
func (h *host) pick(fresh, once bool, stale *[]*conn) *conn {
	for i := 0; i < len(h.h2); i++ {
		c := h.h2[i]
		// asking costs locks that every stream wants: below what was allowed last,
		// and where a refusal can be made good, the answer is known
		if once || c.streams >= c.room {
			c.room = c.connection.capacity()
		}
		room := c.room
		if c.dead || room == 0 {
			h.h2 = slices.Delete(h.h2, i, i+1)
			i--
			c.dead = true
			if c.streams == 0 && !c.gone {
				c.gone = true
				*stale = append(*stale, c)
			}
			continue
		}
		if !once {
			room++
		}
		if c.streams < room && !(fresh && c.uses > 0) {
			c.streams++
			return c
		}
	}
	for !fresh && len(h.idle) > 0 {
		c := h.idle[len(h.idle)-1]
		h.idle = h.idle[:len(h.idle)-1]
		if c.dead || c.connection.capacity() == 0 {
			h.open--
			*stale = append(*stale, c)
			continue
		}
		c.streams = 1
		return c
	}
	return nil
}

// leave takes w out of the queue because its context ended. What it was given
// in that very moment goes back, and a dial that nobody else needs ends.
func (t *Transport) leave(h *host, w *waiter) {
	t.mu.Lock()
	if !w.done {
		w.done = true
		q := h.waiting[w.priority]
		h.waiting[w.priority] = slices.DeleteFunc(q, func(o *waiter) bool { return o == w })
		if w.dial != nil && (len(h.dialing) > h.waiters() || w.dial.asked > 0) {
			w.dial.lost = true
			w.dial.cancel()
		}
		t.startDials(h) // whoever waits takes the dial over, and hears of it
		t.forget(h)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	for {
		switch m := <-w.ch; m.kind {
		case ready:
			t.put(m.conn, true)
			return
		case failed:
			return
		case asking: // by a dial that is not needed any more
			close(m.seen)
		}
	}
}

func (h *host) waiters() int {
	n := 0
	for _, q := range h.waiting {
		n += len(q)
	}
	return n
}

// startDials opens as many connections as waiting exchanges may have; the
// caller holds the lock. While it is not known whether the server speaks
// HTTP/2, one at a time: with HTTP/2 the first is enough for all.
func (t *Transport) startDials(h *host) {
	limit := t.cfg.ConnsPerHost - h.open
	if h.speaks != one {
		limit = 1
		if slices.ContainsFunc(h.h2, func(c *conn) bool { return !c.dead && c.connection.capacity() > 0 }) {
			limit = 0 // streams are limited by the peer: wait for one to end
			for _, q := range h.waiting {
				if slices.ContainsFunc(q, func(w *waiter) bool { return w.fresh || w.once }) {
					limit = 1
				}
			}
		}
	}
	for p := range h.waiting {
		for _, w := range h.waiting[p] {
			if w.dial != nil || h.adopt(w) {
				continue
			}
			if h.opening() >= limit {
				return
			}
			ctx, cancel := context.WithCancel(t.ctx)
			d := &dialing{host: h, cancel: cancel, owner: w}
			w.dial = d
			h.dialing = append(h.dialing, d)
			t.dials.Add(1)
			go t.dial(ctx, h, d)
		}
	}
}

// opening counts the dials that anybody may get. One that waits for an answer keeps
// nobody else waiting.
func (h *host) opening() int {
	n := 0
	for _, d := range h.dialing {
		if d.asked == 0 {
			n++
		}
	}
	return n
}

// adopt makes w the owner of a dial whose owner went another way, unless that has been
// asked something: what it answered is not w's.
func (h *host) adopt(w *waiter) bool {
	for _, d := range h.dialing {
		if d.owner.done && !d.lost && d.asked == 0 {
			d.owner, w.dial = w, d
			return true
		}
	}
	return false
}

// tell passes news of a dial on, while its owner still waits.
func (t *Transport) tell(d *dialing, m msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !d.owner.done {
		d.owner.ch <- m
	}
}

// dial opens one connection and gives it to the first that waits.
func (t *Transport) dial(ctx context.Context, h *host, d *dialing) {
	defer t.dials.Done()
	defer d.cancel()
	c, err := t.connect(ctx, h, d)
	t.mu.Lock()
	h.dialing = slices.DeleteFunc(h.dialing, func(o *dialing) bool { return o == d })
	if err == nil {
		d.owner.dial = nil
		t.live.Add(1)
		if t.closed {
			t.mu.Unlock()
			c.close()
			return
		}
		if c.host != h {
			t.handTo(c, d.asker, h)
			return
		}
		if c.http2 {
			h.speaks = two
			h.h2 = append(h.h2, c)
		} else {
			h.speaks = one
			h.open++
			h.idle = append(h.idle, c)
		}
		c.idle = time.Now()
		h.handOver(c)
		stale := t.serve(h)
		t.startDials(h)
		t.scheduleSweep()
		t.mu.Unlock()
		closeAll(stale)
		return
	}
	if d.lost && !t.closed {
		// whoever came after its owner left has not failed
		t.startDials(h)
		t.forget(h)
		t.mu.Unlock()
		return
	}
	t.fail(h, d, err)
	t.mu.Unlock()
}

// handTo gives a connection to the one that has accepted what others would not: it
// belongs to another host than from was. The caller holds the lock, which it gives up.
func (t *Transport) handTo(c *conn, w *waiter, from *host) {
	h := c.host
	if c.http2 {
		h.h2 = append(h.h2, c)
	} else {
		h.open++
	}
	c.streams, c.expiry = 1, -1 // nobody else can use it
	left := w.done
	if !left {
		q := from.waiting[w.priority]
		from.waiting[w.priority] = slices.DeleteFunc(q, func(o *waiter) bool { return o == w })
		w.finish(msg{kind: ready, conn: c})
	}
	t.startDials(from)
	t.forget(from)
	t.mu.Unlock()
	if left {
		t.put(c, false)
	}
}

// handOver gives a connection that was just dialled to whoever comes first, even
// if its server has ended it already: the exchange then fails with that, where
// dialling again would go on for ever.
func (h *host) handOver(c *conn) {
	for p := range h.waiting {
		if len(h.waiting[p]) == 0 {
			continue
		}
		w := h.waiting[p][0]
		h.waiting[p] = slices.Delete(h.waiting[p], 0, 1)
		c.streams = 1
		if !c.http2 {
			h.idle = h.idle[:len(h.idle)-1]
		}
		w.finish(msg{kind: ready, conn: c})
		return
	}
}

// fail ends the exchanges that a failed dial ends (rule E9): its owner, and when
// the host has no connection at all everyone who has no dial of his own. What an owner
// was asked about is his matter alone.
func (t *Transport) fail(h *host, d *dialing, err error) {
	all := h.open == 0 && len(h.h2) == 0 && d.asked == 0
	for p, q := range h.waiting {
		h.waiting[p] = slices.DeleteFunc(q, func(w *waiter) bool {
			if w == d.owner || all && w.dial == nil {
				w.finish(msg{kind: failed, err: err})
				return true
			}
			return false
		})
	}
	t.startDials(h)
	t.forget(h)
}

func (t *Transport) connect(ctx context.Context, h *host, d *dialing) (*conn, error) {
	var raw net.Conn
	var err error
	begun := func() { t.tell(d, msg{kind: connecting}) }
	switch {
	case h.key.Scheme == Local:
		raw, err = t.cfg.Dialer.Unix(ctx, h.key.Addr, begun)
	case h.key.Route != nil:
		raw, err = t.cfg.Dialer.Through(ctx, h.key.Route, h.key.Addr, begun)
	default:
		raw, err = t.cfg.Dialer.TCP(ctx, h.key.Addr, begun)
	}
	if err != nil {
		return nil, DialError(err)
	}
	c := &conn{t: t, host: h, nc: raw}
	shake := &handshake{}
	secure := func(nc net.Conn) (net.Conn, *tls.ConnectionState, error) {
		shake = t.newHandshake(h.key, d)
		return shake.run(ctx, nc)
	}
	s, state, err := t.newStdConn(h.key, raw, secure, func() { t.ended(c) })
	if err != nil {
		raw.Close()
		if errors.Is(err, errStale) && !d.again {
			d.again = true
			return t.connect(ctx, h, d)
		}
		var we *Error
		if errors.As(err, &we) {
			return nil, err
		}
		return nil, DialError(err)
	}
	t.mu.Lock()
	c.connection, c.http2, c.tls, c.accepted, c.waited = s, s.http2, state, shake.accepted, d.asked > 0
	if shake.became != nil {
		key := h.key
		key.Profile = shake.became
		c.host = t.hostOf(key)
	}
	t.mu.Unlock()
	if state != nil {
		t.tell(d, msg{kind: encrypted, tls: state, accepted: shake.accepted})
	}
	return c, nil
}

// serve gives connections that are free to those who wait, best priority
// first; the caller holds the lock and closes what is returned.
func (t *Transport) serve(h *host) (stale []*conn) {
	for p := range h.waiting {
		for i := 0; i < len(h.waiting[p]); {
			w := h.waiting[p][i]
			c := h.pick(w.fresh, w.once, &stale)
			if c == nil && w.fresh {
				c = h.unused()
			}
			if c == nil {
				if w.fresh || w.once {
					i++ // the next may be content with a used one
					continue
				}
				return stale
			}
			h.waiting[p] = slices.Delete(h.waiting[p], i, i+1)
			w.finish(msg{kind: ready, conn: c})
		}
	}
	return stale
}

// unused takes an HTTP/1 connection that was dialled and never used.
func (h *host) unused() *conn {
	for i, c := range h.idle {
		if c.uses == 0 && !c.dead {
			h.idle = slices.Delete(h.idle, i, i+1)
			c.streams = 1
			return c
		}
	}
	return nil
}

// shared tells whether c carries more than one exchange.
func (t *Transport) shared(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.streams > 1
}

// uses is how many exchanges c has carried.
func (t *Transport) uses(c *conn) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.uses
}

// retire takes c out of use: what it carries goes on, nothing is added.
func (t *Transport) retire(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.dead = true
	c.host.h2 = slices.DeleteFunc(c.host.h2, func(o *conn) bool { return o == c })
}

// put ends an exchange on c. ok says that it may go on; whether it can, the
// connection knows.
func (t *Transport) put(c *conn, ok bool) {
	var stale []*conn
	c.parted()
	t.mu.Lock()
	h := c.host
	c.streams--
	usable := ok && !c.dead && !t.closed
	if c.http2 {
		// A failed stream leaves the connection alone.
		if !ok {
			c.room = 0
		}
		if t.closed || !ok && c.connection.capacity() == 0 {
			c.dead = true
			h.h2 = slices.DeleteFunc(h.h2, func(o *conn) bool { return o == c })
		}
		if c.streams == 0 {
			c.idle = time.Now()
			if (c.dead || c.expiry < 0) && !c.gone {
				c.gone = true
				h.h2 = slices.DeleteFunc(h.h2, func(o *conn) bool { return o == c })
				stale = append(stale, c)
			}
		}
	} else if usable && c.connection.capacity() > 0 && (c.expiry >= 0 || h.waiters() > 0) {
		c.idle = time.Now()
		h.idle = append(h.idle, c)
	} else {
		h.open--
		stale = append(stale, c)
	}
	if h.waiters() > 0 {
		stale = append(stale, t.serve(h)...)
		t.startDials(h)
	}
	t.scheduleSweep()
	t.forget(h)
	t.mu.Unlock()
	closeAll(stale)
}

// ended is called when reading from c has ended for good: an idle connection
// that its server closed leaves the pool at once.
func (t *Transport) ended(c *conn) {
	t.mu.Lock()
	c.dead = true
	if c.connection == nil {
		t.mu.Unlock()
		return
	}
	h := c.host
	var stale []*conn
	if i := slices.Index(h.idle, c); i >= 0 {
		h.idle = slices.Delete(h.idle, i, i+1)
		h.open--
		stale = append(stale, c)
	}
	if i := slices.Index(h.h2, c); i >= 0 {
		h.h2 = slices.Delete(h.h2, i, i+1)
		if c.streams == 0 && !c.gone {
			c.gone = true
			stale = append(stale, c)
		}
	}
	if h.waiters() > 0 {
		t.startDials(h)
	}
	t.forget(h)
	t.mu.Unlock()
	if len(stale) > 0 {
		// net/http is reading: closing waits for nobody, but must not run inside Read
		go closeAll(stale)
	}
}

// takeIdle takes the connections that carry nothing out of the books.
func (h *host) takeIdle() []*conn {
	list := h.idle
	h.open -= len(h.idle)
	h.idle = nil
	h.h2 = slices.DeleteFunc(h.h2, func(c *conn) bool {
		if c.streams > 0 {
			return false
		}
		c.gone = true
		list = append(list, c)
		return true
	})
	return list
}

// forget drops a host that holds nothing.
func (t *Transport) forget(h *host) {
	if h.open == 0 && len(h.h2) == 0 && len(h.dialing) == 0 && h.waiters() == 0 && t.hosts[h.key] == h {
		delete(t.hosts, h.key)
	}
}

// sweepEvery bounds how long a connection may outlive its idle time.
const sweepEvery = 5 * time.Second

// scheduleSweep keeps the one timer of the pool running while anything is
// there to expire; the caller holds the lock.
func (t *Transport) scheduleSweep() {
	if t.closed || t.sweep != nil || len(t.hosts) == 0 {
		return
	}
	t.sweep = time.AfterFunc(min(sweepEvery, max(t.cfg.IdleTimeout/4, time.Millisecond)), t.runSweep)
}

func (t *Transport) runSweep() {
	now := time.Now()
	var stale []*conn
	t.mu.Lock()
	t.sweep = nil
	old := func(c *conn) bool {
		limit := t.cfg.IdleTimeout
		if c.expiry > 0 {
			limit = c.expiry
		}
		return c.streams == 0 && (c.dead || now.Sub(c.idle) >= limit)
	}
	for _, h := range t.hosts {
		n := len(h.idle)
		for _, list := range []*[]*conn{&h.idle, &h.h2} {
			*list = slices.DeleteFunc(*list, func(c *conn) bool {
				if !old(c) {
					return false
				}
				c.gone = true
				stale = append(stale, c)
				return true
			})
		}
		h.open -= n - len(h.idle)
		t.forget(h)
	}
	t.scheduleSweep()
	t.mu.Unlock()
	closeAll(stale)
}
