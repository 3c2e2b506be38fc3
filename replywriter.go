package netreply

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
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
		if body.MIME != "" && !q.Headers.Has("Content-Type") {
			q.Headers.Set("Content-Type", body.MIME)
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
	if w.state() == beforeHead {
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

// AttributeKey is an Attribute or a UserAttribute, as a key of SetAttribute.
type AttributeKey interface {
	// String is the name of the attribute.
	String() string
	setBy(w *replyWriter, value any) (reason string)
}

// SetAttribute sets an attribute of the reply: one of HTTPStatusCode, HTTPReasonPhrase,
// RedirectionTarget, ConnectionEncrypted, OriginalContentLength, HTTP2WasUsed, or a
// UserAttribute, for which UserAttribute.OfReply returns it. The value must have the type of
// the attribute. Without HTTPStatusCode the reply has no status. A status from 400 on fails
// the reply with the code that it has in HTTP, after the body.
func (w ReplyWriter) SetAttribute(a AttributeKey, value any) error {
	const method = "SetAttribute"
	last := beforeHead
	if isNil(a) {
		return &UsageError{method, "a nil attribute"}
	}
	if _, user := a.(interface{ ofRequest() }); user {
		last = inBody
	}
	if err := w.w.lock(method, last); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	if reason := a.setBy(w.w, value); reason != "" {
		return &UsageError{method, a.String() + ": " + reason}
	}
	return nil
}

// HeaderKey is a KnownHeader, as a key of SetHeader.
type HeaderKey interface {
	setIn(h *Headers, value any) (reason string)
}

// SetHeader sets a header field to a typed value, such as ContentLengthHeader to an int64. The
// value must have the type of the field.
func (w ReplyWriter) SetHeader(k HeaderKey, value any) error {
	const method = "SetHeader"
	if isNil(k) {
		return &UsageError{method, "a nil header"}
	}
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	h := w.w.fields.Clone()
	if reason := k.setIn(&h, value); reason != "" {
		return &UsageError{method, reason}
	}
	return w.w.setFields(method, h)
}

// SetRawHeader sets a header field to a text. An empty value removes the field (rule H22).
func (w ReplyWriter) SetRawHeader(name, value string) error {
	const method = "SetRawHeader"
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	h := w.w.fields.Clone()
	if value == "" {
		h.Del(name)
	} else {
		h.Set(name, value)
	}
	return w.w.setFields(method, h)
}

// SetHeaders replaces all header fields.
func (w ReplyWriter) SetHeaders(h Headers) error {
	const method = "SetHeaders"
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	return w.w.setFields(method, h.Clone())
}

// setFields stores the header fields if they are valid. The caller holds the lock.
func (w *replyWriter) setFields(method string, h Headers) error {
	length, err := checkFields(h)
	if err != nil {
		return &UsageError{method, err.Error()}
	}
	w.fields, w.head.length = h, length
	return nil
}

// checkFields returns the Content-Length of h, -1 for none, or what is invalid in h.
func checkFields(h Headers) (length int64, err error) {
	if err := validateHeaders(h); err != nil {
		return -1, errors.Unwrap(err)
	}
	if !h.Has("Content-Length") {
		return -1, nil
	}
	n, ok := ContentLengthHeader.Get(h)
	if !ok || n < 0 {
		return -1, &FieldError{Field: "value of header Content-Length", Reason: "not a decimal number"}
	}
	return n, nil
}

// SetTrailers sets the trailer fields of the reply, until its end.
func (w ReplyWriter) SetTrailers(h Headers) error {
	const method = "SetTrailers"
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	if err := validateHeaders(h); err != nil {
		return &UsageError{method, errors.Unwrap(err).Error()}
	}
	t := h.Clone()
	w.w.trailers = &t
	return nil
}

// SetOperation sets what Reply.Operation and Reply.Method return. CustomOperation is possible
// only for a request whose method is a custom one.
func (w ReplyWriter) SetOperation(o Operation) error {
	const method = "SetOperation"
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	name := methodOf(o)
	if o == CustomOperation && operationOf(w.w.request.Method) == CustomOperation {
		name = w.w.request.Method
	}
	if name == "" {
		return &UsageError{method, o.String() + " has no method"}
	}
	r := w.w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.method = name
	}
	return nil
}

// methodOf is the method of an operation, "" for those that have none.
func methodOf(o Operation) string {
	switch o {
	case HeadOperation:
		return http.MethodHead
	case GetOperation:
		return http.MethodGet
	case PutOperation:
		return http.MethodPut
	case PostOperation:
		return http.MethodPost
	case DeleteOperation:
		return http.MethodDelete
	case UnknownOperation, CustomOperation:
	}
	return ""
}

// SetRequest sets what Reply.Request returns, to a copy. It does not change what is sent.
func (w ReplyWriter) SetRequest(q *Request) error {
	const method = "SetRequest"
	if q == nil {
		return &UsageError{method, "a nil Request"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	r := w.w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.more().request = q.Clone()
	}
	return nil
}

// SetURL sets what Reply.URL returns, to a copy.
func (w ReplyWriter) SetURL(u *url.URL) error {
	const method = "SetURL"
	if u == nil {
		return &UsageError{method, "a nil URL"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	to := *u
	w.w.r.setURL(&to)
	return nil
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

// MetaDataChanged makes the head visible and emits the signal of that name (rule S44). Write
// calls it if it was not called before.
func (w ReplyWriter) MetaDataChanged() error { return w.w.MetaDataChanged() }

func (w *replyWriter) MetaDataChanged() error {
	if err := w.lock("MetaDataChanged", beforeHead); err != nil {
		return err
	}
	w.stage = inBody
	w.stopHeadTimer()
	h := w.finalHead()
	secure := w.secure
	w.mu.Unlock()
	r := w.r
	if secure != nil {
		r.mu.Lock()
		if r.state == running {
			r.secure = *secure
		}
		r.mu.Unlock()
	}
	r.showHead(h)
	if over := int64(r.req.MaxBodySize); over > 0 && h.length > over && !h.noBody {
		return w.fail(&SizeLimitError{bodySize, over, h.length})
	}
	(*watch)(r).Enter(flow.Body)
	w.rate.Begin()
	return nil
}

// finalHead completes the head. The caller holds the lock.
func (w *replyWriter) finalHead() head {
	h := &w.head
	h.status = w.status
	if h.status != 0 {
		h.raw = "HTTP/1.1 " + strconv.Itoa(h.status) + " " + w.reason
	}
	h.noBody = w.request.Method == http.MethodHead || h.status == http.StatusNoContent || h.status == http.StatusNotModified
	fields := w.fields
	if h.decoded {
		fields.Del("Content-Length")
		h.length = -1
	}
	h.fields = &fields
	return *h
}

// Write adds bytes to the body. It waits while the read buffer is full
// (Request.ReadBufferSize). For a HEAD request the bytes are dropped. More bytes than
// Content-Length are a *UsageError; more than Request.MaxBodySize fail the reply.
func (w ReplyWriter) Write(p []byte) (n int, err error) {
	const method = "Write"
	if err := w.w.beginWrite(method); err != nil {
		return 0, err
	}
	defer w.w.endWrite()
	if w.w.head.noBody {
		return len(p), nil
	}
	for n < len(p) {
		space, err := w.w.room(method)
		if err != nil {
			return n, err
		}
		k := copy(space, p[n:])
		w.w.r.pipe.Fill(k)
		n += k
	}
	return n, nil
}

// ReadFrom adds everything that src returns to the body, like Write. It reads straight into
// the read buffer.
func (w ReplyWriter) ReadFrom(src io.Reader) (n int64, err error) {
	const method = "ReadFrom"
	if isNil(src) {
		return 0, &UsageError{method, "a nil reader"}
	}
	if err := w.w.beginWrite(method); err != nil {
		return 0, err
	}
	defer w.w.endWrite()
	if w.w.head.noBody {
		return 0, nil
	}
	for empty := 0; empty < maxEmptyReads; empty++ {
		if left, _ := w.w.allowance(method); left == 0 { // there must be no more than that
			k, err := src.Read(w.w.r.pipe.Scratch())
			switch {
			case k > 0:
				return n, w.w.exceeded(method)
			case err == io.EOF:
				return n, nil
			case err != nil:
				return n, err
			}
			continue
		}
		space, err := w.w.room(method)
		if err != nil {
			return n, err
		}
		k, err := src.Read(space)
		w.w.r.clock.Touch()
		w.w.r.pipe.Fill(k)
		n += int64(k)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		case k > 0:
			empty = 0
		}
	}
	return n, io.ErrNoProgress
}

// maxEmptyReads is how often a source may return neither bytes nor an error.
const maxEmptyReads = 100

// beginWrite emits the head if necessary, and claims the body for one call; endWrite must
// follow if it succeeds.
func (w *replyWriter) beginWrite(method string) error {
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	if w.busy {
		w.mu.Unlock()
		return &UsageError{method, overlapping}
	}
	w.busy = true
	first := w.stage == beforeHead
	w.mu.Unlock()
	var err error
	if first {
		err = w.MetaDataChanged()
	}
	if err == nil && w.head.noBody && w.request.Method != http.MethodHead {
		err = &UsageError{method, noBodyHere}
	}
	if err != nil {
		w.endWrite()
	}
	return err
}

func (w *replyWriter) endWrite() {
	w.mu.Lock()
	w.busy = false
	w.mu.Unlock()
}

// room waits for space in the read buffer, at most as much as the body may still have.
func (w *replyWriter) room(method string) ([]byte, error) {
	r := w.r
	left, bounded := w.allowance(method)
	if left == 0 {
		return nil, w.exceeded(method)
	}
	hint := int64(-1)
	if bounded {
		hint = left
	}
	space, err := r.pipe.Room(hint, r.clock)
	switch {
	case r.ctx.Err() != nil:
		return nil, w.ended()
	case err == pipe.ErrEnded:
		return nil, &UsageError{method, afterEnd}
	case err != nil:
		return nil, err
	case bounded && int64(len(space)) > left:
		space = space[:left]
	}
	return space, nil
}

// allowance is how many more bytes the body may have, if that is bounded. The head does not
// change any more.
func (w *replyWriter) allowance(method string) (left int64, bounded bool) {
	left = -1
	got := w.r.pipe.Received()
	if w.head.length >= 0 {
		left = w.head.length - got
	}
	if limit := w.r.req.MaxBodySize; limit > 0 && (left < 0 || limit-got < left) {
		left = limit - got
	}
	return left, left >= 0
}

// exceeded is the error of more bytes than allowance.
func (w *replyWriter) exceeded(method string) error {
	if limit := w.r.req.MaxBodySize; limit > 0 && w.r.pipe.Received() == limit && w.head.length < 0 {
		return w.fail(&SizeLimitError{bodySize, limit, -1})
	}
	return &UsageError{method, "more bytes than the Content-Length of " + strconv.FormatInt(w.head.length, 10)}
}

// Redirect redirects the reply to another URL, which may be relative, with one of the
// statuses 301, 302, 303, 307 and 308 (rules R4 to R23): Serve should return afterwards. The
// reply continues at the server of the target, which has the scheme of the request, http or
// https. Under ManualRedirectPolicy it does not: the redirect is the final response, and may
// have a body. A redirect that the policy or the program refuses fails the reply, with the
// returned *Error.
func (w ReplyWriter) Redirect(location string, status int) error {
	return w.w.redirect(location, status)
}

func (w *replyWriter) redirect(location string, status int) error {
	const method = "Redirect"
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		return &UsageError{method, strconv.Itoa(status) + " is not the status of a redirect"}
	}
	if err := w.lock(method, beforeHead); err != nil {
		return err
	}
	fields := w.fields.Clone()
	fields.Set("Location", location)
	if err := w.setFields(method, fields); err != nil {
		w.mu.Unlock()
		return err
	}
	r := w.r
	from := w.request.URL
	plan := httpurl.PlanRedirect(status, []string{location}, from, w.request.Method, httpurl.Rules{
		Policy: r.req.RedirectPolicy.rules(), Left: r.req.maxRedirects() - int(r.hops), Upgrade: r.m.flow.Upgrade, Scheme: from.Scheme,
	})
	w.status, w.head.target, w.head.final = status, plan.Target, !plan.Redirect
	if plan.Redirect && plan.Refusal == nil {
		w.head.target = nil
	}
	w.mu.Unlock()
	if err := w.MetaDataChanged(); err != nil || !plan.Redirect {
		return err
	}
	if plan.Refusal != nil {
		return w.fail(plan.Refusal)
	}
	if plan.SendBody && w.upload.used() && !w.payload.Rewindable {
		(*watch)(r).Refused(plan.Target)
		return w.fail(&flow.Error{Kind: flow.NotResent, Err: flow.ErrNotRewindable})
	}
	follow := (*watch)(r).Redirect(&flow.Redirection{From: from, To: plan.Target, Status: status, Method: plan.Method}, func() {})
	switch {
	case r.ctx.Err() != nil:
		return w.ended()
	case !follow:
		return w.fail(&flow.Error{Kind: flow.RedirectDenied, Err: errors.New("redirect denied")})
	}
	if !plan.SendBody && w.payload != nil {
		(*watch)(r).Uploads(nil)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage != over {
		w.stage = moved
		w.next = &onward{flow.NextHeaders(w.request.Headers.Clone(), r.req.SecretHeaders, plan), plan.SendBody, plan.SameOrigin, w.told}
	}
	return nil
}

// counts are the signals of a reply that backends have emitted, of the kinds that do not
// conflate: the channels are that large.
type counts struct{ connecting, encrypted, sent, interims, questions int }

// maxTold bounds each of counts except questions.
const maxTold = flow.MaxInterim

// tell counts a signal, and returns an error if it must not be emitted.
func (w *replyWriter) tell(method string, n *int, limit int) error {
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if *n == limit {
		return &UsageError{method, "called more than " + strconv.Itoa(limit) + " times for one reply"}
	}
	*n++
	return nil
}

// SocketStartedConnecting emits the signal of that name (rule S41).
func (w ReplyWriter) SocketStartedConnecting() error {
	const method = "SocketStartedConnecting"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.connecting, maxTold)
	if err == nil {
		(*watch)(w.w.r).Connecting()
	}
	return err
}

// Encrypted emits the signal of that name (rule S43), and sets what Reply.SSLConfiguration
// tells about the connection.
func (w ReplyWriter) Encrypted(state tls.ConnectionState) error {
	const method = "Encrypted"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.encrypted, maxTold)
	if err == nil {
		(*watch)(w.w.r).Encrypted(&state)
	}
	return err
}

// RequestSent emits the signal of that name (rule S42).
func (w ReplyWriter) RequestSent() error {
	const method = "RequestSent"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.sent, maxTold)
	if err == nil {
		(*watch)(w.w.r).Sent()
	}
	return err
}

// InformationalReceived emits the signal of that name, for an interim response with a status
// from 100 to 199.
func (w ReplyWriter) InformationalReceived(status int, h Headers) error {
	const method = "InformationalReceived"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	if status < 100 || status > 199 {
		return &UsageError{method, strconv.Itoa(status) + " is not the status of an interim response"}
	}
	err := w.w.tell(method, &w.w.told.interims, flow.MaxInterim)
	if err == nil {
		w.w.r.emit(sigInformational, 0, 0, &Informational{status, h.Clone()})
	}
	return err
}

// Progress emits DownloadProgress, at most every 100 ms; total is -1 if unknown. It is for
// progress before there are bytes of the body, which report theirs themselves (rule P2).
func (w ReplyWriter) Progress(received, total int64) error {
	const method = "Progress"
	if received < 0 || total < -1 {
		return &UsageError{method, "negative; only an unknown total is -1"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	w.w.mu.Unlock()
	w.w.r.downloaded(received, total)
	return nil
}

// AuthenticationRequired asks for a user name and a password (Qt: authenticationRequired). q
// must be new; an empty URL becomes that of the request. The error of a question that was
// not answered fails the reply with AuthenticationRequiredError, if Serve returns it.
func (w ReplyWriter) AuthenticationRequired(q *Authenticator) (user, password string, err error) {
	const method = "AuthenticationRequired"
	if err = w.w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.w.resumeHead()
	w.w.completeQuestion(q)
	r := w.w.r
	r.ask(sigAuthentication, q, r.req.waitsFor(AskAuthentication), nil)
	return w.w.password(q, AuthenticationRequiredError, "Host requires authentication")
}

// ProxyAuthenticationRequired asks for a user name and a password for a proxy (Qt:
// proxyAuthenticationRequired), like AuthenticationRequired; the code of its error is
// ProxyAuthenticationRequiredError.
func (w ReplyWriter) ProxyAuthenticationRequired(q *ProxyAuthenticator) (user, password string, err error) {
	const method = "ProxyAuthenticationRequired"
	if q != nil && q.Authenticator == nil {
		q = nil
	}
	if err = w.w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.w.resumeHead()
	w.w.completeQuestion(q.Authenticator)
	r := w.w.r
	r.ask(sigProxyAuthentication, q, r.req.waitsFor(AskProxyAuthentication), nil)
	return w.w.password(q.Authenticator, ProxyAuthenticationRequiredError, "Proxy requires authentication")
}

// SSLErrors reports certificate flaws (Qt: sslErrors), and returns nil if they are ignored, by
// the Request or by an answer. q must be new. The error of flaws that are not ignored fails
// the reply with SslHandshakeFailedError, if Serve returns it.
func (w ReplyWriter) SSLErrors(q *SSLErrors) error {
	const method = "SSLErrors"
	if err := w.w.beginQuestion(method, q); err != nil {
		return err
	}
	defer w.w.resumeHead()
	if !w.w.r.askSSLErrors(q) {
		if w.w.r.ctx.Err() != nil {
			return w.w.ended()
		}
		return classify(&backendError{&CertificateError{Errors: q.Errors, Chain: q.Chain, host: q.Host}}, PhaseTLS, q.Host)
	}
	if s, ok := w.w.b.(SSLErrorsIgnorer); ok && !q.Ignored {
		s.IgnoreSSLErrors(&w.w.request, q.Errors)
	}
	return nil
}

// PreSharedKeyAuthenticationRequired asks for a pre-shared key (Qt:
// preSharedKeyAuthenticationRequired). q must be new. The error of a question that was not
// answered fails the reply with SslHandshakeFailedError, if Serve returns it.
func (w ReplyWriter) PreSharedKeyAuthenticationRequired(q *PreSharedKeyAuthenticator) (identity, key []byte, err error) {
	const method = "PreSharedKeyAuthenticationRequired"
	if err := w.w.beginQuestion(method, q); err != nil {
		return nil, nil, err
	}
	defer w.w.resumeHead()
	r := w.w.r
	r.ask(sigPreSharedKey, q, r.req.waitsFor(AskPreSharedKey), nil)
	if identity, key, ok := q.Answer(); ok {
		return identity, key, nil
	}
	if r.ctx.Err() != nil {
		return nil, nil, w.w.ended()
	}
	return nil, nil, classify(&backendError{fmt.Errorf("%w: %w", SslHandshakeFailedError, errNoKey)}, PhaseTLS, "")
}

// beginQuestion checks a question and counts it. The time of the answer does not count for
// HeadTimeout; resumeHead must follow.
func (w *replyWriter) beginQuestion(method string, q Question) error {
	switch {
	case w == nil:
		return &UsageError{method, notMade}
	case isNil(q):
		return &UsageError{method, "a nil question"}
	case !q.decisionOf().isNew():
		return &UsageError{method, "a question that was asked or answered before"}
	}
	if err := w.tell(method, &w.told.questions, flow.MaxQuestions); err != nil {
		return err
	}
	w.mu.Lock()
	w.stopHeadTimer()
	w.mu.Unlock()
	return nil
}

// completeQuestion fills in the URL of a question.
func (w *replyWriter) completeQuestion(q *Authenticator) {
	if q.URL == nil {
		q.URL = w.r.URL()
	}
	bare := *q.URL
	bare.User = nil
	q.URL = &bare
}

// password returns the answer to a question for a password.
func (w *replyWriter) password(q *Authenticator, code NetworkError, text string) (string, string, error) {
	if a := q.answer.Load(); a != nil {
		return a.User, a.Password, nil
	}
	if w.r.ctx.Err() != nil {
		return "", "", w.ended()
	}
	return "", "", &Error{Code: code, Phase: PhaseHeaders, Text: text}
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

// backendBody is the request body for a Backend. It is opened by the first Read.
type backendBody struct {
	w *replyWriter

	mu     sync.Mutex
	src    io.ReadCloser
	err    error
	opened atomic.Bool
}

func (b *backendBody) Read(p []byte) (int, error) {
	src, err := b.open()
	if err != nil {
		return 0, err
	}
	n, err := src.Read(p)
	b.w.resumeHead()
	var source *wire.SourceError
	if errors.As(err, &source) {
		err = bodyFailure("reading the body", source.Err)
	}
	return n, err
}

// open returns the source. The wait for its bytes does not count for HeadTimeout.
func (b *backendBody) open() (io.Reader, error) {
	w := b.w
	if err := w.lock("Read of the body", moved); err != nil {
		return nil, err
	}
	w.stopHeadTimer()
	w.mu.Unlock()
	b.mu.Lock()
	src, err := b.src, b.err
	b.mu.Unlock()
	if src != nil || err != nil {
		return src, err
	}
	b.opened.Store(true)
	src, err = flow.OpenBody(w.r.ctx, w.payload, w.r.clock, (*watch)(w.r))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.err = bodyFailure("opening the body", err)
	case b.err != nil: // closed meanwhile
		src.Close()
	default:
		b.src = src
	}
	return b.src, b.err
}

// close ends a running Read, and closes the source.
func (b *backendBody) close() {
	b.mu.Lock()
	src := b.src
	b.src, b.err = nil, &UsageError{"Read of the body", afterEnd}
	b.mu.Unlock()
	if src != nil {
		src.Close()
	}
}

// used reports whether something may have been read.
func (b *backendBody) used() bool { return b != nil && b.opened.Load() }
