package netreply

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// maxRepeats is how often one hop is sent again by itself (D33).
const maxRepeats = 3

// The retry step sends a request again when its connection broke in a way that cannot have
// made the server act, or may make it act twice without harm.
func beforeRetry(h *hop) error {
	h.fresh, h.repeated, h.repeats, h.refusal = false, false, 0, nil
	return nil
}

func afterRetry(h *hop) (again bool) {
	t := h.t
	if h.refusal != nil && nothingSent(h.err) && t.ctx.Err() == nil {
		h.err = h.refusal
		return false
	}
	if h.repeats == maxRepeats || t.ctx.Err() != nil || h.session.Bound() {
		return false
	}
	if h.exchange != nil && h.exchange.accepted && !h.exchange.Begun() {
		// the program has accepted a certificate when the handshake did not wait any more
		h.repeated = true
		return true
	}
	if h.err == nil {
		again := t.withoutExpectation(h.req, h.resp)
		if again == nil {
			return false
		}
		h.req = again
		h.repeats++
		return true
	}
	if flow.AsksForHTTP11(h.err) && t.q.HTTP == HTTPAny {
		if addr, addrErr := httpurl.Address(h.req.URL); addrErr == nil {
			h.m.http11.Add(h.req.URL.Scheme, addr)
		}
		h.fresh = false
	} else if mayRepeat(h.err, t.q.idempotent(h.req.Method)) {
		// a stream that was refused may do on the same connection, anything else
		// wants a new one
		var we *wire.Error
		h.fresh = errors.As(h.err, &we) && we.Fault != wire.Reset
		if we.Fault == wire.GoAway {
			h.refusal = h.err
		}
	} else {
		return false
	}
	h.repeated = true
	req, err := t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		h.err = err
		return false
	}
	req.Header = h.req.Header
	h.req = req
	h.repeats++
	return true
}

// nothingSent tells whether a request failed before anything of it could reach the server,
// and without a word of that: then what it has said before says more.
func nothingSent(err error) bool {
	var we *wire.Error
	if !errors.As(err, &we) {
		return false
	}
	switch we.Phase {
	case wire.Resolve, wire.Connect, wire.TLS, wire.Proxy:
		return true
	}
	return we.Unprocessed && we.Fault == wire.Closed
}

// mayRepeat is rule D33. What a connection used before brings instead of a response is the
// rest of another exchange, and as good as nothing.
func mayRepeat(err error, idempotent bool) bool {
	var we *wire.Error
	if !errors.As(err, &we) {
		return false
	}
	return we.Unprocessed ||
		we.Reused && !we.Began && (we.Fault == wire.Closed || we.Stray) && (we.Phase == wire.Send || we.Phase == wire.Headers) &&
			(we.Sent == 0 || idempotent)
}

// send hands the request to the wire and tells the reply what becomes of it.
func (h *hop) send() {
	x, sent, err := h.newExchange()
	if err != nil {
		h.err = err
		return
	}
	h.exchange = x
	x.excuseQueue()
	h.resp, h.err = h.m.wire.RoundTrip(sent, &x.Exchange)
	x.waited(h.err == nil)
	if h.err == nil {
		h.resp.Request = h.req
	}
}

// excuseQueue keeps the wait for one of our own connections from being taken for the
// peer's silence.
func (x *exchange) excuseQueue() {
	if t := x.hop.t; t.clock != nil {
		pool := t.m.wire
		t.clock.Excuse(func() time.Time { return pool.LastQueued(&x.Exchange) }, false)
	}
}

// waited ends what is for the wait for a response head. It is apart from send to keep
// the stack of the calls below that one small.
func (x *exchange) waited(answered bool) {
	t := x.hop.t
	if !answered || !x.Conn.HTTP2 {
		t.clock.Excuse(nil, false)
	}
	x.stopHeadTimer()
	x.rateOver()
	if !answered {
		return
	}
	if m := x.meter(); m != nil {
		m.SentOnce()
	}
	t.w.Enter(PhaseBody)
}

// newExchange says how a request is to be sent, and in which form.
func (h *hop) newExchange() (*exchange, *http.Request, error) {
	t, req := h.t, h.req
	t.w.Enter(PhaseHeaders)
	addr, err := httpurl.Address(req.URL)
	if err != nil {
		return nil, nil, localError(HostNotFoundError, "Host "+req.URL.Hostname()+" not found", err)
	}
	x := &exchange{hop: h, upload: t.upload}
	x.IdleTimeout = t.q.ConnectionCacheExpiry
	x.Key = wire.Key{Scheme: req.URL.Scheme, Addr: addr, Protocol: wire.Protocol(t.q.HTTP)}
	if t.q.HTTP == HTTPAny && t.m.http11.Has(req.URL.Scheme, addr) {
		x.Key.Protocol = wire.HTTP1
	}
	switch {
	case httpurl.IsLocal(x.Key.Scheme):
		x.Key.Scheme, x.Key.Addr = wire.Local, t.q.LocalServerName
		plain, u := *req, *req.URL
		u.Scheme, plain.URL = "http", &u
		req = &plain
	case h.proxied != nil:
		x.Key.Route = h.proxied.route
		if x.Key.Route.Kind == dial.Forward {
			x.Key.Addr, x.Key.Protocol, x.Key.Target = x.Key.Route.Addr, wire.HTTP1, addr
			req = h.proxied.target(req)
		}
	case t.m.cfg.DialContext == nil:
		if err := unresolvable(req.URL.Hostname()); err != nil {
			return nil, nil, err
		}
	}
	if x.Key.Scheme == "https" {
		var once bool
		if x.Key.Profile, once = t.w.Profile(req.URL); once { // nobody else may use the connection
			x.IdleTimeout = -1
		}
	}
	if x.Session = h.session; h.owner != nil {
		// what authenticates a connection is for HTTP/1
		x.Key.Owner, x.Key.Protocol = h.owner, wire.HTTP1
	}
	x.Priority = t.q.Priority.wire()
	x.Fresh, x.Repeated = h.fresh, h.repeated || h.authRetry
	x.Observer = x
	return x, req, nil
}

// exchange is the wire's view of one sending.
type exchange struct {
	wire.Exchange
	hop    *hop
	upload *flow.Upload
	timer  *time.Timer // of the response head, under the transfer's lock
	// headOver ends that, under the same lock. accepted tells that the program has
	// accepted a certificate in the handshake.
	headOver, accepted bool
	rated              atomic.Bool // the rate of the upload is measured
}

func (x *exchange) meter() *flow.Meter {
	if x.upload == nil {
		return nil
	}
	return x.upload.Meter
}

func (x *exchange) Waiting(queued bool) {
	if queued {
		x.hop.t.w.Enter(PhaseQueue)
	} else {
		x.hop.t.w.Enter(PhaseConnect)
	}
}

func (x *exchange) Connecting() {
	x.hop.t.w.Enter(PhaseConnect)
	x.hop.t.w.Connecting()
}

func (x *exchange) Encrypted(state *tls.ConnectionState, accepted *certs.Failure) {
	if accepted != nil {
		x.hop.t.w.FlawsAccepted(x.verifyName(), accepted)
	}
	x.hop.t.w.Encrypted(state)
}

// verifyName is the name that the server has to prove.
func (x *exchange) verifyName() string {
	if name := x.Key.Profile.Config.ServerName; name != "" {
		return name
	}
	name, _, _ := net.SplitHostPort(x.Key.Addr)
	return name
}

// Question is asked in the middle of a handshake. A connection for which the program has
// accepted a certificate is not kept: nobody else may use it.
func (x *exchange) Question(q *wire.Question) {
	t := x.hop.t
	t.clock.Pause()
	defer t.clock.Resume()
	f, ok := q.About.(*certs.Failure)
	if !ok {
		t.w.Key(q.About)
		return
	}
	p := t.w.Certificate(x.hop.req.URL, x.verifyName(), f, t.mayAsk())
	if p == nil {
		return
	}
	x.Key.Profile, q.Profile, x.accepted = p, p, true
	x.IdleTimeout = -1
}

// Sending says requestSent at once, except for an upload over HTTP/1, which says
// it with its first bytes (rules S36 and S42).
func (x *exchange) Sending(c wire.Conn) {
	t := x.hop.t
	t.w.Carrier(&x.Conn)
	t.w.Enter(PhaseHeaders)
	t.clock.Touch()
	if t.clock != nil && (t.payload != nil || c.HTTP2) {
		pool := t.m.wire
		t.clock.Excuse(func() time.Time { return pool.PeerMoved(&x.Exchange) }, true)
	}
	m := x.meter()
	if m != nil {
		x.upload.Peer = c.Ended
		m.Ended = x.uploaded
	}
	if m != nil && t.rate != nil {
		x.rated.Store(true)
		t.rate.Begin()
	}
	switch {
	case m == nil && t.memorySent > 0 && !c.HTTP2:
		t.w.Uploaded(t.memorySent, t.memorySent)
		t.w.Sent()
	case m == nil:
		t.w.Sent()
		if t.memorySent > 0 {
			t.w.Uploaded(t.memorySent, t.memorySent)
		}
	case c.HTTP2:
		t.w.Sent()
	default:
		m.Announce.Store(true)
	}
	if m == nil {
		x.startHeadTimer()
	}
}

func (x *exchange) Activity() { x.hop.t.clock.Touch() }

// uploaded is called at the end of an upload's source.
func (x *exchange) uploaded() {
	x.rateOver()
	x.startHeadTimer()
}

// rateOver ends the measuring of an upload, with it or with the response head.
func (x *exchange) rateOver() {
	if x.rated.CompareAndSwap(true, false) {
		x.hop.t.rate.End()
	}
}

// startHeadTimer begins the wait for the response head, at the end of the
// upload; an upload that ends behind the head starts nothing.
func (x *exchange) startHeadTimer() {
	t := x.hop.t
	d := t.m.cfg.HeadTimeout
	if d == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.timer == nil && !x.headOver {
		x.timer = time.AfterFunc(d, x.headLate)
	}
}

// headLate runs when the timer fires, which a head may have stopped in the same moment.
func (x *exchange) headLate() {
	t := x.hop.t
	t.mu.Lock()
	over := x.headOver
	t.mu.Unlock()
	if !over {
		t.w.HeadLate()
	}
}

func (x *exchange) stopHeadTimer() {
	t := x.hop.t
	if t.m.cfg.HeadTimeout == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x.headOver = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

// interim takes an interim response.
func (t *transfer) interim(code int, header textproto.MIMEHeader) error {
	t.clock.Touch()
	if t.interims++; t.interims > maxInformational {
		return &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Err: errors.New("too many interim responses")}
	}
	t.w.Interim(code, http.Header(header))
	return nil
}
