package wire

import (
	"context"
	"time"
)

// pool is the books of a Transport: which connections there are and what they carry, who
// waits for one, and which are being opened. It only decides. What has to be done about it,
// starting a dial or closing a connection, is put into todo and happens when the lock has been
// given up, see Transport.unlock.
//
// Transport.mu guards it and everything that belongs to it: hosts, waiters, dials, and the
// fields of connections that say so. All methods are called with the lock held.
type pool struct {
	ctx          context.Context // of all dials
	connsPerHost int
	hosts        map[Key]*host
	all          allConns // those that have not been closed to the end
	expiry       expiry
	dials        int // under way
	live         int // open connections
	closed       bool
	toldOver     bool // what over tells has been acted on
	todo         todo
}

// host is what belongs to one key.
type host struct {
	pool *pool
	key  Key
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
	shared  int   // those of them whose connection is for whoever waits
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

// host finds what belongs to a key, and makes it if need be.
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

// forget drops a host that holds nothing.
func (h *host) forget() {
	if h.open == 0 && h.h2Open == 0 && h.h2Ending == 0 && h.dials == 0 && h.waiters == 0 && h.pool.hosts[h.key] == h {
		delete(h.pool.hosts, h.key)
	}
}

// add enters a connection into the books of its host.
func (p *pool) add(c *conn) {
	switch h := c.host; {
	case !c.http2:
		h.open++
	case c.dead:
		h.h2Ending++
	default:
		h.h2Open++
	}
	p.all.pushBack(c)
	p.live++
}

// exclude keeps new exchanges off a connection: they have another one opened, however long
// this one takes to end.
func (p *pool) exclude(c *conn) {
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

// remove takes a connection out of the books of its host, whatever it carries, and says
// whether it was in. The caller sees to its being closed.
func (p *pool) remove(c *conn) bool {
	if c.gone {
		return false
	}
	p.exclude(c)
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
	h.noteEmptied()
	p.expiry.forget(c)
	p.live--
	return true
}

// discard takes a connection out of the books and has it closed in good order.
func (p *pool) discard(c *conn) {
	if p.remove(c) {
		p.todo.close = append(p.todo.close, c)
	}
}

// discardIdle discards those connections that carry nothing, and lets others be opened for
// those whom they had no room for.
func (p *pool) discardIdle(which func(*conn) bool) {
	for c := p.all.first; c != nil; c = c.listed.next {
		if c.streams == 0 && !c.gone && which(c) {
			p.discard(c)
			c.host.startDials()
			c.host.forget()
		}
	}
}

// close ends it all: those who wait, and the connections, of which those that carry something
// are cut.
func (p *pool) close() {
	p.closed = true
	for _, h := range p.hosts {
		h.failAll(ErrClosed)
	}
	for c := p.all.first; c != nil; c = c.listed.next {
		switch {
		case c.streams == 0:
			p.discard(c)
		case p.remove(c):
			p.todo.cut = append(p.todo.cut, c)
		}
	}
}

// over tells, after close, that the last connection and the last dial have ended.
func (p *pool) over() bool { return p.closed && p.dials == 0 && p.all.n == 0 }
