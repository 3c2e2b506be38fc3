package netreply

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/flow"
)

// ReplyWriter is what a Backend writes a Reply with (Qt: the protected members of
// QNetworkReply). A method that is called at the wrong time has no effect, and returns a
// *UsageError. When the reply is over because of its context, the methods return the reason,
// as an *Error.
//
// Attributes, header fields and status become visible together, with MetaDataChanged, which
// is emitted at the first byte of the body or, without a body, at the end. They cannot be
// changed any more then.
//
// Methods must not be called concurrently, with one exception: while Write, ReadFrom or a
// question waits, other goroutines may call the rest, to end the wait by SetFinished for
// instance.
type ReplyWriter struct{ w *replyWriter }

// UsageError is the error of a method of ReplyWriter that was called at the wrong time, or
// with a wrong argument.
type UsageError struct {
	Method string // of ReplyWriter
	Reason string
}

func (e *UsageError) Error() string { return "netreply: ReplyWriter." + e.Method + ": " + e.Reason }

// Reasons of a UsageError.
const (
	notMade     = "not made by a Manager"
	afterEnd    = "called after the end: SetFinished was called, or Serve has returned"
	afterMove   = "called after Redirect, which continues elsewhere"
	afterHead   = "called after MetaDataChanged or the first byte of the body"
	noBodyHere  = "a response with this status has no body"
	overlapping = "called while another goroutine writes"
)

// replyWriter is the part of one hop of a reply that a Backend writes.
type replyWriter struct {
	r       *Reply
	b       Backend
	payload *flow.Payload
	own     Headers // fields of the program, without those that describe the payload
	// otherOrigin: a redirect has led to another origin than that of the Request.
	otherOrigin bool
	request     BackendRequest
	upload      *backendBody
	rate        *flow.RateGuard
	unabort     func() bool // ends the wait for Aborter.Abort

	mu        sync.Mutex // taken before the reply's lock
	stage     stage
	busy      bool // body bytes are being written
	head      head
	fields    Headers
	status    int
	reason    string
	secure    *bool // ConnectionEncrypted, if set
	trailers  *Headers
	failure   error // first error that fails the reply
	next      *onward
	told      counts
	headless  bool // the response has no head
	headTimer *time.Timer
}

// stage is how far a response has got.
type stage uint8

const (
	beforeHead stage = iota
	inBody
	moved // redirected
	over
)

func newReplyWriter(r *Reply, b Backend, body *flow.Payload, on *onward) *replyWriter {
	w := &replyWriter{r: r, b: b, payload: body, otherOrigin: on != nil && !on.sameOrigin, head: head{length: -1, encoded: -1, final: true}}
	h := r.req.Headers
	if on != nil {
		h, w.told = on.headers, on.told
	}
	w.own = h
	q := &w.request
	*q = BackendRequest{Method: r.Method(), URL: r.URL(), Headers: h.Clone(), Body: http.NoBody, Request: r.req.Clone(), ctx: r.ctx}
	if on != nil {
		q.Request.Headers = h.Clone()
		if !on.sameOrigin {
			q.Request.Bearer = nil
			q.Request.SSLConfiguration = w.sslConfiguration()
		}
	}
	if body != nil {
		q.ContentLength = body.Size
		if body.Size != 0 {
			w.upload = &backendBody{w: w}
			q.Body = w.upload
		}
		for _, f := range body.Fields(h) {
			q.Headers.Set(f.Name, f.Value)
		}
	}
	if n := r.req.MinRate; n > 0 {
		w.rate = flow.NewRateGuard(n, r.clock, r.transferred, func() { r.stop(minRate(n)) })
	}
	return w
}

// sslConfiguration is a copy of the configuration for this hop, without the identity on
// another origin (D11).
func (w *replyWriter) sslConfiguration() *SSLConfiguration {
	return w.r.encryption.forHop(!w.otherOrigin).from.Clone()
}

// serve calls the Backend. next is set if it has redirected the reply.
func (w *replyWriter) serve() (next *onward, err error) {
	r := w.r
	defer w.leave()
	r.prepareBackend(w)
	if a, ok := w.b.(Aborter); ok {
		w.unabort = context.AfterFunc(r.ctx, func() { a.Abort(&w.request) })
	}
	(*watch)(r).Enter(flow.Headers)
	w.resumeHead()
	err = w.b.Serve(&w.request, ReplyWriter{w})
	return w.outcome(err)
}

// prepareBackend tells the Backend about TLS.
func (r *Reply) prepareBackend(w *replyWriter) {
	if s, ok := w.b.(SSLConfigurer); ok {
		s.SetSSLConfiguration(&w.request, w.sslConfiguration())
	}
	if s, ok := w.b.(SSLErrorsIgnorer); ok {
		switch {
		case len(r.req.IgnoreSSLErrors) > 0:
			s.IgnoreSSLErrors(&w.request, w.request.Request.IgnoreSSLErrors)
		case r.req.IgnoreAllSSLErrors:
			s.IgnoreSSLErrors(&w.request, nil)
		}
	}
	s, ok := w.b.(SSLStateProvider)
	if !ok {
		r.setBackendSSLState(nil)
		return
	}
	r.setBackendSSLState(func() SSLState { return s.SSLConfiguration(&w.request) })
}

// end ends the use of the writer.
func (w *replyWriter) end() {
	w.mu.Lock()
	w.stage = over
	w.stopHeadTimer()
	w.mu.Unlock()
	w.rate.End()
	if w.unabort != nil {
		w.unabort()
	}
}

// leave is end for the return of Serve, which may have panicked.
func (w *replyWriter) leave() {
	w.end()
	if w.upload != nil {
		w.upload.close()
	}
}

// outcome returns the result of a Serve that has returned err.
func (w *replyWriter) outcome(err error) (*onward, error) {
	w.mu.Lock()
	stage, failure, next := w.stage, w.failure, w.next
	w.mu.Unlock()
	switch {
	case stage == over: // SetFinished
		return nil, nil
	case w.r.ctx.Err() != nil:
		return nil, context.Cause(w.r.ctx)
	case failure != nil:
		return nil, failure
	case err != nil:
		return nil, &backendError{err}
	case next != nil:
		return next, nil
	}
	return nil, w.complete()
}

// complete ends a response that has no error of its own.
func (w *replyWriter) complete() error {
	if w.state() == beforeHead && !w.headless {
		if err := w.MetaDataChanged(); err != nil {
			return err
		}
	}
	r := w.r
	w.mu.Lock()
	length, noBody, trailers, fields := w.head.length, w.head.noBody, w.trailers, w.fields
	w.mu.Unlock()
	if got := r.pipe.Received(); !noBody && length > got {
		return &backendError{&shortBodyError{got, length}}
	}
	retry := http.Header{}
	for _, name := range [...]string{"Retry-After", "Date"} {
		if v := fields.Get(name); v != "" {
			retry.Set(name, v)
		}
	}
	return r.received(nil, trailers, retry)
}

// shortBodyError is the failure of a body that ended early.
type shortBodyError struct{ got, want int64 }

func (e *shortBodyError) Error() string {
	return "the body ended after " + strconv.FormatInt(e.got, 10) + " of the " + strconv.FormatInt(e.want, 10) + " bytes of its Content-Length"
}

func (e *shortBodyError) Unwrap() error { return io.ErrUnexpectedEOF }

func (w *replyWriter) state() stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stage
}

// lock locks w and returns nil if method may be called up to a stage. Otherwise it returns the
// error, and w is not locked.
func (w *replyWriter) lock(method string, last stage) error {
	if w == nil {
		return &UsageError{method, notMade}
	}
	w.r.clock.Touch()
	w.mu.Lock()
	var reason string
	switch {
	case w.stage == over:
		reason = afterEnd
	case w.r.ctx.Err() != nil:
		w.mu.Unlock()
		return w.ended()
	case w.stage == moved:
		reason = afterMove
	case w.stage > last:
		reason = afterHead
	default:
		return nil
	}
	w.mu.Unlock()
	return &UsageError{method, reason}
}

// ended is the error of the end of the reply's context.
func (w *replyWriter) ended() error {
	return classify(endCause(w.r.ctx), w.r.phase(), "")
}

// fail records the error with which the reply fails, and returns it for the Backend.
func (w *replyWriter) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = err
	}
	return classify(err, w.r.phase(), w.request.URL.Hostname())
}

// SetError sets the error with which the reply fails when Serve returns, or at SetFinished,
// whatever that returns. The first error counts (rule S5). text is what Reply.ErrorString
// returns; "" means the usual one for the code. NoError is not an error.
func (w ReplyWriter) SetError(code NetworkError, text string) error {
	const method = "SetError"
	if code == NoError {
		return &UsageError{method, "NoError is not an error"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	w.w.mu.Unlock()
	w.w.fail(&backendError{&codeError{code, text}})
	return nil
}

// SetFinished ends the reply, before Serve returns: with the error of SetError or, as at the
// end of Serve, successfully. The request's context ends, too.
func (w ReplyWriter) SetFinished() error {
	if err := w.w.lock("SetFinished", inBody); err != nil {
		return err
	}
	failure := w.w.failure
	w.w.mu.Unlock()
	if failure == nil {
		failure = w.w.complete()
	}
	w.w.end()
	w.w.r.conclude(failure)
	return nil
}

// resumeHead starts to measure Config.HeadTimeout, if there is no head yet.
func (w *replyWriter) resumeHead() {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := w.r.m.cfg.HeadTimeout
	if limit <= 0 || w.stage != beforeHead {
		return
	}
	if w.headTimer == nil {
		w.headTimer = time.AfterFunc(limit, (*watch)(w.r).HeadLate)
	} else {
		w.headTimer.Reset(limit)
	}
}

// stopHeadTimer ends resumeHead. The caller holds the lock.
func (w *replyWriter) stopHeadTimer() {
	if w.headTimer != nil {
		w.headTimer.Stop()
	}
}
