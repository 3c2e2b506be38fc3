package wire

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/netreply/netreply/internal/dial"
)

// dialing is one connection being opened; its goroutine ends by itself, within
// the Dialer's limits.
type dialing struct {
	host   *host
	ctx    context.Context
	cancel context.CancelFunc

	// guarded by Transport.mu
	place    links[dialing] // among the orphans
	owner    *waiter        // the exchange it is for, told of its progress
	audience audience
}

// audience is who may have the connection that is being opened.
type audience int

const (
	anyone    audience = iota
	ownerOnly          // it was asked about this connection
	nobody
)

// restrict says that the connection is for fewer than anyone.
func (d *dialing) restrict(to audience) {
	if d.audience == anyone {
		d.host.shared--
		d.host.orphans.remove(d)
	}
	d.audience = to
}

// giveUp has a dial cancelled that nobody needs.
func (d *dialing) giveUp() {
	d.restrict(nobody)
	p := d.host.pool
	p.todo.cancel = append(p.todo.cancel, d)
}

// startDials has as many connections opened as waiting exchanges may have. While it is not
// known whether the server speaks HTTP/2, one at a time: with HTTP/2 the first is enough for
// all.
func (h *host) startDials() {
	p := h.pool
	limit, freshOnly := p.connsPerHost-h.open, false
	if h.protocol != protoH1 {
		// with a connection there, streams are limited by the peer: wait for one to end
		limit, freshOnly = 1, h.h2Open > 0
	}
	for {
		w := h.nextUndialled(freshOnly)
		if w == nil {
			return
		}
		d := h.orphans.popFront() // what it has told went to another; the rest is for w
		if d == nil && h.shared >= limit {
			c := h.idle.first
			if !w.x.Fresh || c == nil || h.shared > limit {
				return
			}
			p.discard(c) // to make room for one that nothing was sent on
			limit++
		}
		if d == nil {
			d = &dialing{host: h}
			d.ctx, d.cancel = context.WithCancel(dial.WithTrace(p.ctx, w.trace))
			h.dials++
			h.shared++
			p.dials++
			p.todo.dial = append(p.todo.dial, d)
		}
		d.owner = w
		w.dialled(d)
	}
}

// dialled notes that a connection is being opened for w.
func (w *waiter) dialled(d *dialing) {
	w.host.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
	w.news = news{} // which was of another dial
	if w.dial, w.unqueued = d, w.host.emptied; w.host.working() {
		w.unqueued = time.Now()
	}
}

// opened ends a dial that has brought a connection. accepted, when not nil, is the profile
// that its owner was asked for.
func (d *dialing) opened(c *conn, accepted *Profile, now time.Time) {
	h, p, audience := d.host, d.host.pool, d.audience
	d.over()
	c.host, c.waited = h, audience == ownerOnly
	if accepted != nil {
		key := h.key
		key.Profile = accepted
		c.host = p.host(key)
	}
	p.add(c)
	switch {
	case audience == nobody || p.closed:
		p.discard(c)
		c.host.forget()
	case c.host != h:
		h.deliverToAsker(d.owner, c)
	default:
		h.undial(d.owner)
		h.introduce(c, now)
	}
	h.startDials()
	h.forget()
}

// failed ends a dial that has brought none, and the exchanges that this ends (rule E9): its
// owner, and when the host has no connection at all everyone who has no dial of its own. What
// an owner was asked about concerns it alone.
func (d *dialing) failed(err error) {
	h, audience := d.host, d.audience
	d.over()
	if audience != nobody && !h.pool.closed { // else whoever came after its owner left has not failed
		if w := d.owner; !w.done {
			w.dial = nil
			w.finish(news{err: err})
		}
		if audience == anyone && h.open == 0 && h.h2Open == 0 {
			h.failUndialled(err)
		}
	}
	h.startDials()
	h.forget()
}

func (d *dialing) over() {
	d.restrict(nobody)
	d.host.dials--
	d.host.pool.dials--
}

// undial lets the owner of a dial that is over have another one, if it still waits.
func (h *host) undial(w *waiter) {
	if !w.done {
		w.dial = nil
		h.undialled[w.x.Priority].of(w.x.Fresh).pushFront(w)
	}
}

func (h *host) failUndialled(err error) {
	for p := range h.undialled {
		for _, fresh := range [...]bool{false, true} {
			for q := h.undialled[p].of(fresh); q.first != nil; {
				q.first.finish(news{err: err})
			}
		}
	}
}

// dial opens one connection and gives it to the first that waits.
func (t *Transport) dial(d *dialing) {
	defer d.cancel()
	c, accepted, err := t.connect(d, false)
	now := time.Now()
	t.mu.Lock()
	if err != nil {
		d.failed(err)
	} else {
		d.opened(c, accepted, now)
	}
	t.unlock()
}

// tell passes news of a dial on to its owner, if that still waits.
func (t *Transport) tell(d *dialing, f func(*news)) {
	t.mu.Lock()
	if w := d.owner; !w.done {
		f(&w.news)
		w.notify()
	}
	t.mu.Unlock()
}

// connect opens the connection. With again it resumes no TLS session.
func (t *Transport) connect(d *dialing, again bool) (_ *conn, accepted *Profile, err error) {
	key := d.host.key
	raw, err := t.reach(d)
	if err != nil {
		return nil, nil, DialError(err)
	}
	c := &conn{nc: raw, stream: raw, local: raw.LocalAddr(), remote: raw.RemoteAddr()}
	if key.Scheme == "https" {
		s := t.newHandshake(d, again)
		if c.stream, c.tls, err = s.run(d.ctx, raw); err != nil {
			dial.GiveUp(raw)
			if errors.Is(err, errStale) && !again {
				return t.connect(d, true)
			}
			return nil, nil, DialError(err)
		}
		c.accepted, accepted = s.accepted, s.acceptedProfile
	}
	if err := t.speak(key, c); err != nil {
		dial.GiveUp(raw)
		return nil, nil, err
	}
	if c.tls != nil {
		t.tell(d, func(n *news) { n.encrypted, n.accepted = c.tls, c.accepted })
	}
	return c, accepted, nil
}

// reach opens what the connection lies on.
func (t *Transport) reach(d *dialing) (net.Conn, error) {
	begun := func() { t.tell(d, func(n *news) { n.connecting = true }) }
	dialer, key := t.cfg.Dialer, d.host.key
	switch {
	case key.Scheme == Local:
		return dialer.Unix(d.ctx, key.Addr, begun)
	case key.Route != nil:
		return dialer.Through(d.ctx, key.Route, key.Addr, begun)
	}
	return dialer.TCP(d.ctx, key.Addr, begun)
}
