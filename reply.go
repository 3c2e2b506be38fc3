package netreply

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/wire"
)

// Operation is the kind of a request (Qt: QNetworkAccessManager::Operation).
type Operation int

const (
	UnknownOperation Operation = iota
	HeadOperation
	GetOperation
	PutOperation
	PostOperation
	DeleteOperation
	CustomOperation // any other verb
)

func (o Operation) String() string {
	names := [...]string{"Unknown", "Head", "Get", "Put", "Post", "Delete", "Custom"}
	if o < 0 || int(o) >= len(names) {
		return "Unknown"
	}
	return names[o]
}

func operationOf(method string) Operation {
	switch method {
	case http.MethodHead:
		return HeadOperation
	case http.MethodGet:
		return GetOperation
	case http.MethodPut:
		return PutOperation
	case http.MethodPost:
		return PostOperation
	case http.MethodDelete:
		return DeleteOperation
	}
	return CustomOperation
}

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
	reqURL url.URL
	ctx    context.Context
	cancel context.CancelCauseFunc
	rctx   replyContext
	wctx   context.Context // of the requests on the wire
	trace  httptrace.ClientTrace

	// The transfer's own; nobody else looks at them.
	body       Body
	payload    *payload
	upload     *upload
	memorySent int64 // length of a body that goes out in one piece
	headers    Headers
	fresh      bool // the next sending wants a new connection
	interims   int
	exchange   *exchange
	direct     bool // the caller waits: see Manager.Fetch

	timeout time.Duration
	timer   *time.Timer
	moved   atomic.Int64 // when a byte last moved, since started
	started time.Time

	mu         sync.Mutex
	cond       sync.Cond // a reader for bytes, the transfer for room
	state      state
	err        *Error
	readErr    error // what reading ends in, instead of the buffered bytes
	whole      bool  // the body came to its proper end
	method     string
	url        *url.URL
	hops       int
	attached   bool         // an upload source is
	meter      *uploadMeter // of the sending that goes on
	encrypted  bool
	head       head
	trailers   Headers
	tls        *tls.ConnectionState
	localAddr  net.Addr
	remoteAddr net.Addr
	received   int64
	throttle   throttle
	buf        buffer
	loan       loan
	done       chan struct{} // made by the first Wait
	record     record

	prev, next *Reply // in the Manager's list
}

type state uint8

const (
	running state = iota
	ending        // the outcome is settled, and being told
	finished
)

// head is what the last response head said.
type head struct {
	status  int
	reason  string
	raw     string // the bytes of an HTTP/1 head that headers are still to be made of
	headers Headers
	length  int64 // of the body, -1 when not known
	noBody  bool  // none can follow
	http2   bool
	target  *url.URL
}

// run is the life of a reply: it sends, receives, and says how it ended.
func (r *Reply) run() {
	defer r.m.left(r)
	err := r.perform()
	r.stopTimeout()
	if r.upload != nil {
		r.upload.Close()
	}
	ended := r.ctx.Err() != nil
	if ended {
		// the reason the transfer was stopped for beats what the stop made others say
		err = whyEnded(r.ctx)
	}
	var e *Error
	if err != nil {
		e = classify(err, r.phase(), r.URL().Hostname())
	}
	r.end(e, ended)
	r.cancel(nil)
}

// phase is how far the transfer has come, for errors that do not say.
func (r *Reply) phase() Phase {
	switch {
	case r.exchange != nil:
		return PhaseBody
	case r.wctx != nil:
		return PhaseHeaders
	}
	return PhaseLocal
}

func (r *Reply) perform() error {
	if err := r.m.admit(&r.req); err != nil {
		return err
	}
	if err := r.req.validate(r.method); err != nil {
		return err
	}
	if r.body != nil {
		r.mu.Lock()
		r.attached = true
		r.mu.Unlock()
		var err error
		if r.payload, err = r.body.prepare(r.ctx, !r.req.DoNotBufferUploadData); err != nil {
			return err
		}
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	r.startTimeout()
	r.rctx = replyContext{r.ctx, r}
	r.trace.Got1xxResponse = r.interim // the one thing net/http tells only there
	r.wctx = httptrace.WithClientTrace(&r.rctx, &r.trace)
	r.headers = r.req.Headers
	req, err := r.newRequest(r.method, r.req.URL)
	if err != nil {
		return err
	}
	resp, err := r.m.pipeline.RoundTrip(req)
	if err != nil {
		return err
	}
	err = r.receive(resp)
	resp.Body.Close()
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.whole = true
	if len(resp.Trailer) > 0 {
		r.trailers = headersFrom(resp.Trailer, resp.ProtoMajor == 2)
	}
	h, u := r.head, r.url
	r.mu.Unlock()
	if statusError(h.status) != NoError {
		return statusFailure(h.status, h.reason, redact(u))
	}
	return nil
}

// memoryLimit is the largest body that goes out in one piece with its head,
// without being watched on its way.
const memoryLimit = 16 << 10

// newRequest makes the request of one sending, with the body from its
// beginning.
func (r *Reply) newRequest(method string, u *url.URL) (*http.Request, error) {
	req := (&http.Request{
		Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.headers.toMap(), Host: r.headers.Get("Host"),
	}).WithContext(r.wctx)
	if u.Fragment != "" || u.User != nil {
		bare := *u
		bare.Fragment, bare.RawFragment, bare.User = "", "", nil
		req.URL = &bare
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = r.m.userAgent
	}
	if r.upload != nil {
		r.upload.Close()
		r.upload = nil
	}
	p := r.payload
	r.memorySent = 0
	if p == nil {
		return req, nil
	}
	if p.mime != "" && !r.headers.Has("Content-Type") {
		req.Header["Content-Type"] = []string{p.mime}
		req.Header["Mime-Version"] = []string{"1.0"}
	}
	limit, err := p.limit(r.headers)
	if err != nil {
		return nil, err
	}
	req.ContentLength = limit
	if limit == 0 {
		req.Body = http.NoBody
		return req, nil
	}
	if p.memory != nil && limit <= memoryLimit {
		r.memorySent = limit
		req.Body = io.NopCloser(bytes.NewReader(p.memory[:limit]))
		return req, nil
	}
	meter := &uploadMeter{reply: r, total: limit}
	r.mu.Lock()
	r.meter = meter
	r.mu.Unlock()
	r.upload, err = newUpload(r.ctx, p, limit, meter)
	if err != nil {
		if errors.Is(err, errNotRewindable) {
			return nil, notAgain(err)
		}
		return nil, &Error{Code: UnknownNetworkError, Phase: PhaseLocal, Text: "Opening the body failed", Err: err}
	}
	req.Body = r.upload
	return req, nil
}

// notAgain is rule E23.
func notAgain(err error) error {
	return &Error{Code: ContentReSendError, Phase: PhaseSend, Text: "The body cannot be sent again", Err: err}
}

func (r *Reply) dropBody() {
	if r.upload != nil {
		r.upload.Close()
		r.upload = nil
	}
	r.payload = nil
	r.mu.Lock()
	r.attached, r.meter = false, nil
	r.mu.Unlock()
}

// setHead shows a response head. target is where it points to when that will not
// be followed.
func (r *Reply) setHead(resp *http.Response, target *url.URL) {
	x := r.exchange
	h := head{status: resp.StatusCode, length: resp.ContentLength, http2: resp.ProtoMajor == 2, target: target}
	h.noBody = resp.Request.Method == http.MethodHead || resp.StatusCode == 101 || resp.StatusCode == 204 || resp.StatusCode == 304
	if h.raw = x.Head; h.raw == "" {
		h.headers = headersFrom(resp.Header, h.http2)
	} else {
		_, h.reason, _ = strings.Cut(resp.Status, " ")
	}
	r.mu.Lock()
	if r.state == running {
		r.head = h
	}
	r.mu.Unlock()
}

// hop moves the reply to another URL. Of the last response only the status stays
// readable until the next one comes (rules R22 and R23).
func (r *Reply) hop(u *url.URL, method string) {
	r.exchange = nil
	r.mu.Lock()
	r.hops++
	r.url, r.method = u, method
	r.encrypted = u.Scheme == "https"
	r.head.target, r.head.raw, r.head.headers, r.head.length, r.head.noBody = nil, "", Headers{}, -1, false
	r.throttle.start(time.Now())
	r.mu.Unlock()
	r.startTimeout()
}

// receive carries the body from the connection to the buffer.
func (r *Reply) receive(resp *http.Response) error {
	if resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	first := true
	for {
		if over, err := r.lend(resp.Body); over {
			return err
		}
		space, err := r.room(resp.ContentLength)
		if err != nil {
			return err
		}
		n, err := resp.Body.Read(space)
		r.arrived(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first && n > 0 && !r.direct {
			// the reader was made ready on this processor: let it have the first
			// bytes before the next read keeps it waiting
			runtime.Gosched()
			first = false
		}
	}
}

// room waits until the buffer takes more, and lends a piece of it.
func (r *Reply) room(length int64) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf.full() && r.state == running {
		stop := context.AfterFunc(r.ctx, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.cond.Broadcast()
		})
		defer stop()
		for r.buf.full() && r.state == running && r.ctx.Err() == nil {
			r.cond.Wait()
		}
	}
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	if r.state != running || r.buf.dropped {
		return nil, errAborted
	}
	left := int64(-1)
	if length >= 0 {
		left = length - r.received
	}
	return r.buf.space(left), nil
}

// arrived takes the bytes of one read and announces them (rules P2 and S45).
func (r *Reply) arrived(n int) {
	if n > 0 {
		r.activity()
	}
	r.mu.Lock()
	r.buf.filled(n)
	if n == 0 || r.state != running {
		r.mu.Unlock()
		return
	}
	r.received += int64(n)
	r.cond.Broadcast()
	r.announce()
}

// announce tells of bytes that arrived. The caller holds the lock, which it gives
// up.
func (r *Reply) announce() {
	p := Progress{r.received, r.head.length}
	r.emitLocked(sigReadyRead, 0, 0, nil)
	r.mu.Lock()
	if r.state != running || !r.throttle.due(time.Now()) {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigDownloadProgress, p.Done, p.Total, nil)
}

// loan is the response body in the hands of a reader who takes all that comes:
// he reads it himself, which saves a hand-over and a copy for each piece. The
// transfer sleeps meanwhile. The reply's lock guards it.
type loan struct {
	wanted bool          // a WriteTo waits for bytes
	body   io.ReadCloser // lent
	over   bool          // the body came to its end, with err
	err    error
}

// lend gives the body to a WriteTo that waits for it, and returns when that is
// over or the transfer ends. over says that nothing is left to read.
func (r *Reply) lend(body io.ReadCloser) (over bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loan.wanted || r.buf.unread > 0 || r.state != running {
		return false, nil
	}
	r.loan.body = body
	r.cond.Broadcast()
	stop := context.AfterFunc(r.ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cond.Broadcast()
	})
	defer stop()
	for r.loan.body != nil && r.state == running && r.ctx.Err() == nil {
		r.cond.Wait()
	}
	if r.loan.body != nil { // the reader is still at it: closing the body stops him
		return true, context.Cause(r.ctx)
	}
	return r.loan.over, r.loan.err
}

// carry moves the lent body to w. The caller holds the lock and gets it back.
func (r *Reply) carry(w io.Writer) (total int64, writeErr error) {
	body := r.loan.body
	var c chunk
	c.alloc(largeChunk)
	defer c.free()
	for r.state == running {
		r.mu.Unlock()
		n, err := body.Read(c.data)
		if n > 0 {
			r.activity()
			r.mu.Lock()
			if r.state != running {
				break
			}
			r.received += int64(n)
			r.announce()
			var m int
			m, writeErr = w.Write(c.data[:n])
			total += int64(m)
			if writeErr == nil && m < n {
				writeErr = io.ErrShortWrite
			}
		}
		r.mu.Lock()
		if err != nil {
			r.loan.over = true
			if err != io.EOF {
				r.loan.err = err
			}
		}
		if err != nil || writeErr != nil {
			break
		}
	}
	r.loan.body = nil
	r.cond.Broadcast()
	return total, writeErr
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
	if e != nil {
		r.complete(e)
		r.err = e
	}
	if discard {
		r.discard(e)
	}
	if e != nil {
		r.emitLocked(sigError, int64(e.Code), 0, nil)
		r.mu.Lock()
	}
	r.state = finished
	p := finalProgress(r.received, r.head.length, r.head.noBody)
	if r.head.status == 0 {
		p.Total = p.Done
	}
	unsent := r.attached && !r.uploaded()
	r.cond.Broadcast()
	r.emitLocked(sigDownloadProgress, p.Done, p.Total, nil)
	if unsent {
		r.mu.Lock()
		r.emitLocked(sigUploadProgress, 0, 0, nil)
	}
	r.mu.Lock()
	if r.done != nil {
		close(r.done)
	}
	r.emitLocked(sigFinished, 0, 0, nil)
}

// uploaded tells whether any progress of the upload was told (D3).
func (r *Reply) uploaded() bool {
	for _, e := range r.record.entries {
		if e.kind == sigUploadProgress {
			return true
		}
	}
	return false
}

// complete adds to an error what the reply knows.
func (r *Reply) complete(e *Error) {
	e.Method, e.URL, e.Hop = r.method, redact(r.url), r.hops
	if e.StatusCode == 0 {
		e.StatusCode = r.head.status
	}
	e.Received = r.received
	if r.meter != nil && e.Sent == 0 {
		e.Sent = r.meter.sent.Load()
	}
	e.Retryable = r.retryable(e)
}

// retryable tells whether sending the request again is safe and may help.
func (r *Reply) retryable(e *Error) bool {
	switch e.Code {
	case OperationCanceledError, SslHandshakeFailedError, TooManyRedirectsError, InsecureRedirectError, BackgroundRequestNotAllowedError,
		ProxyAuthenticationRequiredError:
		return false // the same would happen again, or nobody wants it
	}
	if e.Code > 200 && e.Code < 400 && e.Code != ProtocolFailure {
		return false // the server has answered
	}
	switch e.Phase {
	case PhaseLocal:
		return e.Code == TimeoutError
	case PhaseResolve, PhaseConnect, PhaseProxy, PhaseTLS:
		return true // nothing was sent
	}
	return idempotent(r.method) || r.req.Idempotent
}

// discard takes the unread bytes away; reading ends in e. The caller holds the
// lock.
func (r *Reply) discard(e error) {
	r.buf.drop()
	if r.readErr == nil {
		r.readErr = e
	}
	r.cond.Broadcast()
}

// Abort stops the transfer at once: when it returns the reply is finished with
// OperationCanceledError and nothing can be read any more (rule S60). On a
// finished reply it does nothing, and the bytes that are unread stay so (S61).
func (r *Reply) Abort() { r.abort(errAborted) }

func (r *Reply) abort(cause error) {
	e := classify(cause, PhaseLocal, "")
	r.mu.Lock()
	if r.state == ending { // rule S62
		r.discard(r.err)
	}
	r.mu.Unlock()
	r.cancel(cause)
	r.end(e, true)
}

// Close stops what is still going on, like Abort, and gives the memory of
// unread bytes back; reading fails afterwards (D7). It returns nil.
func (r *Reply) Close() error {
	r.Abort()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readErr == nil {
		r.discard(fs.ErrClosed)
	}
	return nil
}

// Read waits for bytes of the body and takes them. It ends in io.EOF when the
// body came whole, whatever the status; Err has the code of a status that is an
// error. When the transfer failed it ends in that *Error, after the bytes that
// had come, and after Abort or Close at once.
func (r *Reply) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := r.await()
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	r.take(n)
	return n, nil
}

// await waits for unread bytes. The caller holds the lock.
func (r *Reply) await() ([]byte, error) {
	for {
		if r.readErr != nil {
			return nil, r.readErr
		}
		if data := r.buf.head(); len(data) > 0 {
			return data, nil
		}
		if r.state != running {
			if r.err != nil && !r.whole {
				return nil, r.err
			}
			return nil, io.EOF
		}
		if r.loan.wanted && r.loan.body != nil {
			return nil, errLent
		}
		r.cond.Wait()
	}
}

// errLent tells WriteTo that the body is its own to read.
var errLent = errors.New("body lent")

// take marks bytes as read. The caller holds the lock.
func (r *Reply) take(n int) {
	full := r.buf.full()
	r.buf.consumed(n)
	if full && !r.buf.full() {
		r.cond.Broadcast()
	}
	if r.state == finished {
		r.buf.drain()
	}
}

// WriteTo writes the body to w as it arrives, without copying it on the way. It
// returns what Read would have ended in, nil for io.EOF.
func (r *Reply) WriteTo(w io.Writer) (int64, error) {
	var total int64
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		r.loan.wanted = true
		data, err := r.await()
		r.loan.wanted = false
		if err == errLent {
			n, err := r.carry(w)
			total += n
			if err != nil {
				return total, err
			}
			continue
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		r.buf.lent = true
		r.mu.Unlock()
		n, err := w.Write(data)
		r.mu.Lock()
		r.buf.lent = false
		total += int64(n)
		r.take(n)
		if err == nil && n < len(data) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// ReadAll waits for the end of the reply and returns what is unread of its
// body, with Err: the body of a 404 comes along with ContentNotFoundError.
func (r *Reply) ReadAll() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for r.state != finished && r.readErr == nil {
		if r.buf.limit > 0 {
			if data := r.buf.head(); len(data) > 0 {
				all = append(all, data...)
				r.take(len(data))
				continue
			}
		}
		r.cond.Wait()
	}
	switch {
	case r.readErr != nil:
		return nil, r.readErr
	case all == nil:
		all = r.buf.whole()
	default:
		all = append(all, r.buf.whole()...)
	}
	if r.err != nil {
		return all, r.err
	}
	return all, nil
}

// Peek copies bytes that are there already without taking them, and never
// waits.
func (r *Reply) Peek(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	if r.readErr != nil {
		return 0
	}
	for _, c := range r.buf.chunks {
		n += copy(p[n:], c.data[c.r:c.w])
	}
	return n
}

// BytesAvailable is how many bytes can be read without waiting.
func (r *Reply) BytesAvailable() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.unread
}

// ReadBufferSize is the number of unread bytes at which the peer is stopped; 0
// means no limit.
func (r *Reply) ReadBufferSize() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.limit
}

// SetReadBufferSize changes that number, from the next read on; 0 or less
// lifts the limit (rule B4).
func (r *Reply) SetReadBufferSize(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.limit = max(0, n)
	r.cond.Broadcast()
}

// Wait returns when the reply is finished, with Err, or when ctx ends, with its
// error.
func (r *Reply) Wait(ctx context.Context) error {
	r.mu.Lock()
	if r.state != finished && r.done == nil {
		r.done = make(chan struct{})
	}
	done := r.done
	r.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return r.Err()
}

// Err is nil while the reply runs and when it succeeded; otherwise it is an
// *Error.
func (r *Reply) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return r.err
}

// ErrorString is Qt's text for Err, empty when there is none.
func (r *Reply) ErrorString() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return ""
	}
	return r.err.Text
}

// IsFinished tells whether the reply is over. It is true from the last
// DownloadProgress on (rule S3).
func (r *Reply) IsFinished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == finished
}

// IsRunning is the opposite of IsFinished.
func (r *Reply) IsRunning() bool { return !r.IsFinished() }

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

// Request is a copy of the request as it was submitted, with the Manager's
// defaults filled in.
func (r *Reply) Request() *Request { return r.req.Clone() }

// Manager is where the reply comes from.
func (r *Reply) Manager() *Manager { return r.m }

// Operation is the kind of the last hop's request; a redirect may change it.
func (r *Reply) Operation() Operation { return operationOf(r.Method()) }

// Method is the verb of the last hop's request.
func (r *Reply) Method() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.method
}

// StatusCode is the status of the last response head, 0 before one came.
func (r *Reply) StatusCode() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head.status
}

// ContentLength is the length of the body as the head tells it, -1 when it does
// not.
func (r *Reply) ContentLength() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head.status == 0 {
		return -1
	}
	return r.head.length
}

// Headers are the fields of the last response head, on HTTP/1 in the order and
// spelling of the wire (rule H20).
func (r *Reply) Headers() Headers {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head.raw != "" {
		// most replies are never asked: their heads are not taken apart
		_, r.head.headers.fields = wire.ParseHead(r.head.raw)
		r.head.raw = ""
	}
	return r.head.headers.Clone()
}

// Trailers are the fields behind the body (RFC 9110, section 6.5); they are
// there once the reply is finished.
func (r *Reply) Trailers() Headers {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trailers.Clone()
}

// HasRawHeader tells whether the response has a field of that name.
func (r *Reply) HasRawHeader(name string) bool { return r.Headers().Has(name) }

// RawHeader joins the values of a field as rule H25 says.
func (r *Reply) RawHeader(name string) string { return r.Headers().raw(name) }

// RawHeaderList gives each name once, where it stood last (rule H26).
func (r *Reply) RawHeaderList() []string {
	var names []string
	for _, f := range r.Headers().merged() {
		names = append(names, f.Name)
	}
	return names
}

// RawHeaderPairs gives each name once with its joined values.
func (r *Reply) RawHeaderPairs() [][2]string {
	var pairs [][2]string
	for _, f := range r.Headers().merged() {
		pairs = append(pairs, [2]string{f.Name, f.Value})
	}
	return pairs
}

// LocalAddr and RemoteAddr are the ends of the connection that carried the last
// hop; nil before there was one.
func (r *Reply) LocalAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.localAddr
}

// RemoteAddr is the other end; see LocalAddr.
func (r *Reply) RemoteAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remoteAddr
}

// activity says that a byte moved.
func (r *Reply) activity() {
	if r.timeout > 0 {
		r.moved.Store(int64(time.Since(r.started)))
	}
}

// startTimeout arms the transfer timeout anew (rules N31 to N33).
func (r *Reply) startTimeout() {
	if r.timeout <= 0 {
		return
	}
	r.activity()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.timeout, r.checkTimeout)
	} else {
		r.timer.Reset(r.timeout)
	}
}

// checkTimeout runs when the timer fires: bytes that moved meanwhile put it off.
func (r *Reply) checkTimeout() {
	idle := time.Since(r.started) - time.Duration(r.moved.Load())
	if idle < r.timeout {
		r.mu.Lock()
		if r.state == running && r.timer != nil {
			r.timer.Reset(r.timeout - idle)
		}
		r.mu.Unlock()
		return
	}
	r.cancel(errTransferTimeout)
}

// stopTimeout holds the clock, at the end or while somebody decides.
func (r *Reply) stopTimeout() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
}

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Reply)(nil)
