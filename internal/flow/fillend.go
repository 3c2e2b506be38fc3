package flow

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/wire"
)

// How a fill ends: with its body, or with the last request that takes part.

// finishLimit is how much of a body is still received when nobody wants it any more, because
// that is cheaper than another request for it, and finishTime how long that may take.
const (
	finishLimit = 256 << 10
	finishTime  = 10 * time.Second
)

// end ends the fill with the error of the body, io.EOF for a complete one. The caller has the
// turn. What is complete is in the store before anybody sees the end. end returns the error that
// the readers get.
func (f *fill) end(err error) error {
	f.arrived()
	if left := f.left(); f.exact && (left < 0 || left > 0 && err == io.EOF) {
		// what is stored could never be completed like this
		f.c.removeKey(&f.ctx, f.key)
		if err == io.EOF && left > 0 {
			err = &wire.Error{Phase: wire.Body, Fault: wire.Malformed, Began: true, Err: errors.New("a part of the body is shorter than its Content-Range")}
		}
	} else if meta := f.meta(err); meta != nil && f.current() {
		f.w.Commit(meta)  // what is not stored is fetched again
		if !f.current() { // it was invalidated meanwhile, perhaps before it was there
			f.c.removeKey(&f.ctx, f.key)
		}
	}
	f.mu.Lock()
	f.err = err
	f.wake()
	f.mu.Unlock()
	return err
}

// meta is the metadata of what was received until the body ended with err, nil if that is not
// to be stored. It is not inlined, to keep the stack below end small.
//
//go:noinline
func (f *fill) meta(err error) []byte {
	rec, useful := f.record(err)
	if !useful || f.refused() {
		return nil
	}
	return cacheentry.Append(nil, f.url, &rec)
}

// record is the record of what was received until the body ended with err; false if that is
// of no use.
func (f *fill) record(err error) (rec cacherules.Record, useful bool) {
	if err != io.EOF {
		rec, refusal := f.stored.Truncated(f.base, f.written)
		return rec, refusal == cacherules.Stores
	}
	rec = f.stored.Record
	size := f.base + f.written
	if len(rec.Have) > 0 {
		return rec, rec.Have[0].Len() == f.written
	}
	if rec.Length >= 0 && rec.Length != size {
		return rec, false
	}
	rec.Length = size
	if len(f.resp.Trailer) > 0 {
		rec.Trailer = headers.FromHTTP(f.resp.Trailer)
	}
	return rec, true
}

// leave ends the part of one request.
func (f *fill) leave() {
	f.mu.Lock()
	f.users--
	if f.users > 0 {
		f.mu.Unlock()
		return
	}
	f.over = true
	rest := f.missing()
	f.finishing = f.err == nil && rest >= 0 && rest <= finishLimit && f.c.begin(f.host)
	finishing := f.finishing
	f.mu.Unlock()
	if finishing {
		go f.finish()
		return
	}
	f.ctx.Cancel(errUnwanted) // which ends the Read of who has the turn
	select {
	case f.turn <- struct{}{}:
		f.release()
	default:
	}
}

// missing is how much is still to be received. The caller holds the lock.
func (f *fill) missing() int64 {
	switch {
	case len(f.stored.Have) > 0:
		return f.stored.Have[0].Len() - f.written
	case f.stored.Length < 0:
		return math.MaxInt64
	}
	return f.stored.Length - f.base - f.written
}

// release gives the turn back. The last one to have it ends the fill, if everybody has left.
func (f *fill) release() {
	for {
		if f.unwanted() {
			f.shut()
		}
		<-f.turn
		if !f.unwanted() {
			return
		}
		select {
		case f.turn <- struct{}{}:
		default: // it has been taken by another one that will give it back
			return
		}
	}
}

// unwanted reports whether the fill is to be shut.
func (f *fill) unwanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over && !f.finishing && !f.closed
}

// shut ends the fill, and frees the connection and the writer. The caller has the turn.
func (f *fill) shut() {
	if f.failure() == nil {
		f.end(errUnwanted)
	}
	f.ctx.Cancel(errUnwanted)
	f.body.Close()
	f.w.Close()
	if f.flies {
		f.unreserve()
	}
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
}

// finish receives the rest of a body that nobody waits for.
func (f *fill) finish() {
	defer f.c.done(f.host)
	defer context.AfterFunc(f.c.ctx, func() { f.ctx.Cancel(errUnwanted) })()
	timer := time.AfterFunc(finishTime, func() { f.ctx.Cancel(errUnwanted) })
	defer timer.Stop()
	f.turn <- struct{}{}
	buf := make([]byte, 16<<10)
	// a body that is longer than announced, or that the store refuses, is of no use
	for f.failure() == nil && f.left() >= 0 && !f.refused() {
		f.receive(buf, nil)
	}
	f.mu.Lock()
	f.finishing = false
	f.mu.Unlock()
	f.release()
}

// left is missing for callers that do not hold the lock.
func (f *fill) left() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missing()
}

// failure is the error of the end, nil before.
func (f *fill) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
