package flow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// Transfer is the execution of one request. It is used by the goroutine that runs it,
// except for interims and what mu guards.
type Transfer struct {
	// Clock measures the peer's silence; nil without such a limit. Rate is nil without a
	// minimum rate.
	Clock *Clock
	Rate  *RateGuard

	Request

	watcher Watcher
	e       *Engine
	ctx     context.Context
	wctx    context.Context // of the requests

	url                 *url.URL // URL of the hop, with its user information
	upload              *upload
	memorySent          int64 // length of a body that is sent in one piece from memory; else 0
	interims            atomic.Int32
	questions           int32 // number of questions asked
	decode              bool  // bodies are delivered decoded
	urlPasswordReplaced bool  // the program has replaced the URL's password
	refreshes           bool  // a stored response is to be validated even if it may be used
	fetchesAgain        bool  // in place of a request that was shared, and has failed
	fetchesRest         bool  // the cache is not used, since it has lost what is requested

	spareFields http.Header // empty, for the first request; nil for none

	mu   sync.Mutex // guards the timers of response heads
	head Head       // the last one

	// The first ones are part of the Transfer, to save allocations.
	hop     Hop
	first   exchange
	request http.Request
}

// NewTransfer makes a transfer that ends with ctx. Its Request must be filled in before
// Begin.
func (e *Engine) NewTransfer(ctx context.Context, w Watcher) *Transfer {
	t, _ := e.spares.Get().(*Transfer)
	if t == nil {
		t = new(Transfer)
	}
	e.Renew(t, ctx, w)
	return t
}

// Recycle keeps the memory of a transfer that has been closed for NewTransfer, if nothing refers
// to it any more. Nobody may use the transfer and its response any more.
func (e *Engine) Recycle(t *Transfer) {
	if t.Wipe() {
		e.spares.Put(t)
	}
}

// Wipe makes a transfer that has been closed one of which nothing is set, for Engine.Renew, and
// keeps memory for it. It returns false if anything may still refer to the transfer or its context,
// or if t is nil. Nobody may use the response any more.
func (t *Transfer) Wipe() bool {
	if t == nil || !t.plain() {
		return false
	}
	spare, ok := t.first.Spare()
	if !ok {
		return false
	}
	fields := t.request.Header
	clear(fields)
	*t = Transfer{spareFields: fields}
	t.first.Use(spare)
	return true
}

// Renew is NewTransfer in the memory of a transfer after Wipe.
func (e *Engine) Renew(t *Transfer, ctx context.Context, w Watcher) {
	t.watcher, t.e, t.ctx = w, e, ctx
}

// plain reports whether the transfer was one exchange with which only its connection had to do.
func (t *Transfer) plain() bool {
	h := &t.hop
	switch {
	case h.resp == nil, h.exchange != &t.first, len(h.resp.Header["Set-Cookie"]) > 0, t.head.Decoded, len(t.request.Header) > maxSpareFields:
		return false
	case t.upload != nil, h.cached != nil, h.login != nil, h.proxied != nil:
		return false
	}
	return t.Clock == nil && t.Rate == nil && t.first.timer == nil
}

// maxSpareFields is how many fields a map may have whose memory is kept, since a map never gets
// smaller.
const maxSpareFields = 64

// Begin sends the request and returns the final response, whose body is decoded. Close must
// be called after the response body was closed. If the context has ended the transfer, the
// error is its cause; see Error for the others.
func (t *Transfer) Begin() (*http.Response, error) {
	if err := t.start(); err != nil {
		return nil, err
	}
	return t.hop.run(t.e.steps)
}

// start makes the first request. It is not inlined, to keep the stack of Begin small.
//
//go:noinline
func (t *Transfer) start() error {
	t.wctx = t.ctx
	t.watcher.Enter(Headers)
	t.url = t.URL
	t.decode = !t.NoDecoding && asksForCodings(t.Headers)
	req, err := t.newRequest(t.Method, t.url)
	t.hop = Hop{t: t, e: t.e, req: req, redirects: int16(t.MaxRedirects)}
	return err
}

// Abandon takes the place of Close where a method of the Watcher has ended in a panic, or in
// runtime.Goexit, so that Begin has not returned. It closes the response as well.
func (t *Transfer) Abandon() {
	if t.hop.resp != nil {
		t.hop.resp.Body.Close()
	}
	t.Close()
}

// Resume counts what the Watcher was told and asked before the transfer, for MaxInterim and
// MaxQuestions. It must be called before Begin.
func (t *Transfer) Resume(interims, questions int) {
	t.interims.Store(int32(interims))
	t.questions = int32(questions)
}

// Close closes the request body and stops measuring.
func (t *Transfer) Close() {
	t.Rate.End()
	if t.upload != nil {
		t.upload.Close()
	}
	t.hop.cached.untie()
}

// Limits for what a server can cause.
const (
	MaxInterim   = 128 // interim responses
	MaxQuestions = 64  // questions to the program
)

// mayAsk counts a question, and reports whether it may be asked.
func (t *Transfer) mayAsk() bool {
	ask := t.questions < MaxQuestions
	t.questions++
	return ask
}

// sameOrigin reports whether u has the origin of the transfer's request.
func (t *Transfer) sameOrigin(u *url.URL) bool { return t.e.SameOrigin(t.URL, u) }

// memoryLimit is the largest body that is sent in one piece with the head, without upload
// progress in between.
const memoryLimit = 16 << 10

// newRequest makes the request of one exchange, with the body from its beginning.
func (t *Transfer) newRequest(method string, u *url.URL) (*http.Request, error) {
	req := t.bareRequest(method, u)
	t.setFields(req)
	if err := t.attachBody(req); err != nil {
		return nil, err
	}
	return req, nil
}

// bareRequest makes a request without fields and body. It and setFields are not inlined, to
// keep the stack of newRequest small.
//
//go:noinline
func (t *Transfer) bareRequest(method string, u *url.URL) *http.Request {
	req := &t.request // only for the first: later ones are allocated, since net/http may still use it
	if req.Method != "" {
		req = new(http.Request)
	}
	req.Method, req.URL, req.Host, req.Close = method, u, t.Headers.Get("Host"), t.Request.Close
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	setContext(req, t.wctx)
	if u.Fragment != "" || u.User != nil || !t.Verbatim && strings.Contains(u.Path, "/.") {
		req.URL = t.bareURL(u)
	}
	return req
}

// setContext is not inlined, since the copy takes stack.
//
//go:noinline
func setContext(req *http.Request, ctx context.Context) { *req = *req.WithContext(ctx) }

// bareURL is the part of a URL that is sent, without dot segments (rule H38).
func (t *Transfer) bareURL(u *url.URL) *url.URL {
	bare := *u
	if !t.Verbatim {
		bare = *u.ResolveReference(u)
	}
	bare.Fragment, bare.RawFragment, bare.User = "", "", nil
	return &bare
}

//go:noinline
func (t *Transfer) setFields(req *http.Request) {
	req.Header = toMap(t.spareFields, t.Headers)
	t.spareFields = nil
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = t.e.userAgent
	}
	if t.decode {
		req.Header["Accept-Encoding"] = acceptEncoding
	}
}

// attachBody sets the body of a request, and closes that of the previous one.
func (t *Transfer) attachBody(req *http.Request) (err error) {
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	p := t.Payload
	t.memorySent = 0
	if p == nil {
		return nil
	}
	t.describeBody(req.Header)
	req.ContentLength = p.Size
	if p.Size == 0 {
		req.Body = http.NoBody
		return nil
	}
	if p.Memory != nil && p.Size <= memoryLimit {
		t.memorySent = p.Size
		req.Body = io.NopCloser(bytes.NewReader(p.Memory[:p.Size]))
		return nil
	}
	meter := &uploadMeter{watcher: t.watcher, clock: t.Clock, total: p.Size}
	t.watcher.Uploads(&meter.sent)
	if t.upload, err = newUpload(t.ctx, p, meter); err != nil {
		if errors.Is(err, ErrNotRewindable) {
			return &Error{Kind: NotResent, Err: err}
		}
		return &Error{Kind: BodySource, Err: err}
	}
	req.Body, req.Trailer = t.upload, p.Trailer
	return nil
}

// describeBody sets the fields that describe the payload.
func (t *Transfer) describeBody(fields http.Header) {
	for _, f := range t.Payload.Fields(t.Headers) {
		for key := range fields {
			if strings.EqualFold(key, f.Name) {
				delete(fields, key)
			}
		}
		fields[f.Name] = []string{f.Value}
	}
}

// hashBody writes the request body to w, for Digest authentication with auth-int.
func (t *Transfer) hashBody(w io.Writer) error {
	p := t.Payload
	if p == nil {
		return nil
	}
	if !p.Rewindable {
		return ErrNotRewindable
	}
	if t.upload != nil { // its source may still be in use
		t.upload.Close()
		t.upload = nil
	}
	r, err := p.open(t.ctx)
	if err != nil {
		return err
	}
	defer r.close()
	if p.Size < 0 {
		_, err = io.Copy(w, &r)
	} else if _, err = io.CopyN(w, &r, p.Size); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// dropBody removes the body from the following requests.
func (t *Transfer) dropBody() {
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	t.Payload = nil
	t.watcher.Uploads(nil)
}
