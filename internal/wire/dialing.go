package wire

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/netreply/netreply/internal/dial"
)

// dialing is a connection that is being opened. Its goroutine ends within the Dialer's time
// limits.
type dialing struct {
	host   *host
	ctx    context.Context
	cancel context.CancelFunc

	// guarded by Transport.mu
	orphanLinks links[dialing] // in host.orphans
	owner       *waiter        // the waiter that it reports to; nil after its end
	audience    audience
}

// audience says which waiters may get the connection.
type audience int

const (
	anyWaiter audience = iota
	ownerOnly          // its owner was asked a question
	discarded
)

// restrict reduces the audience.
func (d *dialing) restrict(to audience) {
	if d.audience == anyWaiter {
		d.host.shared--
		d.host.orphans.remove(d)
	}
	d.audience = to
}

// giveUp cancels a dial that is not needed.
func (d *dialing) giveUp() {
	d.restrict(discarded)
	p := d.host.pool
	p.todo.cancel = append(p.todo.cancel, d)
}

// startDials starts dials for waiters, up to the limit of connections. While it is unknown
// whether the server supports HTTP/2, only one at a time: an HTTP/2 connection is enough
// for all.
func (h *host) startDials() {
	p := h.pool
	limit, freshOnly := p.connsPerHost-h.open, false
	if h.protocol != protoH1 {
		// with an HTTP/2 connection the peer limits the streams: wait for one to end
		limit, freshOnly = 1, h.h2Open > 0
	}
	for {
		w := h.nextUndialled(freshOnly)
		if w == nil {
			return
		}
		d := h.orphans.popFront() // a running dial without an owner: w is its owner from now on
		if d == nil && h.shared >= limit {
			c := h.idle.first
			if !w.x.Fresh || c == nil || h.shared > limit {
				return
			}
			p.discard(c) // make room for an unused connection
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

// dialled sets the dial that opens a connection for w.
func (w *waiter) dialled(d *dialing) {
	w.host.undialled[w.x.Priority].of(w.x.Fresh).remove(w)
	w.news = news{} // drop news of an earlier dial
	if w.dial, w.unqueued = d, w.host.emptied; w.host.hasBusyConns() {
		w.unqueued = time.Now()
	}
}

// opened ends a successful dial. accepted, if not nil, is the profile with which its owner
// has accepted the certificate.
func (d *dialing) opened(c *conn, accepted *Profile, now time.Time) {
	h, p, audience := d.host, d.host.pool, d.audience
	owner := d.end()
	c.host, c.delayed = h, audience == ownerOnly
	if accepted != nil {
		key := h.key
		key.Profile = accepted
		c.host = p.host(key)
	}
	p.add(c)
	switch {
	case audience == discarded || p.closed:
		p.discard(c)
		c.host.dropIfEmpty()
	case c.host != h:
		h.deliverToAsker(owner, c)
	default:
		h.undial(owner)
		h.placeNew(c, now)
	}
	h.startDials()
	h.dropIfEmpty()
}

// failed ends a failed dial, and fails the exchanges that depend on it (rule E9): its
// owner, and, if the host has no connection at all, all waiters without a dial of their
// own. A failure after a question concerns only the owner.
func (d *dialing) failed(err error) {
	h, audience := d.host, d.audience
	owner := d.end()
	if audience != discarded && !h.pool.closed { // otherwise the failure does not concern the waiters
		if w := owner; !w.done {
			w.dial = nil
			w.finish(news{err: err})
		}
		if audience == anyWaiter && h.open == 0 && h.h2Open == 0 {
			h.failUndialled(err)
		}
	}
	h.startDials()
	h.dropIfEmpty()
}

// end ends a dial, and returns its owner. The connection may keep the dialing in memory, in
// functions of its tls.Config, but not the exchange of the owner.
func (d *dialing) end() (owner *waiter) {
	d.restrict(discarded)
	d.host.dials--
	d.host.pool.dials--
	owner, d.owner = d.owner, nil
	return owner
}

// undial puts the owner of a finished dial back into the queue for dials, if it is still
// waiting.
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

// dial opens one connection on a goroutine of its own, and assigns it to the first waiter.
func (t *Transport) dial(d *dialing) {
	if key := d.host.key; key.Scheme != Local && key.Route == nil {
		t.cfg.Dialer.GoTCP(d.ctx, key.Addr, t.connecting(d), func(raw net.Conn, err error) { t.finishDial(d, raw, err) })
		return
	}
	go func() {
		raw, err := t.dialRaw(d)
		t.finishDial(d, raw, err)
	}()
}

// finishDial continues with a connection below TLS, or the error of dialRaw.
func (t *Transport) finishDial(d *dialing, raw net.Conn, err error) {
	defer d.cancel()
	var c *conn
	var accepted *Profile
	if err == nil {
		c, accepted, err = t.connect(d, raw, false)
	} else {
		err = DialError(err)
	}
	now := time.Now()
	t.mu.Lock()
	if err != nil {
		d.failed(err)
	} else {
		d.opened(c, accepted, now)
	}
	t.unlock()
}

// report changes the news of a dial's owner, if that is still waiting.
func (t *Transport) report(d *dialing, f func(*news)) {
	t.mu.Lock()
	if w := d.owner; w != nil && !w.done {
		f(&w.news)
		w.notify()
	}
	t.mu.Unlock()
}

// connect makes the connection over raw. With again it does not resume a TLS session.
func (t *Transport) connect(d *dialing, raw net.Conn, again bool) (_ *conn, accepted *Profile, err error) {
	key := d.host.key
	c := &conn{nc: raw, stream: raw, addrs: &Addrs{raw.LocalAddr(), raw.RemoteAddr()}}
	if t.cfg.HTTP1.Own() || key.Scheme == "https" {
		c.socket = newSocket(raw)
	}
	if key.Scheme == "https" {
		s := t.newHandshake(d, again)
		s.socket = c.socket
		if c.stream, c.tls, err = s.run(d.ctx, raw); err != nil {
			dial.GiveUp(raw)
			if errors.Is(err, errStale) && !again {
				if raw, err = t.dialRaw(d); err != nil {
					return nil, nil, DialError(err)
				}
				return t.connect(d, raw, true)
			}
			return nil, nil, DialError(err)
		}
		c.accepted, accepted = s.accepted, s.acceptedProfile
		if key.Profile.Handshake != nil {
			c.socket = nil // its TLS may not continue after a Read that does not wait
		}
	}
	if err := t.startHTTP(key, c); err != nil {
		dial.GiveUp(raw)
		return nil, nil, err
	}
	if c.tls != nil {
		t.report(d, func(n *news) { n.encrypted, n.accepted = c.tls, c.accepted })
	}
	return c, accepted, nil
}

// connecting is called when a dial begins to connect.
func (t *Transport) connecting(d *dialing) func() {
	return func() { t.report(d, func(n *news) { n.connecting = true }) }
}

// dialRaw opens the connection below TLS: to the target, through a proxy, or to a local
// socket.
func (t *Transport) dialRaw(d *dialing) (net.Conn, error) {
	begun := t.connecting(d)
	dialer, key := t.cfg.Dialer, d.host.key
	switch {
	case key.Scheme == Local:
		return dialer.Unix(d.ctx, key.Addr, begun)
	case key.Route != nil:
		return dialer.Through(d.ctx, key.Route, key.Addr, begun)
	}
	return dialer.TCP(d.ctx, key.Addr, begun)
}
