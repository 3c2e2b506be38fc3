package wire

import (
	"context"
	"time"
)

// pool is the state of a Transport: the connections and their exchanges, the waiters, and
// the dials. Its methods only decide. Actions, such as starting a dial or closing a
// connection, are added to todo and carried out after the lock was released, see
// Transport.unlock.
//
// Transport.mu guards the pool, its hosts, waiters and dials, and the fields of conn that
// say so. The caller of all methods holds the lock.
type pool struct {
	ctx          context.Context // context of all dials
	connsPerHost int
	hosts        map[Key]*host
	all          allConns // connections whose close has not finished
	expiry       expiry
	dials        int // running
	live         int // open connections
	closed       bool
	overSignaled bool // Transport.over was closed
	todo         todo
}

// host is the part of the pool for one key.
type host struct {
	pool *pool
	key  Key
	// idle HTTP/1 connections, the most recently used last, and unused ones, on which
	// nothing was sent yet
	idle, unused conns
	h2           conns // HTTP/2 connections with room for another exchange
	open         int   // number of HTTP/1 connections
	h2Open       int   // number of HTTP/2 connections that accept exchanges, including full ones
	h2Ending     int   // number of HTTP/2 connections that accept no more exchanges, and still carry some
	carried      int   // number of exchanges on connections
	protocol     protocol

	waiting [priorities]lanes
	waiters int
	arrived uint64 // number of the next waiter
	// undialled are the waiters for which no dial is running.
	undialled [priorities]dialLanes

	dials   int   // running
	shared  int   // number of dials for any waiter
	orphans dials // dials for any waiter whose owner does not wait any more

	emptied time.Time // when hasBusyConns last became false while there were waiters
}

// protocol is the protocol that a server has selected.
type protocol int

const (
	protoUnknown protocol = iota
	protoH1
	protoH2
)

// lanes are the waiters of one priority: those that accept any connection, and those with
// Exchange.Fresh.
type lanes struct{ any, fresh waiters }

type dialLanes struct{ any, fresh undialled }

// Instances of queue. An element has links for each kind of queue.
type (
	conns     = queue[conn, connQueue]
	allConns  = queue[conn, connList]
	waiters   = queue[waiter, waiterQueue]
	undialled = queue[waiter, undialledQueue]
	dials     = queue[dialing, dialQueue]

	connQueue      struct{}
	connList       struct{}
	waiterQueue    struct{}
	undialledQueue struct{}
	dialQueue      struct{}
)

func (connQueue) of(c *conn) *links[conn]          { return &c.queueLinks }
func (connList) of(c *conn) *links[conn]           { return &c.allLinks }
func (waiterQueue) of(w *waiter) *links[waiter]    { return &w.queueLinks }
func (undialledQueue) of(w *waiter) *links[waiter] { return &w.undialledLinks }
func (dialQueue) of(d *dialing) *links[dialing]    { return &d.orphanLinks }
func (l *lanes) of(fresh bool) *waiters            { return pick(fresh, &l.fresh, &l.any) }
func (l *dialLanes) of(fresh bool) *undialled      { return pick(fresh, &l.fresh, &l.any) }
func pick[T any](second bool, yes, no *T) *T {
	if second {
		return yes
	}
	return no
}

// host returns the host of a key, and makes it if necessary.
func (p *pool) host(key Key) *host {
	h := p.hosts[key]
	if h == nil {
		h = &host{pool: p, key: key}
		switch {
		case key.Scheme != "https" && key.Protocol == HTTP2:
			h.protocol = protoH2
		case key.Scheme != "https" || key.Protocol == HTTP1:
			h.protocol = protoH1
		}
		p.hosts[key] = h
	}
	return h
}

// dropIfEmpty removes an empty host.
func (h *host) dropIfEmpty() {
	if h.open == 0 && h.h2Open == 0 && h.h2Ending == 0 && h.dials == 0 && h.waiters == 0 && h.pool.hosts[h.key] == h {
		delete(h.pool.hosts, h.key)
	}
}

// add adds a connection to its host.
func (p *pool) add(c *conn) {
	switch h := c.host; {
	case !c.http2:
		h.open++
	case c.excluded:
		h.h2Ending++
	default:
		h.h2Open++
	}
	p.all.pushBack(c)
	p.live++
}

// exclude keeps new exchanges off a connection. It does not count against the limit any
// more, however long its exchanges take to end.
func (p *pool) exclude(c *conn) {
	if c.excluded {
		return
	}
	c.excluded = true
	if h := c.host; c.http2 && c.allLinks.in {
		h.h2.remove(c)
		h.h2Open--
		h.h2Ending++
	}
}

// remove removes a connection from its host, even if it is in use, and reports whether it
// was there. The caller must close it.
func (p *pool) remove(c *conn) bool {
	if c.removed {
		return false
	}
	p.exclude(c)
	c.removed = true
	h := c.host
	switch {
	case c.http2:
		h.h2Ending--
	default:
		h.parked(c).remove(c)
		h.open--
	}
	h.noteEmptied()
	p.expiry.remove(c)
	p.live--
	return true
}

// discard removes a connection from its host and closes it gracefully.
func (p *pool) discard(c *conn) {
	if p.remove(c) {
		p.todo.close = append(p.todo.close, c)
	}
}

// discardIdle discards the selected idle connections, and starts dials for waiters that
// were blocked by them. One that is being probed is discarded after that.
func (p *pool) discardIdle(which func(*conn) bool) {
	for c := p.all.first; c != nil; c = c.allLinks.next {
		switch {
		case c.removed || c.streams > 0 && !c.probing || !which(c):
		case c.probing:
			p.exclude(c)
		default:
			p.discard(c)
			c.host.startDials()
			c.host.dropIfEmpty()
		}
	}
}

// close fails all waiters and closes all connections, those in use at once.
func (p *pool) close() {
	p.closed = true
	for _, h := range p.hosts {
		h.failAll(ErrClosed)
	}
	for c := p.all.first; c != nil; c = c.allLinks.next {
		switch {
		case c.upgraded:
			c.upgraded = false
			p.todo.cut = append(p.todo.cut, c)
		case c.streams == 0:
			p.discard(c)
		case p.remove(c):
			p.todo.cut = append(p.todo.cut, c)
		}
	}
}

// over reports, after close, that all connections and dials have ended.
func (p *pool) over() bool { return p.closed && p.dials == 0 && p.all.n == 0 }
