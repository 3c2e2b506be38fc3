package netreply

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
)

// Reply is a request under way and its response. It is read like a file while
// it arrives, it shows every step as a signal, and its getters are valid at any
// time. All its methods may be called from any goroutine, except that only one
// at a time should read.
//
// A Reply runs on one goroutine, which ends by itself when the body was read to
// its end, failed, or was aborted. A Reply that was started must therefore be
// read whole, closed, or have a context that ends, when it has a read buffer
// limit; without one it comes to its end even if nobody reads.
type Reply struct {
	m      *Manager
	req    Request // a copy, with the Manager's defaults
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Those of the goroutine that runs the transfer.
	body       Body
	encryption encryption

	clock   *flow.Clock     // of the peer's silence; nil without TransferTimeout and MinRate
	rate    *flow.RateGuard // nil without a MinRate
	started moment
	stage   atomic.Int32 // the Phase that the transfer has come to
	calls   atomic.Int32 // of OnSignal and Answer that are running
	release func() bool  // stops waiting for the end of the caller's context; nil when that has none

	pipe pipe.Pipe // the body; its lock comes behind mu

	mu        sync.Mutex
	state     state
	whole     bool   // the body came to its proper end
	attached  bool   // there is an upload source
	secure    bool   // the hop is encrypted
	open      signal // of the question that the program has not answered, 0 for none
	hops      int16
	err       *Error
	method    string
	url       *url.URL
	sent      *atomic.Int64 // of the body, by the sending that goes on; nil for none
	uploading throttle
	head      head
	trailers  *Headers
	tls       *tls.ConnectionState
	conn      *wire.Conn     // that carried the last hop
	decoder   *coding.Reader // of an encoded body
	throttle  throttle
	settled   chan struct{} // made by the first WaitHead
	done      chan struct{} // made by the first Wait
	record    record
	teller    *teller // nil without OnSignal

	// In the Manager's list, guarded by its lock. A Manager that is closed lists no reply.
	listed     bool
	prev, next *Reply
}

type state uint8

const (
	running state = iota
	ending        // the outcome is settled, and being told
	finished
)

// head is what the last response head said.
type head struct {
	status int
	// fields are made of raw, the bytes of an HTTP/1 head, or of mapped when they
	// are first asked for: most replies never are.
	raw     string
	mapped  http.Header
	fields  *Headers
	length  int64 // of the body, -1 when not known
	decoded bool  // the body's codings are taken off
	encoded int64 // its length before that, -1 when not known
	noBody  bool  // none can follow
	final   bool  // not of a redirect: no other comes
	http2   bool
	target  *url.URL
}

// run is the life of a reply: it sends, receives, and says how it ended. What it calls may
// return late, or never: the caller's source, a callback of the caller's, a connection that
// neither takes nor gives. So it is not what ends a reply by its context, a time limit or
// an Abort: stop does, from outside.
func (r *Reply) run() {
	defer r.m.remove(r)
	r.conclude(r.perform())
}

// conclude ends the reply with the outcome of its transfer.
func (r *Reply) conclude(err error) {
	r.clock.Stop()
	r.rate.End()
	ended := r.ctx.Err() != nil && !r.whole
	if ended {
		// the reason the transfer was stopped for beats what the stop made others say
		err = endCause(r.ctx)
	}
	var e *Error
	if err != nil {
		e = classify(err, r.phase(), r.URL().Hostname())
	}
	r.end(e, ended && e.Code == OperationCanceledError)
	if r.release != nil {
		r.release()
	}
	r.cancel(nil)
}

// validate finds what cannot be sent of the request, with the defaults of the Manager.
func (r *Reply) validate() error {
	if err := r.req.validate(r.method); err != nil {
		return err
	}
	if r.encryption.profiles == nil { // the rest is known to be usable
		if err := r.req.SSLConfiguration.validate("Request.SSLConfiguration"); err != nil {
			return localError(ProtocolInvalidOperationError, "Invalid request", err)
		}
	}
	if r.req.Ask&^r.m.cfg.Ask&AskPreSharedKey != 0 && r.encryption.profiles.from.PSK == nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", &FieldError{Field: "Request.SSLConfiguration.PSK", Reason: noPSK})
	}
	return nil
}

// phase is how far the transfer has come, for errors that do not say. It may be asked from
// any goroutine.
func (r *Reply) phase() Phase { return Phase(r.stage.Load()) }

// perform does what the request says. What it calls is apart to keep the stack small that the
// calls of net/http need in addition.
func (r *Reply) perform() error {
	payload, err := r.prepare()
	if err != nil {
		return err
	}
	t := r.newTransfer(payload)
	resp, err := t.Begin()
	if err == nil {
		err = r.receive(t, resp)
	}
	t.Close()
	return err
}

// prepare refuses a request that cannot be sent, and makes its body ready.
//
//go:noinline
func (r *Reply) prepare() (payload *flow.Payload, err error) {
	if r.m.flow == nil {
		return nil, errUnmade()
	}
	if err := r.m.checkAllowed(&r.req); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	if r.body != nil {
		r.mu.Lock()
		r.attached = true
		r.mu.Unlock()
		if payload, err = r.body.prepare(r.ctx, !r.req.DoNotBufferUploadData); err != nil {
			return nil, err
		}
		if err = limitPayload(payload, r.req.Headers); err != nil {
			return nil, err
		}
	}
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	r.clock.Start()
	return payload, nil
}

// receive brings the body to the reader, and gives the error that the status says.
//
//go:noinline
func (r *Reply) receive(t *flow.Transfer, resp *http.Response) error {
	err := limitBody(resp, r.req.MaxBodySize)
	if err == nil {
		err = t.Receive(resp, &r.pipe)
	}
	resp.Body.Close()
	if err == nil && r.ctx.Err() != nil {
		// An end that comes behind the cancellation may be its consequence: a server
		// that sees the connection go finishes its response.
		err = context.Cause(r.ctx)
	}
	if err != nil {
		return err
	}
	return r.outcome(resp)
}

// outcome takes note that the response is there to its end, and gives the error that its
// status says.
func (r *Reply) outcome(resp *http.Response) error {
	r.mu.Lock()
	r.whole = true
	if len(resp.Trailer) > 0 && r.state == running {
		trailers := headersFrom(resp.Trailer, resp.ProtoMajor == 2)
		r.trailers = &trailers
	}
	status, reason, u := r.head.status, r.head.reason(), r.url
	r.mu.Unlock()
	if statusError(status) != NoError {
		return statusFailure(status, reason, httpurl.Redacted(u), resp.Header)
	}
	return nil
}

// end settles the outcome and tells it: the terminal sequence of rule S6. The
// first to call it wins. discard takes the unread bytes away, as an abort does.
func (r *Reply) end(e *Error, discard bool) {
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.state = ending
	r.headSettled()
	received := r.pipe.Stop()
	if e == nil {
		r.pipe.End(nil)
	} else {
		r.notFollowed()
		r.describe(e, received)
		r.err = e
		if discard {
			r.pipe.Close(e)
		} else {
			r.pipe.End(e)
		}
		r.emitLocked(sigError, int64(e.Code), 0, nil)
		r.mu.Lock()
	}
	r.finish()
}

// finish tells the rest of the terminal sequence, unless somebody has done so meanwhile.
// The caller holds the lock, which it gives up.
func (r *Reply) finish() {
	if r.state != ending {
		r.mu.Unlock()
		return
	}
	r.state = finished
	p := finalProgress(r.pipe.Received(), r.head.length, r.head.noBody)
	if r.head.status == 0 {
		p.Total = p.Done
	}
	r.note(sigDownloadProgress, p.Done, p.Total, nil)
	if r.attached && !r.uploaded() {
		r.note(sigUploadProgress, 0, 0, nil)
	}
	if r.done != nil {
		close(r.done)
	}
	r.emitLocked(sigFinished, 0, 0, nil)
}

// uploaded tells whether any progress of the upload was told (D3).
func (r *Reply) uploaded() bool {
	_, told := r.record.latest(sigUploadProgress)
	return told
}

// describe adds to an error what the reply knows.
func (r *Reply) describe(e *Error, received int64) {
	e.Method, e.URL, e.Hop = r.method, httpurl.Redacted(r.url), int(r.hops)
	if e.StatusCode == 0 {
		e.StatusCode = r.head.status
	}
	e.Received = received
	if owed := r.owed(); owed != "" && e.Code == TimeoutError {
		e.Err = fmt.Errorf("%w; the reply waited for the program to %s", e.Err, owed)
	}
	if r.sent != nil && e.Sent == 0 {
		e.Sent = r.sent.Load()
	}
	e.Retryable = retryable(e, r.req.idempotent(r.method))
}

// Abort stops the transfer at once: when it returns the reply is finished with
// OperationCanceledError and nothing can be read any more (rule S60). On a
// finished reply it does nothing, and the bytes that are unread stay so (S61).
func (r *Reply) Abort() { r.abort(errAborted) }

func (r *Reply) abort(cause error) {
	if r.m == nil {
		return
	}
	r.cancel(cause)
	r.mu.Lock()
	if r.state == ending { // rule S62: whoever tells the error may take its time
		r.pipe.Close(r.err)
		r.finish()
		return
	}
	r.mu.Unlock()
	r.end(classify(cause, PhaseLocal, ""), true)
}

// stop ends a running reply for a cause that is not the peer's, from any goroutine: the
// transfer is told, and the reply is finished without waiting for it. A body that has come
// whole meanwhile stays a success. What came before a time limit stays readable, as before
// any other break (rule S30).
func (r *Reply) stop(cause error) {
	r.cancel(cause)
	r.mu.Lock()
	if r.state == ending {
		r.finish()
		return
	}
	whole := r.whole
	r.mu.Unlock()
	if !whole {
		e := classify(endCause(r.ctx), r.phase(), r.URL().Hostname())
		r.end(e, e.Code == OperationCanceledError)
	}
}

// watch ends the reply with the caller's context.
func (r *Reply) watch(caller context.Context) {
	if caller.Done() == nil {
		return
	}
	r.release = context.AfterFunc(caller, func() {
		<-r.ctx.Done() // its child, which ends with it and keeps what it ended for
		r.stop(context.Cause(r.ctx))
	})
}

// Close stops what is still going on, like Abort, and gives the memory of
// unread bytes back; reading fails afterwards, with Err or, where that is nil, with
// fs.ErrClosed (D7). It returns nil.
func (r *Reply) Close() error {
	r.Abort()
	r.pipe.Close(fs.ErrClosed)
	return nil
}

// Wait waits until the reply is finished, and returns Err. If ctx ends first, it returns the
// cause of that, and the reply goes on. A nil ctx never ends.
//
// Wait does not read the body: with a ReadBufferSize, another goroutine must read a body that
// is larger, or the reply never finishes. Inside OnSignal and Answer it does not wait, but
// returns Err if there is one already, and otherwise fails with ErrInsideOnSignal.
func (r *Reply) Wait(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	r.mu.Lock()
	if r.state == finished || r.m == nil {
		defer r.mu.Unlock()
		return r.errLocked()
	}
	if r.insideCallback() {
		defer r.mu.Unlock()
		if err := r.errLocked(); err != nil {
			return err
		}
		return errWouldWait()
	}
	if r.done == nil {
		r.done = make(chan struct{})
	}
	done := r.done
	r.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		if !r.IsFinished() {
			return context.Cause(ctx)
		}
	}
	return r.Err()
}

// WaitHead waits until the head of the final response is there: after all redirects and
// questions, and before the body. StatusCode, Headers, URL, ContentLength and the like do not
// change any more then. It returns nil for every response, a 404 too: nil does not mean that
// the request has succeeded. It returns Err if the reply ends before a head has come, and if
// ctx ends, the cause of that. A nil ctx never ends. Inside OnSignal it does not wait, and
// fails with ErrInsideOnSignal unless the head is there or the reply has failed.
func (r *Reply) WaitHead(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if over, err := r.headOutcome(); over {
		return err
	}
	if r.insideCallback() {
		return errWouldWait()
	}
	if r.settled == nil {
		r.settled = make(chan struct{})
	}
	settled := r.settled
	r.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
	r.mu.Lock()
	if over, err := r.headOutcome(); over {
		return err
	}
	return context.Cause(ctx)
}

// headOutcome tells whether a wait for the final head is over, and how it came out. The caller
// holds the lock.
func (r *Reply) headOutcome() (over bool, err error) {
	switch {
	case r.head.final:
		return true, nil
	case r.m == nil, r.state != running:
		return true, r.errLocked()
	}
	return false, nil
}

// headSettled wakes those who wait for the final head: it is there, or does not come. The
// caller holds the lock.
func (r *Reply) headSettled() {
	if r.settled != nil {
		close(r.settled)
		r.settled = nil
	}
}

// Context is the reply's own context, for what is done only as long as it runs. It has the
// values of the one that the request was sent with, ends with it, at an Abort or a Close, and
// otherwise when the reply has finished and its OnSignal has returned.
func (r *Reply) Context() context.Context {
	if r.m == nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errUnmade())
		return ctx
	}
	return r.ctx
}

// Err is nil while the reply runs and when it succeeded; otherwise it is an
// *Error.
func (r *Reply) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errLocked()
}

func (r *Reply) errLocked() error {
	if r.m == nil {
		return errUnmade()
	}
	if r.err == nil {
		return nil
	}
	return r.err
}

// errUnmade is what is wrong with a Reply or a Manager that nobody has made: the first
// thing that happens to it fails.
func errUnmade() *Error {
	return localError(ProtocolInvalidOperationError, "Not made by NewManager",
		&FieldError{Field: "Manager", Reason: "NewManager makes them, and a Manager makes Replies: was its error looked at?"})
}

// IsFinished tells whether the reply is over. It is true from the last
// DownloadProgress on (rule S3).
func (r *Reply) IsFinished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == finished || r.m == nil
}

// URL is the URL that is being fetched: that of the last hop (rule S10). For a
// redirect that was refused it stays at the one that answered (D13).
func (r *Reply) URL() *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.url == nil {
		return &url.URL{}
	}
	u := *r.url
	return &u
}

// reason is the text behind the status; HTTP/2 has none.
func (h *head) reason() string {
	line, _, _ := strings.Cut(h.raw, "\n")
	_, status, _ := strings.Cut(strings.TrimRight(line, "\r"), " ")
	_, reason, _ := strings.Cut(strings.TrimLeft(status, " "), " ")
	return reason
}

// wireBytes is WireBytes.
func (r *Reply) wireBytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.decoder != nil {
		return r.decoder.WireBytes()
	}
	return r.pipe.Received()
}
