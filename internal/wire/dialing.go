package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/netreply/netreply/internal/dial"
)

// dialing is one connection being opened; its goroutine ends by itself, within
// the Dialer's limits.
type dialing struct {
	host   *host
	cancel context.CancelFunc
	again  bool // after a session that was stale

	// guarded by Transport.mu
	place links[dialing] // among the orphans
	owner *waiter        // the exchange it was started for, told of its progress
	lost  bool           // cancelled
	asked int            // questions: a dial with any is for nobody else
	asker *waiter        // whom the last one went to
}

// startDials opens as many connections as waiting exchanges may have; the
// caller holds the lock and closes what is returned. While it is not known whether the
// server speaks HTTP/2, one at a time: with HTTP/2 the first is enough for all.
func (t *Transport) startDials(h *host) (old []*conn) {
	limit, freshOnly := t.cfg.ConnsPerHost-h.open, false
	if h.protocol != protoH1 {
		// with a connection there, streams are limited by the peer: wait for one to end
		limit, freshOnly = 1, h.h2Open > 0
	}
	for {
		w := h.nextUndialled(freshOnly)
		if w == nil {
			return old
		}
		d := h.orphans.popFront() // what it has told went to another; the rest is for w
		if d == nil && h.opening >= limit {
			c := h.idle.first
			if !w.x.Fresh || c == nil || h.opening > limit {
				return old
			}
			t.remove(c) // to make room for one that nothing was sent on
			old = append(old, c)
			limit++
		}
		h.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
		if d != nil {
			d.owner = w
			w.dialled(d)
			continue
		}
		ctx, cancel := context.WithCancel(t.ctx)
		d = &dialing{host: h, cancel: cancel, owner: w}
		w.dialled(d)
		h.dials++
		h.opening++
		t.dialing++
		go t.dial(ctx, h, d)
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

// lose gives a dial up that nobody needs. The caller holds the lock, and cancels it
// afterwards.
func (h *host) lose(d *dialing) {
	if d.asked == 0 {
		h.opening--
	}
	d.lost = true
	h.orphans.remove(d)
}

// tell passes news of a dial on, while its owner still waits. Dial after dial may go to
// others while an observer of the owner's takes its time: what it has not looked at then is
// not news any more, and there must be room for questions and for the outcome.
func (t *Transport) tell(d *dialing, m msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := d.owner; !w.done && len(w.ch) < maxNews {
		w.ch <- m
	}
}

// dial opens one connection and gives it to the first that waits.
func (t *Transport) dial(ctx context.Context, h *host, d *dialing) {
	defer d.cancel()
	c, err := t.connect(ctx, h, d)
	var old []*conn
	t.mu.Lock()
	h.dials--
	t.dialing--
	if !d.lost && d.asked == 0 {
		h.opening--
	}
	h.orphans.remove(d)
	if c != nil {
		t.add(c)
	}
	switch {
	case c != nil && (t.closed || d.lost):
		t.remove(c)
		old = append(old, c)
	case c != nil && c.host != h:
		old = t.deliverToAsker(c, d.asker, h)
	case c != nil:
		h.undial(d)
		old = t.introduce(c)
	case d.lost || t.closed: // whoever came after its owner left has not failed
	default:
		h.fail(d, err)
	}
	old = append(old, t.startDials(h)...)
	t.forget(h)
	t.quiet()
	t.mu.Unlock()
	t.shut(old...)
}

// undial lets the owner of a dial that is over have another one, if it still waits.
func (h *host) undial(d *dialing) {
	if w := d.owner; !w.done {
		w.dial = nil
		h.undialled[w.x.Priority].of(w.x.Fresh).pushFront(w)
	}
}

// introduce brings a new connection into its host; the caller holds the lock.
func (t *Transport) introduce(c *conn) (old []*conn) {
	h := c.host
	if h.protocol = protoH1; c.http2 {
		h.protocol = protoH2
	}
	c.carry(1)
	taken := h.handOver(c)
	if !taken {
		c.carry(-1)
	}
	switch n, open := c.room(); {
	case c.http2 && open && !c.dead && c.streams < n:
		h.h2.pushBack(c)
		h.serve()
	case taken:
		return nil
	case c.http2 && open && !c.dead: // room for nothing yet
	case c.dead || c.http2:
		t.remove(c)
		return []*conn{c}
	default:
		h.rest(c)
	}
	if c.streams == 0 {
		t.keep(c, time.Now())
	}
	return nil
}

// deliverToAsker gives a connection to the exchange that has accepted what others would not:
// it belongs to another host than from was. The caller holds the lock.
func (t *Transport) deliverToAsker(c *conn, w *waiter, from *host) (old []*conn) {
	if w.done {
		t.remove(c)
		t.forget(c.host)
		return []*conn{c}
	}
	c.carry(1)
	from.give(w, c)
	c.expiry = -1 // nobody else can use it
	return nil
}

// fail ends the exchanges that a failed dial ends (rule E9): its owner, and when
// the host has no connection at all everyone who has no dial of its own. What an owner
// was asked about concerns it alone. The caller holds the lock.
func (h *host) fail(d *dialing, err error) {
	if !d.owner.done {
		d.owner.dial = nil
		h.finish(d.owner, msg{kind: failed, err: err})
	}
	if h.open > 0 || h.h2Open > 0 || d.asked > 0 {
		return
	}
	for p := range h.undialled {
		for _, fresh := range [...]bool{false, true} {
			for q := h.undialled[p].of(fresh); q.first != nil; {
				h.finish(q.first, msg{kind: failed, err: err})
			}
		}
	}
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
	c := &conn{t: t, host: h, nc: raw, local: raw.LocalAddr(), remote: raw.RemoteAddr()}
	shake := &handshake{}
	secure := func(nc net.Conn) (net.Conn, *tls.ConnectionState, error) {
		shake = t.newHandshake(h.key, d)
		return shake.run(ctx, nc)
	}
	s, state, err := t.newConnection(h.key, raw, secure, c)
	if err != nil {
		dial.GiveUp(raw)
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
	_, c.http2 = s.(*h2Conn)
	c.connection, c.tls, c.accepted = s, state, shake.accepted
	t.mu.Lock()
	c.waited = d.asked > 0
	t.mu.Unlock()
	if shake.became != nil {
		key := h.key
		key.Profile = shake.became
		t.mu.Lock()
		c.host = t.hostOf(key)
		t.mu.Unlock()
	}
	if state != nil {
		t.tell(d, msg{kind: encrypted, tls: state, accepted: shake.accepted})
	}
	return c, nil
}
