package flow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/headers"
)

// Transfer is what is done for one request: the side of a reply that the program does not
// see. All of it belongs to the goroutine that runs it, but for interims and what mu guards.
type Transfer struct {
	// Clock is of the peer's silence, nil where there is no limit to that. Rate is nil where
	// no least rate is wanted.
	Clock *Clock
	Rate  *RateGuard

	Request

	w     Watcher
	e     *Engine
	ctx   context.Context
	wctx  context.Context // of the requests on the wire
	trace httptrace.ClientTrace

	url        *url.URL // of the hop, with its user information
	method     string
	headers    headers.Headers
	payload    *Payload
	upload     *upload
	memorySent int64 // length of a body that goes out in one piece
	interims   atomic.Int32
	questions  int32 // that were asked
	decode     bool  // content codings are ours to take off
	ownRefused bool  // the program has answered in the place of the URL's password

	mu   sync.Mutex // guards the timers of response heads
	head Head       // the last one

	// The first ones, which most transfers do with.
	hop     Hop
	first   exchange
	request http.Request
}

// NewTransfer makes a transfer that ends with ctx. Its Request is to be filled in before Begin.
func (e *Engine) NewTransfer(ctx context.Context, w Watcher) *Transfer {
	return &Transfer{w: w, e: e, ctx: ctx}
}

// Begin sends the request on its way, and gives the final response, with its content codings
// taken off. Close must follow, once its body is closed. The context's cause is the error
// where that has ended the transfer; see Error for the others.
func (t *Transfer) Begin() (*http.Response, error) {
	if err := t.start(); err != nil {
		return nil, err
	}
	return t.hop.run(t.e.steps)
}

// start makes the first request. It is apart from Begin to leave that a small stack.
//
//go:noinline
func (t *Transfer) start() error {
	t.trace.Got1xxResponse = t.interim // the one thing net/http tells only there
	t.wctx = httptrace.WithClientTrace(t.ctx, &t.trace)
	t.w.Enter(Headers)
	t.url, t.method, t.headers, t.payload = t.URL, t.Method, t.Request.Headers, t.Payload
	t.decode = asksForCodings(t.headers)
	req, err := t.newRequest(t.method, t.url)
	t.hop = Hop{t: t, e: t.e, req: req, redirects: t.MaxRedirects}
	return err
}

// Close lets go of the request body.
func (t *Transfer) Close() {
	if t.upload != nil {
		t.upload.Close()
	}
}

// Bounds of what a server can make a transfer do.
const (
	MaxInterim   = 128 // interim responses
	MaxQuestions = 64  // that are asked
)

// mayAsk counts a question, and tells whether it may be asked.
func (t *Transfer) mayAsk() bool {
	ask := t.questions < MaxQuestions
	t.questions++
	return ask
}

// sameOrigin tells whether u is of the origin that the request was made for.
func (t *Transfer) sameOrigin(u *url.URL) bool { return t.e.SameOrigin(t.URL, u) }

// memoryLimit is the largest body that goes out in one piece with its head,
// without being watched on its way.
const memoryLimit = 16 << 10

// newRequest makes the request of one sending, with the body from its
// beginning.
func (t *Transfer) newRequest(method string, u *url.URL) (*http.Request, error) {
	req := t.bareRequest(method, u)
	t.setFields(req)
	if err := t.attachBody(req); err != nil {
		return nil, err
	}
	return req, nil
}

// bareRequest is apart from newRequest, as setFields is, to keep the stacks of both small.
//
//go:noinline
func (t *Transfer) bareRequest(method string, u *url.URL) *http.Request {
	req := &t.request // those behind it are on their own: this one may be in use still
	if req.Method != "" {
		req = new(http.Request)
	}
	*req = *(&http.Request{
		Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: t.headers.Get("Host"),
	}).WithContext(t.wctx)
	if u.Fragment != "" || u.User != nil || strings.Contains(u.Path, "/.") {
		req.URL = bareURL(u)
	}
	return req
}

// bareURL is what of a URL is sent: without dot segments (rule H38).
func bareURL(u *url.URL) *url.URL {
	bare := *u.ResolveReference(u)
	bare.Fragment, bare.RawFragment, bare.User = "", "", nil
	return &bare
}

//go:noinline
func (t *Transfer) setFields(req *http.Request) {
	req.Header = toMap(t.headers)
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = t.e.userAgent
	}
	if t.decode {
		req.Header["Accept-Encoding"] = acceptEncoding
	}
}

// attachBody gives a request its body, in the place of that of the sending before.
func (t *Transfer) attachBody(req *http.Request) (err error) {
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	p := t.payload
	t.memorySent = 0
	if p == nil {
		return nil
	}
	if p.MIME != "" && !t.headers.Has("Content-Type") {
		req.Header["Content-Type"] = []string{p.MIME}
		req.Header["Mime-Version"] = []string{"1.0"}
	}
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
	meter := &uploadMeter{w: t.w, clock: t.Clock, total: p.Size}
	t.w.Uploads(&meter.sent)
	if t.upload, err = newUpload(t.ctx, p, meter); err != nil {
		if errors.Is(err, ErrNotRewindable) {
			return &Error{Kind: NotResent, Err: err}
		}
		return &Error{Kind: BodySource, Err: err}
	}
	req.Body = t.upload
	return nil
}

// hashBody writes the request body to w, for a digest that covers it.
func (t *Transfer) hashBody(w io.Writer) error {
	p := t.payload
	if p == nil {
		return nil
	}
	if !p.Rewindable {
		return ErrNotRewindable
	}
	if t.upload != nil { // it may be reading still
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

// dropBody makes the requests to come have none.
func (t *Transfer) dropBody() {
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	t.payload = nil
	t.w.Uploads(nil)
}
