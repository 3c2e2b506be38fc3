package flow

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/reqctx"
)

// fill is a request whose response goes into the store, and to all requests that share it.
// Whoever of them needs bytes that have not been received takes its turn, reads them from the
// connection, and writes them to the store, where the others find them: a slow reader stops
// nobody, and there is no goroutine.
//
// The exchange has a context of its own. It ends with the request that leads until the
// response head, and then with the last request that takes part.
type fill struct {
	c   *cache
	ctx reqctx.Context // of the request on the connection

	key   string
	host  string        // see cache.begin
	began uint64        // cache.now then
	stop  func() bool   // ends the tie to the transfer that leads; nil before tie
	lead  part          // its part, if there is a body
	own   http.Response // of the request that leads, while f.resp is that of the connection

	// Of requests that others may wait for. known is closed when landed is set; it is made by
	// the first that waits. The lock of c guards known, landed and waiting.
	flies   bool
	flight  flightKey
	known   chan struct{}
	landed  landing
	waiting int
	// unreserve ends what reserve has begun.
	unreserve func()

	exchange      atomic.Pointer[exchange] // the last one, for those who wait
	exchangeBegan atomic.Int64             // see startTime

	turn chan struct{} // held by who reads from the connection, and by who ends the fill

	// Set before the response is shared. stored is the response as it will be stored.
	stored *cacherules.Stored
	url    string
	resp   *http.Response
	body   io.ReadCloser // of the connection
	w      httpcache.Writer
	base   int64 // where the received body begins in the whole body
	exact  bool  // those who read expect the length of stored, and not that of resp

	mu        sync.Mutex
	written   int64         // how much was received
	kept      int64         // how much of it the store has: all, unless it has failed
	err       error         // of the end, io.EOF for a complete body; nil before
	grown     chan struct{} // closed when written or err changes; nil if nobody waits
	users     int           // requests that take part
	over      bool          // the last one has left
	finishing bool          // the rest is received all the same
	closed    bool
	spoilt    bool          // it is not to be stored, see Hop.spoil
	first     *part         // of the list of those who take part, but for users that have not begun to read
	storeErr  error         // of the store, when it has failed
	begun     int           // how many these are
	tail      []byte        // once the store has failed: the last bytes received, for those who are behind
	moved     chan struct{} // closed when one of them gets on, or leaves; nil if nobody waits for that
}

// maxVariants is how many responses are stored for a key. The peer decides how many there could
// be, and all are looked at for each request.
const maxVariants = 64

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

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
	f.key, f.host, f.began = c.key, h.req.URL.Host, f.c.invalidations()
	f.ctx.Init(context.WithoutCancel(t.wctx))
	f.tie(t.ctx)
}

// tie makes the end of ctx, which is that of the transfer that leads, an end of its part.
func (f *fill) tie(ctx context.Context) {
	f.lead.ctx = ctx
	f.stop = reqctx.AfterFunc(ctx, f.leaderEnds)
}

// leaderEnds is called at the end of the context of the transfer that leads.
func (f *fill) leaderEnds() {
	f.mu.Lock()
	begun := f.lead.f != nil
	f.over = f.over || !begun
	f.mu.Unlock()
	if begun {
		f.lead.leave()
		return
	}
	f.ctx.Cancel(context.Cause(f.lead.ctx))
	f.land(landingOfFailure(f.lead.ctx))
}

// untie ends the tie to the transfer that leads, which has ended the use of the response.
func (f *fill) untie() {
	if f.stop != nil {
		f.stop()
	}
}

// filling is what a fill begins with.
type filling struct {
	stored *cacherules.Stored // as if the whole of body were stored
	base   int64              // where body begins in that of stored
	body   io.ReadCloser      // from the connection, but for what the store has of it
	size   int64              // of body, -1 if unknown
	at     int64              // where in body that of the response begins
	from   *http.Response     // what was received
}

// startFill makes the response body one that is stored while it is read. It reports false if
// the store does not take it.
func (h *Hop) startFill(times cacherules.Times) bool {
	s, base := h.newStored(times)
	return h.fillWith(filling{stored: s, base: base, body: h.resp.Body, size: h.resp.ContentLength, from: h.resp}, times)
}

// newStored makes what is stored of the response, whose body begins at base in the whole. It is
// a function of its own to keep the stack below startFill small.
//
//go:noinline
func (h *Hop) newStored(times cacherules.Times) (s *cacherules.Stored, base int64) {
	rec, base := cacherules.NewRecord(&h.cached.request, h.resp.StatusCode, h.receivedFields(), h.resp.ContentLength, times)
	rec.Reason = reasonOf(h.resp)
	return cacherules.NewStored(rec), base
}

func (h *Hop) fillWith(b filling, times cacherules.Times) bool {
	c, f, resp := h.cached, h.cached.fill, h.resp
	f.stored, f.base, f.url = b.stored, b.base, h.req.URL.String()
	h.t.Clock.Pause()
	defer h.t.Clock.Resume()
	if len(c.entries) >= maxVariants {
		f.c.remove(h.t, c.key)
	}
	w, err := f.c.store.Create(h.t.ctx, c.key, httpcache.Variant{ID: b.stored.Vary, Size: b.size})
	if err != nil || w == nil {
		c.status.Detail = string(cacherules.StoreRefused)
		if err != nil {
			c.status.Detail = string(cacherules.StoreError)
		}
		return false
	}
	c.status.Stored, c.status.Detail = true, guessed(b.stored)
	if b.stored.Fields.Has("No-Vary-Search") {
		h.learnSearch(b.stored)
	}
	c.status.TTL, c.status.HasTTL = f.stored.TTL(times.Response), true
	f.resp, f.body, f.w, f.users = b.from, b.body, w, 1
	f.turn = make(chan struct{}, 1)
	if resp == b.from && f.flies { // the connection may set its trailers when this request has ended already
		f.own = *resp
		resp, h.resp = &f.own, &f.own
	}
	f.lead.begin(f, h, resp, b.at)
	f.lead.stop = f.stop
	alone := !f.stored.Shared(times.Response)
	if f.flies || !alone {
		f.c.setAlone(c.key, alone)
	}
	if alone {
		f.land(ashore)
	} else {
		f.land(sharing)
	}
	if b.body == http.NoBody {
		f.turn <- struct{}{}
		f.end(io.EOF)
		<-f.turn
		f.lead.Close()
		return true
	}
	resp.Body = &f.lead
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

// refused reports whether the response does not come into the store any more.
func (f *fill) refused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept < f.written || f.spoilt
}

// spoil keeps the response of the hop, of which it has turned out that another one than the server
// has made it, from being stored, and removes it if it is.
func (h *Hop) spoil() {
	if h.cached == nil || h.cached.fill == nil {
		return
	}
	f := h.cached.fill
	f.mu.Lock()
	f.spoilt = true
	f.mu.Unlock()
	f.c.remove(h.t, f.key)
}

// receive reads from the connection, for reader, which is nil if nobody waits for the bytes. The
// caller has the turn.
func (f *fill) receive(p []byte, reader *part) (int, error) {
	n, err := f.body.Read(p)
	f.mu.Lock()
	keeps := f.kept == f.written
	f.mu.Unlock()
	var bad error
	if keeps && n > 0 {
		_, bad = f.w.Write(p[:n])
		keeps = bad == nil
	}
	f.mu.Lock()
	if bad != nil {
		f.storeErr = bad
	}
	f.written += int64(n)
	if keeps {
		f.kept = f.written
	} else if f.users > 1 || f.users == 1 && f.first != reader {
		f.tail = append(f.tail, p[:n]...)
	}
	f.wake()
	f.mu.Unlock()
	if err != nil {
		err = f.end(err)
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

// lends reports whether the response body may be lent: when other requests share it, its Read
// does not end with the transfer.
func (c *cached) lends() bool { return c == nil || !c.shares }
