package netreply

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/flow"
)

// Reasons of a UsageError.
const (
	afterEnd    = "called after the end: SetFinished was called, or Serve has returned"
	afterMove   = "called after Redirect"
	afterHead   = "called after MetaDataChanged or the first byte of the body"
	noBodyHere  = "a response with this status has no body"
	overlapping = "called while another goroutine writes"
)

// replyWriter is the part of one hop of a reply that a Backend writes.
type replyWriter struct {
	r       *Reply
	b       Backend
	payload *flow.Payload
	request BackendRequest // for the Backend, which may not keep to not changing it
	upload  *backendBody
	rate    *flow.RateGuard
	unabort func() bool // ends the wait for Aborter.Abort

	// What is sent on this hop.
	url     *url.URL
	method  string
	headers Headers // of the program, without those that describe the payload
	foreign bool    // another origin than that of the request

	mu         sync.Mutex // taken before the reply's lock
	stage      stage
	shown      bool // the head is visible, and does not change any more
	busy       bool // body bytes are being written
	head       head
	fields     Headers
	attributes attributeValues
	trailers   *Headers
	failure    error  // first error that fails the reply
	refusal    *Error // what methods return after a failure that has ended the reply
	next       *onward
	told       counts
	headless   bool // the response has no head
	headTimer  *time.Timer
	// waits is how many calls wait for the program, which does not count for HeadTimeout.
	waits int
	// settled is closed when the call that has ended the writing of this hop returns; nil
	// before it.
	settled chan struct{}
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
	w := &replyWriter{r: r, b: b, payload: body, head: head{length: -1, final: true}}
	w.url, w.method, w.headers = r.req.URL, r.Method(), r.req.Headers
	if on != nil {
		w.url, w.method, w.headers, w.told = on.url, on.method, on.headers, on.told
		w.foreign = !r.sameOrigin(on.url)
	}
	u := *w.url
	w.request = BackendRequest{Method: w.method, URL: &u, Headers: w.headers.Clone(), Body: http.NoBody, Request: r.req.Clone(), ctx: r.ctx.Std()}
	if on != nil {
		w.request.Request.Headers = w.headers.Clone()
	}
	if w.foreign {
		w.request.Request.dropSecrets()
	}
	if body != nil {
		w.request.ContentLength = body.Size
		if body.Size != 0 {
			w.upload = &backendBody{w: w, turn: make(chan struct{}, 1)}
			w.request.Body = w.upload
		}
		for _, f := range body.Fields(w.headers) {
			w.request.Headers.Set(f.Name, f.Value)
		}
	}
	const length = "Content-Length"
	switch h := &w.request.Headers; { // HTTP does not send another one than that of the body, either
	case !h.Has(length):
	case body != nil && body.Size >= 0:
		h.Set(length, strconv.FormatInt(body.Size, 10))
	default:
		h.Del(length)
	}
	if n := r.req.MinRate; n > 0 {
		u := r.use()
		w.rate = flow.NewRateGuard(n, r.clock, r.transferred, func() { u.stop(minRate(n)) })
	}
	return w
}

// dropSecrets removes what is meant for the origin of the request only (D11), except for
// Headers.
func (q *Request) dropSecrets() {
	q.URL.User, q.Bearer = nil, nil
	q.SSLConfiguration.dropIdentity()
}

// dropIdentity removes what authenticates the client.
func (c *SSLConfiguration) dropIdentity() {
	if c == nil {
		return
	}
	c.Certificates, c.ClientCertificate, c.PSK, c.SessionTicket = nil, nil, nil, nil
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.Certificates, c.TLS.GetClientCertificate, c.TLS.ClientSessionCache = nil, nil, nil
	}
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
	w.startHeadTimer()
	err = w.b.Serve(&w.request, w)
	return w.outcome(err)
}

// prepareBackend tells the Backend about TLS, and the reply that an earlier hop is over.
func (r *Reply) prepareBackend(w *replyWriter) {
	if s, ok := w.b.(SSLConfigurer); ok {
		c := r.encryption.profiles.from.Clone()
		if w.foreign {
			c.dropIdentity()
		}
		s.SetSSLConfiguration(&w.request, c)
	}
	if s, ok := w.b.(SSLErrorsIgnorer); ok {
		switch {
		case len(r.req.IgnoreSSLErrors) > 0:
			s.IgnoreSSLErrors(&w.request, w.request.Request.IgnoreSSLErrors)
		case r.req.IgnoreAllSSLErrors:
			s.IgnoreSSLErrors(&w.request, nil)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tls, r.addrs = nil, nil // of an earlier hop
	if s, ok := w.b.(SSLStateProvider); ok {
		r.more().sslState = func() SSLState { return s.SSLConfiguration(&w.request) }
	}
}

// leave ends the use of the writer after Serve, which may have panicked.
func (w *replyWriter) leave() {
	w.mu.Lock()
	w.stage = over
	redirected := w.next != nil
	w.mu.Unlock()
	w.stop()
	if w.upload != nil {
		w.upload.close(redirected)
	}
}

// stop ends what runs for the Backend beside Serve.
func (w *replyWriter) stop() {
	w.mu.Lock()
	if w.headTimer != nil {
		w.headTimer.Stop()
	}
	w.mu.Unlock()
	w.rate.End()
	if w.unabort != nil {
		w.unabort()
	}
}

// settle ends the writing of this hop in favour of the caller, which must call done at its end
// even if a callback of the program does not return. The caller holds the lock.
func (w *replyWriter) settle(last stage) (done func(returned *bool)) {
	w.stage = last
	settled := make(chan struct{})
	w.settled = settled
	return func(returned *bool) {
		if !*returned {
			w.r.Abort()
		}
		close(settled)
	}
}

// outcome returns the result of a Serve that has returned err.
func (w *replyWriter) outcome(err error) (*onward, error) {
	w.mu.Lock()
	if settled := w.settled; settled != nil { // perhaps by another goroutine
		w.mu.Unlock()
		<-settled
		w.mu.Lock()
	}
	ended, failure, next := w.stage == over, w.failure, w.next
	w.stage = over
	w.mu.Unlock()
	switch {
	case ended:
		return nil, failure
	case w.r.ctx.Err() != nil:
		return nil, context.Cause(w.r.ctx)
	}
	if failure == nil && err != nil {
		failure = &backendError{err}
	}
	if failure == nil && next != nil {
		return next, nil
	}
	return nil, w.complete(failure)
}

// complete ends the response, and returns the error with which the reply fails.
func (w *replyWriter) complete(failure error) error {
	w.mu.Lock()
	shown := w.shown
	if !w.headless && (failure == nil || w.fields.Len() > 0 || w.attributes.isSet()) {
		w.showHead() // which unlocks
	} else {
		w.mu.Unlock()
	}
	if failure != nil {
		return failure
	}
	r := w.r
	if err := w.oversized(); err != nil {
		return err
	}
	if !shown && !w.headless {
		w.handOver()
	}
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

// lock locks w and returns nil if method may be called up to a stage. Otherwise it returns the
// error, and w is not locked.
func (w *replyWriter) lock(method string, last stage) error {
	w.mu.Lock()
	err := w.refused(method, last)
	if err != nil {
		w.mu.Unlock()
		return err
	}
	w.r.clock.Touch()
	return nil
}

// refused is the error of a call of method that is allowed up to a stage. The caller holds the
// lock.
func (w *replyWriter) refused(method string, last stage) error {
	switch {
	case w.refusal != nil:
		return w.refusal
	case w.stage == over:
		return &UsageError{method, afterEnd}
	case w.r.ctx.Err() != nil:
		return w.ended()
	case w.stage == moved && last < moved:
		return &UsageError{method, afterMove}
	case w.stage > last:
		return &UsageError{method, afterHead}
	}
	return nil
}

// ended is the error of the end of the reply's context.
func (w *replyWriter) ended() error {
	return classify(endCause(w.r.ctx), w.r.phase(), w.url.Hostname())
}

func (w *replyWriter) SetError(code NetworkError, text string) error {
	const method = "SetError"
	if code == NoError {
		return &UsageError{method, "NoError is not an error"}
	}
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = &backendError{&codeError{code, text}}
	}
	return nil
}

func (w *replyWriter) SetFinished() error {
	if err := w.lock("SetFinished", inBody); err != nil {
		return err
	}
	done := w.settle(over)
	failure := w.failure
	w.mu.Unlock()
	returned := false
	defer done(&returned)
	failure = w.complete(failure)
	w.mu.Lock()
	w.failure = failure
	w.mu.Unlock()
	w.stop()
	w.r.conclude(failure)
	returned = true
	return nil
}

// fail ends the reply at once, and returns the error for the Backend.
func (w *replyWriter) fail(failure error) error {
	e := classify(failure, w.r.phase(), w.url.Hostname())
	w.mu.Lock()
	if w.stage == over { // by another goroutine
		defer w.mu.Unlock()
		return e
	}
	done := w.settle(over)
	w.refusal = e
	if w.failure == nil {
		w.failure = failure
	}
	failure = w.failure
	w.mu.Unlock()
	returned := false
	defer done(&returned)
	w.stop()
	w.r.conclude(failure)
	returned = true
	return e
}

// startHeadTimer starts to measure Config.HeadTimeout.
func (w *replyWriter) startHeadTimer() {
	limit := w.r.m.cfg.HeadTimeout
	if limit <= 0 {
		return
	}
	u := w.r.use()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.headTimer = time.AfterFunc(limit, func() {
		w.mu.Lock()
		late := w.stage == beforeHead && w.waits == 0
		w.mu.Unlock()
		if late {
			u.stop(headTimeout(limit))
		}
	})
}

// pauseHeadTimer begins a wait for the program; resumeHeadTimer must follow. The caller holds
// the lock.
func (w *replyWriter) pauseHeadTimer() {
	w.waits++
	if w.headTimer != nil {
		w.headTimer.Stop()
	}
}

// resumeHeadTimer makes the whole HeadTimeout available again, if there is no head yet.
func (w *replyWriter) resumeHeadTimer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits--
	if w.headTimer != nil && w.waits == 0 && w.stage == beforeHead {
		w.headTimer.Reset(w.r.m.cfg.HeadTimeout)
	}
}

// omitHead makes a response without a head.
func (w *replyWriter) omitHead() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.headless = true
}
