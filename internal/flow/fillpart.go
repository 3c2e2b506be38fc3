package flow

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/cacherules"
)

// part is the part of one request in a fill: a response body.
type part struct {
	f    *fill
	h    *Hop
	req  *http.Request
	resp *http.Response  // of which it is the body
	ctx  context.Context // of the request
	stop func() bool
	from int64 // position in what is received at which the body begins
	at   int64 // where reading has got to; changed with the lock of f
	left atomic.Bool
	rest *rest // from where on the store has nothing for the request; nil before

	clock      *Clock
	prev, next *part // guarded by the lock of f
}

// begin begins the part of a request that is among the users already. stop is for the caller to
// set, and ctx, too, before.
func (p *part) begin(f *fill, h *Hop, resp *http.Response, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.f, p.h, p.req, p.clock, p.resp, p.from, p.at = f, h, h.req, h.t.Clock, resp, at, at
	if p.next = f.first; p.next != nil {
		p.next.prev = p
	}
	f.first = p
	f.begun++
}

func (p *part) Read(b []byte) (int, error) {
	f := p.f
	for len(b) > 0 {
		if p.rest != nil {
			n, err := p.rest.Read(b)
			return p.count(n, err)
		}
		n, err := f.readStored(b, p.at)
		if n == 0 && p.mayFetch(err) {
			if err = p.fetchAlone(err); err == nil {
				continue
			}
		}
		if lost, ok := err.(*lostBytes); ok {
			if err = p.fetchRest(lost.err); err == nil {
				continue
			}
		}
		if n > 0 || err != nil {
			return p.count(n, err)
		}
		if others := f.tooFarAhead(); others != nil {
			if !p.waitForOthers(others) {
				return 0, context.Cause(p.ctx)
			}
			continue
		}
		if p.ctx.Err() != nil {
			return 0, context.Cause(p.ctx)
		}
		if !p.takeTurn() {
			continue
		}
		n, err = f.advance(b, p)
		f.release()
		if p.mayFetch(err) {
			err = nil // readStored finds it again
		}
		if n > 0 || err != nil {
			return p.count(n, err)
		}
	}
	return 0, nil
}

// fetchRest fetches what is not in the store, and ends the part of the request in the fill.
func (p *part) fetchRest(lost error) (err error) {
	f := p.f
	p.rest, err = p.h.fetchRest(&broken{req: p.req, stored: f.stored, at: f.base + p.at, end: f.stored.Length, told: p.at - p.from, before: f.w, err: lost})
	if err == nil {
		p.leave()
	}
	return err
}

// mayFetch reports whether the request fetches for itself what follows, because err has ended the
// request of another one that it shares: once, and not behind bytes of a body that is not known to
// be the same.
func (p *part) mayFetch(err error) bool {
	_, lost := err.(*lostBytes)
	return err != nil && err != io.EOF && !lost && p != &p.f.lead && p.ctx.Err() == nil && !p.h.t.fetchesAgain &&
		(p.at == 0 || p.f.stored.RestConditions(0, -1) != cacherules.Conditions{})
}

// fetchAlone is fetchRest after a failure of the request that it shares. Who has shared it shares
// the next one, too.
func (p *part) fetchAlone(failure error) (err error) {
	f := p.f
	p.rest, err = p.h.fetchRest(&broken{req: p.req, stored: f.stored, at: f.base + p.at, end: f.stored.Length, told: p.at - p.from, before: f.w, err: failure, shared: true})
	if err == nil {
		p.leave()
	}
	return err
}

// takeTurn waits for the turn, for bytes behind what the part has read, or for the end of its
// context, and reports whether it has the turn.
func (p *part) takeTurn() bool {
	f := p.f
	select {
	case f.turn <- struct{}{}:
		return true
	default:
	}
	select {
	case <-p.ctx.Done():
	case <-f.growth(p.at):
	case f.turn <- struct{}{}:
		return true
	}
	return false
}

// store reads the body for the sake of the store only, as long as that takes it.
func (p *part) store() {
	buf := make([]byte, 16<<10)
	for err := error(nil); err == nil && !p.f.refused(); {
		_, err = p.Read(buf)
	}
}

// alone reports whether nobody else takes part.
func (f *fill) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users == 1
}

// count records what Read returns.
func (p *part) count(n int, err error) (int, error) {
	p.f.mu.Lock()
	p.at += int64(n)
	p.f.hasMoved()
	p.f.mu.Unlock()
	if err != nil && p.ctx.Err() != nil {
		err = context.Cause(p.ctx)
	}
	from := p.f.resp
	if p.rest != nil {
		from = p.rest.resp
	}
	if err == io.EOF && p.resp != from {
		p.resp.Trailer = from.Trailer.Clone()
	}
	return n, err
}

// Close ends the part of the request.
func (p *part) Close() error {
	p.stop()
	p.leave()
	if p.rest != nil {
		p.rest.Close()
	}
	return nil
}

// lostBytes is the error of bytes that were received, and are not in the store.
type lostBytes struct{ err error }

func (l *lostBytes) Error() string { return l.err.Error() }

func (p *part) leave() {
	if p.left.CompareAndSwap(false, true) {
		p.f.mu.Lock()
		if p.prev != nil {
			p.prev.next = p.next
		} else {
			p.f.first = p.next
		}
		if p.next != nil {
			p.next.prev = p.prev
		}
		p.f.begun--
		p.f.hasMoved()
		p.f.mu.Unlock()
		p.f.leave()
	}
}

// readStored reads what has been received behind at. If there is nothing yet, it returns 0 and
// no error.
func (f *fill) readStored(p []byte, at int64) (n int, err error) {
	f.mu.Lock()
	have, end := f.written-at, f.err
	if behind := int64(len(f.tail)); have > 0 && have <= behind {
		n = copy(p, f.tail[behind-have:])
		f.mu.Unlock()
		return n, nil
	}
	kept := min(have, f.kept-at)
	err = f.storeErr
	f.mu.Unlock()
	if have <= 0 {
		return 0, end
	}
	if kept > 0 {
		if n, err = f.w.ReadAt(p[:min(int64(len(p)), kept)], at); n > 0 {
			return n, nil
		}
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return 0, &lostBytes{fmt.Errorf("what was just received: %w", err)}
}

// growth returns a channel that is closed when there is something behind at, or the end.
func (f *fill) growth(at int64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written > at || f.err != nil {
		return closed
	}
	if f.grown == nil {
		f.grown = make(chan struct{})
	}
	return f.grown
}

// advance receives into b if p is where the fill has got to, and something else if that is
// further on. The caller has the turn.
func (f *fill) advance(b []byte, p *part) (int, error) {
	f.mu.Lock()
	at := p.at
	ahead, over := at-f.written, f.err != nil || f.over
	f.mu.Unlock()
	switch {
	case ahead < 0 || over:
		return 0, nil
	case ahead == 0:
		return f.receive(b, p)
	}
	_, err := f.receive(make([]byte, min(ahead, 32<<10)), p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// When the store fails, those who read a body get on together: who is ahead by more than tailLimit
// waits for the others, but not longer than stallTime for one who does not read. That one fetches
// the rest itself.
const (
	tailLimit = 256 << 10
	stallTime = 5 * time.Second
)

// tooFarAhead reports whether who has read everything is to wait for those who are behind, by a
// channel that is closed when one of them gets on or leaves. What of tail all have read goes.
func (f *fill) tooFarAhead() (others <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == f.written || f.err != nil {
		return nil
	}
	from := f.written - int64(len(f.tail))
	slowest := f.written
	if f.begun < f.users {
		slowest = 0
	}
	for p := f.first; p != nil; p = p.next {
		if p.at >= from || from == f.kept { // otherwise it was given up
			slowest = min(slowest, p.at)
		}
	}
	if slowest > from {
		f.tail = f.tail[:copy(f.tail, f.tail[slowest-from:])]
	}
	if len(f.tail) < tailLimit {
		return nil
	}
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.moved
}

// waitForOthers waits until others is closed, or gives up those who are behind. It reports false
// if the request has ended.
func (p *part) waitForOthers(others <-chan struct{}) bool {
	p.clock.Pause()
	defer p.clock.Resume()
	stalled := time.NewTimer(stallTime)
	defer stalled.Stop()
	select {
	case <-p.ctx.Done():
		return false
	case <-others:
	case <-stalled.C:
		p.f.giveUp(p.at)
	}
	return true
}

// giveUp lets those fail who have not read up to at, unless something was received meanwhile.
func (f *fill) giveUp(at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written <= at {
		f.tail = nil
	}
}

// hasMoved wakes those who wait for others. The caller holds the lock.
func (f *fill) hasMoved() {
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}
