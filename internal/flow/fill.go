package flow

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

// fill is a request whose response goes into the store, and to all requests that share it.
// Whoever of them needs bytes that have not been received takes its turn, reads them from the
// connection, and writes them to the store, where the others find them: a slow reader stops
// nobody, and there is no goroutine.
//
// The exchange has a context of its own. It ends with the request that leads until the
// response head, and then with the last request that takes part.
type fill struct {
	c      *cache
	ctx    context.Context
	cancel context.CancelCauseFunc

	key   string
	began uint64 // cache.now then

	// Of requests that others wait for. known is closed when landed is set; nil for all other
	// requests. The lock of c guards landed and waiting.
	flight  flightKey
	known   chan struct{}
	landed  landing
	waiting int
	// unreserve ends what reserve has begun.
	unreserve func()

	turn chan struct{} // held by who reads from the connection, and by who ends the fill

	// Set before the response is shared. stored is the response as it will be stored.
	stored *cacherules.Stored
	url    string
	resp   *http.Response
	body   io.ReadCloser // of the connection
	w      httpcache.Writer
	base   int64 // where the received body begins in the whole body

	mu        sync.Mutex
	written   int64         // how much was received
	kept      int64         // how much of it the store has: all, unless it has failed
	err       error         // of the end, io.EOF for a complete body; nil before
	grown     chan struct{} // closed when written or err changes; nil if nobody waits
	users     int           // requests that take part
	over      bool          // the last one has left
	finishing bool          // the rest is received all the same
	closed    bool
}

// finishLimit is how much of a body is still received when nobody wants it any more, because
// that is cheaper than another request for it, and finishTime how long that may take.
const (
	finishLimit = 256 << 10
	finishTime  = 10 * time.Second
)

// maxVariants is how many responses are stored for a key. The peer decides how many there could
// be, and all are looked at for each request.
const maxVariants = 64

var errUnwanted = errors.New("nobody needs the response any more")

// beginFill prepares to store the response of the request that is about to be sent.
func (h *Hop) beginFill() {
	t, c := h.t, h.cached
	if c.request.Method != http.MethodGet || c.request.NoStore() || t.NoSaveCache {
		return
	}
	f := c.fill
	if f == nil {
		f = &fill{c: h.e.cache}
		c.fill = f
	}
	f.key, f.began = c.key, f.c.invalidations()
	f.turn = make(chan struct{}, 1)
	f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(t.wctx)) // which has the trace of t
	c.own, c.outlives = t.wctx, f.ctx
	c.stop = context.AfterFunc(t.ctx, func() {
		f.cancel(context.Cause(t.ctx))
		f.land(aborted)
	})
	t.wctx = c.outlives
	h.req = h.req.WithContext(t.wctx)
}

// filling is what a fill begins with.
type filling struct {
	record cacherules.Record // of the whole of body
	base   int64             // where body begins in that of the record
	body   io.ReadCloser     // from the connection, but for what the store has of it
	size   int64             // of body, -1 if unknown
	at     int64             // where in body that of the response begins
	from   *http.Response    // what was received
}

// startFill makes the response body one that is stored while it is read. It reports false if
// the store does not take it.
func (h *Hop) startFill(times cacherules.Times) bool {
	rec, base := cacherules.NewRecord(&h.cached.request, h.resp.StatusCode, h.receivedFields(), h.resp.ContentLength, times)
	rec.Reason = reasonOf(h.resp)
	return h.fillWith(filling{record: rec, base: base, body: h.resp.Body, size: h.resp.ContentLength, from: h.resp}, times)
}

func (h *Hop) fillWith(b filling, times cacherules.Times) bool {
	c, f, resp := h.cached, h.cached.fill, h.resp
	f.stored, f.base, f.url = cacherules.NewStored(b.record), b.base, h.req.URL.String()
	h.t.Clock.Pause()
	defer h.t.Clock.Resume()
	if len(c.entries) >= maxVariants {
		f.c.remove(h.t, c.key)
	}
	w, err := f.c.store.Create(h.t.ctx, c.key, httpcache.Variant{ID: b.record.Vary, Size: b.size})
	if err != nil || w == nil {
		return false
	}
	c.status.Stored = true
	c.status.TTL, c.status.HasTTL = f.stored.TTL(times.Response), true
	f.resp, f.body, f.w, f.users = b.from, b.body, w, 1
	if alone := !f.stored.Shared(times.Response); f.known != nil {
		f.c.setAlone(c.key, alone)
		l := sharing
		if alone {
			l = ashore
		}
		f.land(l)
	}
	c.stop()
	if b.body == http.NoBody {
		f.turn <- struct{}{}
		f.end(io.EOF)
		<-f.turn
		f.leave()
		return true
	}
	p := &part{f: f, ctx: h.t.ctx, resp: resp, at: b.at}
	p.stop = context.AfterFunc(p.ctx, p.leave)
	resp.Body = p
	c.shares = true
	return true
}

// reasonOf is the reason phrase of a response, "" for that of its status.
func reasonOf(resp *http.Response) string {
	_, reason, _ := strings.Cut(resp.Status, " ")
	if reason == http.StatusText(resp.StatusCode) {
		return ""
	}
	return reason
}

// part is the part of one request in a fill: a response body.
type part struct {
	f    *fill
	resp *http.Response  // of which it is the body
	ctx  context.Context // of the request
	stop func() bool
	at   int64 // position in what is received
	left atomic.Bool
}

func (p *part) Read(b []byte) (int, error) {
	f := p.f
	for len(b) > 0 {
		n, grown, err := f.readStored(b, p.at)
		if n > 0 || err != nil {
			return p.count(n, err)
		}
		select {
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		case <-grown:
		case f.turn <- struct{}{}:
			n, err = f.advance(b, p.at)
			f.release()
			if n > 0 || err != nil {
				return p.count(n, err)
			}
		}
	}
	return 0, nil
}

// count records what Read returns.
func (p *part) count(n int, err error) (int, error) {
	p.at += int64(n)
	if err != nil && p.ctx.Err() != nil {
		err = context.Cause(p.ctx)
	}
	if err == io.EOF && p.resp != p.f.resp {
		p.resp.Trailer = p.f.resp.Trailer.Clone()
	}
	return n, err
}

// Close ends the part of the request.
func (p *part) Close() error {
	p.stop()
	p.leave()
	return nil
}

func (p *part) leave() {
	if p.left.CompareAndSwap(false, true) {
		p.f.leave()
	}
}

// readStored reads what has been received behind at. If there is nothing yet, it returns a
// channel that is closed when there is.
func (f *fill) readStored(p []byte, at int64) (n int, grown <-chan struct{}, err error) {
	f.mu.Lock()
	have := f.written - at
	if have <= 0 {
		defer f.mu.Unlock()
		if f.err != nil {
			return 0, nil, f.err
		}
		if f.grown == nil {
			f.grown = make(chan struct{})
		}
		return 0, f.grown, nil
	}
	have = min(have, f.kept-at)
	f.mu.Unlock()
	if have > 0 {
		if n, err = f.w.ReadAt(p[:min(int64(len(p)), have)], at); n > 0 {
			return n, nil, nil
		}
	}
	return 0, nil, &Error{Kind: StoreFailed, Err: errors.Join(errors.New("reading what was just stored"), err)}
}

// advance receives into b if at is where the fill has got to, and something else if that is
// further on. The caller has the turn.
func (f *fill) advance(b []byte, at int64) (int, error) {
	f.mu.Lock()
	ahead, over := at-f.written, f.err != nil || f.over
	f.mu.Unlock()
	switch {
	case ahead < 0 || over:
		return 0, nil
	case ahead == 0:
		return f.receive(b)
	}
	_, err := f.receive(make([]byte, min(ahead, 32<<10)))
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// receive reads from the connection. The caller has the turn.
func (f *fill) receive(p []byte) (int, error) {
	n, err := f.body.Read(p)
	f.mu.Lock()
	keeps := f.kept == f.written
	f.mu.Unlock()
	if keeps && n > 0 {
		_, bad := f.w.Write(p[:n])
		keeps = bad == nil
	}
	f.mu.Lock()
	f.written += int64(n)
	if keeps {
		f.kept = f.written
	}
	f.wake()
	f.mu.Unlock()
	if err != nil {
		f.end(err)
	}
	return n, err
}

// wake wakes those who wait for bytes. The caller holds the lock.
func (f *fill) wake() {
	if f.grown != nil {
		close(f.grown)
		f.grown = nil
	}
}

// end ends the fill with the error of the body, io.EOF for a complete one. The caller has the
// turn. What is complete is in the store before anybody sees the end.
func (f *fill) end(err error) {
	if rec, useful := f.record(err); f.arrived() && useful && f.kept == f.written {
		f.w.Commit(cacheentry.Append(nil, f.url, &rec)) // what is not stored is fetched again
	}
	f.mu.Lock()
	f.err = err
	f.wake()
	f.mu.Unlock()
}

// record is the record of what was received until the body ended with err; false if that is
// of no use.
func (f *fill) record(err error) (cacherules.Record, bool) {
	if err != io.EOF {
		rec, refusal := f.stored.Truncated(f.base, f.written)
		return rec, refusal == cacherules.Stores
	}
	rec := f.stored.Record
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
	f.finishing = f.err == nil && f.missing() <= finishLimit && f.c.begin()
	finishing := f.finishing
	f.mu.Unlock()
	if finishing {
		go f.finish()
		return
	}
	f.cancel(errUnwanted) // which ends the Read of who has the turn
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
	f.cancel(errUnwanted)
	f.body.Close()
	f.w.Close()
	if f.known != nil {
		f.unreserve()
	}
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
}

// finish receives the rest of a body that nobody waits for.
func (f *fill) finish() {
	defer f.c.running.Done()
	defer context.AfterFunc(f.c.ctx, func() { f.cancel(errUnwanted) })()
	timer := time.AfterFunc(finishTime, func() { f.cancel(errUnwanted) })
	defer timer.Stop()
	f.turn <- struct{}{}
	buf := make([]byte, 16<<10)
	for f.failure() == nil {
		f.receive(buf)
	}
	f.mu.Lock()
	f.finishing = false
	f.mu.Unlock()
	f.release()
}

// failure is the error of the end, nil before.
func (f *fill) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// lends reports whether the response body may be lent: when other requests share it, its Read
// does not end with the transfer.
func (c *cached) lends() bool { return c == nil || !c.shares }
