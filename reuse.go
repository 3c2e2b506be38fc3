package netreply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/reqctx"
)

// FetchInto is Fetch in the memory of a Reply that the program has, for programs that send very
// many requests. r is a zero Reply, or one that FetchInto of the same Manager has returned from;
// everything that r says is then about this request, and nothing of the last one is left: its
// status, headers, error, attributes and TLS state, and the bytes of its body that were not
// read. FetchInto returns r.Err().
//
// In a program that is built with the tag netreply_ownh1, a GET on a kept HTTP/1 connection
// costs a few allocations, if the body is read by Read or WriteTo, not by ReadAll or
// ReadAvailable, which give its memory away. On HTTP/2 there are those of net/http in addition.
// Without the tag on HTTP/1, and after other requests (redirects, logins, uploads, a cache, time
// limits), new memory is allocated.
//
// What was taken from r before stays what it is: bodies, Headers, errors, URLs, channels,
// contexts. Abort ends the request that runs, and has no effect between two. Who still uses r
// itself sees the new request: Manager.Events and Manager.Finished yield r for every request,
// and no other goroutine should wait for r, read it or range over its Events when FetchInto is
// called. A connection that Upgraded has returned stays open.
//
// FetchInto sends nothing and leaves r as it is, with an error that wraps ErrReplyInUse, if r is
// running, in OnSignal and Answer of r too, or was made by another function or by another
// Manager.
func (m *Manager) FetchInto(ctx context.Context, r *Reply, verb string, req *Request, body Body) error {
	if err := r.renew(m); err != nil {
		return err
	}
	defer r.endUse()
	m.begin(ctx, r, verb, req, body)
	r.pipe.SetLimit(0)
	r.run()
	r.settle()
	return r.Err()
}

// ErrReplyInUse is the error of Manager.FetchInto for a Reply that it cannot use.
var ErrReplyInUse = errors.New("FetchInto needs a zero Reply, or one that FetchInto of the same Manager has returned from")

// errInUse is the error of FetchInto for a Reply that it cannot use.
func errInUse(reason string) error {
	return localError(ProtocolInvalidOperationError, "Invalid reply", fmt.Errorf("%w: %s", ErrReplyInUse, reason))
}

// reuse is what a Reply of FetchInto keeps.
type reuse struct {
	m        *Manager       // nil before the first request
	transfer *flow.Transfer // the last one, whose memory may be used again; nil for none
	watch    *useWatch      // that of transfer

	// guarded by Reply.mu
	busy    bool          // FetchInto runs
	begun   bool          // and what only it may set has been set
	asked   bool          // a question has the context
	use     uint32        // number of the request
	entered int           // how many calls from other goroutines run for it
	left    chan struct{} // closed when none does any more; nil if nobody waits
}

// renew prepares a Reply for begin.
func (r *Reply) renew(m *Manager) error {
	if m == nil || m.flow == nil {
		return errNotMade()
	}
	if r == nil {
		return localError(ProtocolInvalidOperationError, "Invalid reply", &FieldError{Field: "Reply", Reason: required})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.more()
	u := x.reuse
	if u == nil && r.m == nil && r.ctx == nil {
		u = &reuse{m: m}
		x.reuse = u
	}
	switch {
	case u == nil:
		return errInUse("it was not made by FetchInto")
	case u.m != m:
		return errInUse("it belongs to another Manager")
	case u.busy, r.state != finished && r.m != nil:
		return errInUse("it is running")
	case r.insideCallback():
		return errInUse("its OnSignal is running")
	}
	u.busy, u.begun = true, false
	u.use++ // who comes late now is too late
	for u.entered > 0 {
		u.left = make(chan struct{})
		left := u.left
		r.mu.Unlock()
		<-left
		r.mu.Lock()
	}
	for x.dispatcher != nil && x.dispatcher.busy {
		r.waitDispatch()
	}
	if !r.pipe.Renew((*watch)(r), 0) {
		u.busy, u.begun = false, r.m != nil
		return errInUse("it is being read or written")
	}
	r.clear()
	return nil
}

// clear removes everything of the last request. The caller holds the lock.
func (r *Reply) clear() {
	u := r.extra.reuse
	switch {
	case r.ctx == nil:
		r.ctx = &r.own
	case r.transfer != nil || u.asked || !u.transfer.Wipe(): // somebody may still look at the last context
		r.ctx, u.transfer, u.watch = new(reqctx.Context), nil, nil
	}
	u.asked = false
	*r.extra = extra{reuse: u}
	r.req, r.encryption, r.transfer = Request{}, encryption{}, nil
	r.clock, r.started, r.unwatch = nil, 0, nil
	r.stage.Store(0)
	r.state, r.complete, r.hasUpload, r.secure, r.onHTTP2, r.open, r.hops = running, false, false, false, false, 0, 0
	r.err, r.method, r.url = nil, "", nil
	r.head = head{length: -1}
	r.tls, r.addrs = nil, nil
	r.throttle, r.done = throttle{}, nil
	r.record.Clear()
}

// endUse is called when FetchInto returns.
func (r *Reply) endUse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.extra.reuse.busy = false
}

// makeTransfer makes the transfer, in the memory of the last one if that is possible.
func (r *Reply) makeTransfer() *flow.Transfer {
	now := r.use()
	if now.n == 0 {
		return r.m.flow.NewTransfer(r.ctx, (*watch)(r))
	}
	u := r.extra.reuse
	if u.watch == nil {
		u.watch = &useWatch{watch: (*watch)(r)}
	}
	u.watch.use = now
	if u.transfer == nil {
		u.transfer = r.m.flow.NewTransfer(r.ctx, u.watch)
	} else {
		r.m.flow.Renew(u.transfer, r.ctx, u.watch)
	}
	return u.transfer
}

// use is one request of a Reply. What other goroutines call for it, perhaps late, has no effect
// on the next one.
type use struct {
	r *Reply
	n uint32
}

// use is the current one.
func (r *Reply) use() use {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.useLocked()
}

func (r *Reply) useLocked() use {
	if r.extra == nil || r.extra.reuse == nil {
		return use{r, 0}
	}
	return use{r, r.extra.reuse.use}
}

// enter begins a call for the use, and returns false if that is over. leave must follow.
func (u use) enter() bool {
	if u.n == 0 {
		return true
	}
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	x := u.r.extra.reuse
	if x.use != u.n {
		return false
	}
	x.entered++
	return true
}

// hold is enter for the current use. It returns false if there is none.
func (r *Reply) hold() (u use, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u = r.useLocked()
	if u.n > 0 {
		x := r.extra.reuse
		if !x.begun {
			return u, false
		}
		x.entered++
	}
	return u, r.m != nil
}

// begun sets the URL and makes hold possible.
func (r *Reply) begun(to *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to != nil {
		r.req.URL, r.url = to, to
		r.secure = to.Scheme == "https"
	}
	if r.extra != nil && r.extra.reuse != nil {
		r.extra.reuse.begun = true
	}
}

func (u use) leave() {
	if u.n == 0 {
		return
	}
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	x := u.r.extra.reuse
	if x.entered--; x.entered == 0 && x.left != nil {
		close(x.left)
		x.left = nil
	}
}

// stop is Reply.stop.
func (u use) stop(cause error) {
	if u.enter() {
		defer u.leave()
		u.r.stop(cause)
	}
}

// useWatch is the Watcher of a Reply that is used again: calls that may come after the end of the
// transfer are for its use only.
type useWatch struct {
	*watch
	use use
}

var _ flow.Watcher = (*useWatch)(nil)

func (w *useWatch) Uploaded(sent, total int64) {
	if w.use.enter() {
		defer w.use.leave()
		w.watch.Uploaded(sent, total)
	}
}

func (w *useWatch) Sent() {
	if w.use.enter() {
		defer w.use.leave()
		w.watch.Sent()
	}
}

func (w *useWatch) Interim(code int, h http.Header) {
	if w.use.enter() {
		defer w.use.leave()
		w.watch.Interim(code, h)
	}
}

func (w *useWatch) HeadLate() { w.use.stop(headTimeout(w.m.cfg.HeadTimeout)) }
