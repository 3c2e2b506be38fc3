package flow

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/reqctx"
	"github.com/netreply/netreply/internal/wire"
)

// Requests for the same that come while the first one waits for its response head wait for
// it, too, and share the response if it answers them. They never share a failure: what they
// wait for in vain they fetch themselves.

// flightKey says which requests wait for one another: those for one key and, as far as the
// stored responses tell, with the same response.
type flightKey struct {
	key  string
	vary cacherules.VaryKey
}

// landing is what has become of a request that others wait for.
type landing uint8

const (
	flying  landing = iota
	sharing         // its response can be shared, and each that waited takes part in it
	ashore          // look again in the store, and then fetch
	aborted         // its transfer has ended: another one may take the lead
)

// maxKeys bounds each list of keys that a cache keeps in memory: of those whose responses cannot be
// shared, so that requests for them do not wait, of those that were invalidated, and of those that
// the store owes the removal of.
const maxKeys = 1024

// board makes the request one that others wait for, or returns the one to wait for.
func (h *Hop) board() (wait *fill) {
	c, e := h.cached, h.e.cache
	if !c.request.Shareable() || h.t.NoSaveCache || c.request.User != "" { // with Digest the server may prove itself at the end
		c.fill = nil
		return nil
	}
	k := flightKey{c.key, c.request.KeyLike(c.latest())}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.alone[c.key] {
		c.fill = nil
		return nil
	}
	if f := e.flights[k]; f != nil && f.admit() {
		return f
	}
	f := &fill{c: e, flies: true, flight: k}
	if e.flights == nil {
		e.flights = map[flightKey]*fill{}
	}
	e.flights[k] = f
	c.fill = f
	return nil
}

// latest is one of the stored responses, nil if there are none.
func (c *cached) latest() *cacherules.Stored {
	if len(c.entries) == 0 {
		return nil
	}
	return c.entries[len(c.entries)-1].stored
}

// goAlone lets those who wait for the request fetch for themselves, before a question to the
// program: they have questions of their own, or none.
func (h *Hop) goAlone() {
	if h.cached != nil && h.cached.fill != nil {
		h.cached.fill.land(ashore)
	}
}

// land tells those who wait what has become of the request. Only the first call has an effect.
func (f *fill) land(l landing) {
	if f.flies && f.settle(l) && l != sharing {
		f.unreserve()
	}
}

func (f *fill) settle(l landing) (first bool) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.landed != flying {
		return false
	}
	if l == sharing && !f.embark() {
		l = aborted
	}
	f.landed = l
	if l != sharing {
		f.c.depart(f)
	}
	if f.known != nil {
		close(f.known)
	}
	return true
}

// embark makes those who wait take part; false if it is too late, because the one that leads has ended.
// The caller holds the lock of c.
func (f *fill) embark() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.users += f.waiting
	return true
}

// reserve announces the fill to other processes that have the same store, and reports whether
// it has waited for one of them.
func (f *fill) reserve(t *Transfer) (waited bool) {
	f.unreserve = func() {}
	if s, ok := f.c.store.(httpcache.Reserver); ok {
		var release func()
		t.Clock.Pause()
		release, waited = s.Reserve(t.ctx, f.flight.key)
		t.Clock.Resume()
		f.unreserve = sync.OnceFunc(release)
	}
	return waited
}

// admit counts one more request that waits or takes part; false if it is too late. The caller
// holds the lock of c.
func (f *fill) admit() bool {
	if f.landed == flying {
		f.waiting++
		if f.known == nil {
			f.known = make(chan struct{})
		}
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.err != nil || f.kept < f.written {
		return false
	}
	f.users++
	if f.known == nil {
		f.known = closed
	}
	return true
}

// depart takes a fill off the list of those that can be waited for. The caller holds the lock.
func (c *cache) depart(f *fill) {
	if c.flights[f.flight] == f {
		delete(c.flights, f.flight)
	}
}

// arrived ends the time in which others can take part.
func (f *fill) arrived() {
	if !f.flies {
		return
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.depart(f)
}

// setAlone remembers whether the responses for a key can be shared.
func (c *cache) setAlone(key string, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !alone:
		delete(c.alone, key)
	case c.alone == nil:
		c.alone = map[string]bool{key: true}
	default:
		if len(c.alone) >= maxKeys {
			clear(c.alone)
		}
		c.alone[key] = true
	}
}

// startTime is what times of fill.exchangeBegan are measured from.
var startTime = time.Now()

// await waits for another request. It returns the end of ctx as an error. While the other one waits
// for a free connection clock does not count that as the peer's silence.
func (f *fill) await(ctx context.Context, clock *Clock, pool *wire.Transport) (landing, error) {
	if clock != nil {
		clock.Consult(func() time.Time {
			x := f.exchange.Load()
			if x == nil {
				return time.Now() // it waits for something on this side
			}
			begun := startTime.Add(time.Duration(f.exchangeBegan.Load()))
			if queued := pool.LastQueued(&x.Exchange); queued.After(begun) {
				return queued
			}
			return begun
		}, false)
		defer clock.Consult(nil, false)
	}
	select {
	case <-f.known:
		clock.Touch() // what comes now is another wait
		return f.landed, nil
	case <-ctx.Done():
	}
	f.c.mu.Lock()
	landed := f.landed
	if landed == flying {
		f.waiting--
	}
	f.c.mu.Unlock()
	if landed == sharing {
		f.leave()
	}
	return landed, context.Cause(ctx)
}

// share answers with the response of another request, in which this one takes part already. If
// that does not answer it, it leaves.
func (h *Hop) share(f *fill) bool {
	c, now := h.cached, time.Now()
	s, miss := cacherules.Select(&c.request, []*cacherules.Stored{f.stored})
	d := cacherules.Decide(&c.request, s, miss, now)
	if d.Action != cacherules.Use || d.Answer.Status != f.stored.Status {
		f.leave()
		return false
	}
	resp := h.madeResponse(d.Answer.Status, d.Answer.Fields(s, false, now), f.stored.Length)
	p := &part{ctx: h.t.ctx}
	p.begin(f, h, resp, 0)
	p.stop = reqctx.AfterFunc(p.ctx, p.leave)
	resp.Body = p
	if f.stored.Length == 0 || resp.StatusCode == http.StatusNoContent {
		p.Close()
		resp.Body = http.NoBody
	}
	c.shares = true
	c.status.Collapsed = true
	h.useStored(resp, s, now)
	return true
}
