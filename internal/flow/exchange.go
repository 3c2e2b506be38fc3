package flow

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// send sends the request on a connection and waits for the response head.
func send(h *Hop) error {
	x, sent, err := h.newExchange()
	if err != nil {
		return err
	}
	h.exchange = x
	x.excludeQueueTime()
	h.resp, err = h.e.cfg.Wire.RoundTrip(sent, &x.Exchange)
	x.endHeadWait(err == nil)
	if err == nil {
		h.resp.Request = h.req
		if h.resp.StatusCode == http.StatusSwitchingProtocols {
			err = h.checkUpgrade(sent)
		}
	}
	return err
}

// excludeQueueTime keeps the wait for a free connection from counting as the peer's
// silence.
func (x *exchange) excludeQueueTime() {
	if t := x.hop.t; t.Clock != nil {
		pool := t.e.cfg.Wire
		t.Clock.Consult(func() time.Time { return pool.LastQueued(&x.Exchange) }, false)
	}
}

// endHeadWait ends what is needed only until the response head. It is a function of its own
// to keep the stack below send small.
func (x *exchange) endHeadWait(answered bool) {
	t := x.hop.t
	if !answered || !x.Conn.HTTP2 {
		t.Clock.Consult(nil, false)
	}
	x.stopHeadTimer()
	x.endRate()
	if !answered {
		return
	}
	if m := x.meter(); m != nil {
		m.reportSent()
	}
	t.watcher.Enter(Body)
}

// newExchange returns the exchange for a request: the key of the connection, and the
// request in the form in which it is sent.
func (h *Hop) newExchange() (*exchange, *http.Request, error) {
	t, req := h.t, h.req
	t.watcher.Enter(Headers)
	addr, err := httpurl.Address(req.URL)
	if err != nil {
		return nil, nil, &Error{Kind: BadAddress, Host: req.URL.Hostname(), Err: err}
	}
	x := &t.first // only for the first: later ones are allocated
	if h.exchange != nil {
		x = new(exchange)
	}
	x.hop, x.upload = h, t.upload
	x.IdleTimeout = t.IdleTimeout
	x.Key.Scheme, x.Key.Addr, x.Key.Protocol = req.URL.Scheme, addr, t.e.protocol(t.HTTP, req.URL.Scheme, addr)
	if x.Key.Protocol == wire.Negotiate && asksForUpgrade(req.Header) {
		x.Key.Protocol = wire.HTTP1
	}
	switch {
	case httpurl.IsLocal(x.Key.Scheme):
		x.Key.Scheme, x.Key.Addr = wire.Local, t.LocalServerName
		req = plainRequest(req)
	case h.proxied != nil:
		x.Key.Route = h.proxied.route
		if x.Key.Route.Kind == dial.Forward {
			x.Key.Addr, x.Key.Protocol, x.Key.Target = x.Key.Route.Addr, wire.HTTP1, addr
			req = h.proxied.target(req)
		}
	case t.e.cfg.Resolves:
		if err := unresolvable(req.URL.Hostname()); err != nil {
			return nil, nil, err
		}
	}
	if x.Key.Scheme == "https" {
		if x.Key.Profile, x.once = t.watcher.Profile(req.URL); x.once { // the connection must not be reused by others
			x.IdleTimeout = -1
		}
	}
	if x.Session = h.session; h.owner != nil {
		// authentication of connections needs HTTP/1
		x.Key.Owner, x.Key.Protocol = h.owner, wire.HTTP1
	}
	x.Priority = t.Priority
	x.Fresh, x.Repeated = h.fresh, h.repeated || h.authRetry
	if x.Order = &t.Headers; t.memorySent > 0 {
		x.Memory = &t.Payload.Memory
	}
	x.Observer = x
	if h.cached != nil && h.cached.fill != nil {
		h.cached.fill.exchangeBegan.Store(int64(time.Since(startTime)))
		h.cached.fill.exchange.Store(x)
	}
	return x, req, nil
}

// plainRequest is a request for a local socket, with the scheme that wire knows.
//
//go:noinline
func plainRequest(req *http.Request) *http.Request {
	plain, u := *req, *req.URL
	u.Scheme, plain.URL = "http", &u
	return &plain
}

// exchange is one request and response on a connection. It implements wire.Observer.
type exchange struct {
	wire.Exchange
	hop    *Hop
	upload *upload
	timer  *time.Timer // of the response head; guarded by the transfer's lock
	// headDone means that timer must not be started any more; guarded by the same lock.
	// accepted means that the program has accepted a certificate during the handshake.
	headDone, accepted bool
	once               bool        // the connection is for this transfer only
	measuring          atomic.Bool // RateGuard measures the upload
}

func (x *exchange) meter() *uploadMeter {
	if x.upload == nil {
		return nil
	}
	return x.upload.meter
}

func (x *exchange) Waiting(queued bool) {
	if queued {
		x.hop.t.watcher.Enter(Queue)
	} else {
		x.hop.t.watcher.Enter(Connect)
	}
}

func (x *exchange) Connecting() {
	x.hop.t.watcher.Enter(Connect)
	x.hop.t.watcher.Connecting()
}

func (x *exchange) Encrypted(state *tls.ConnectionState, accepted *certs.Failure) {
	if accepted != nil {
		x.hop.t.watcher.FlawsAccepted(x.verifyName(), accepted)
	}
	x.hop.t.watcher.Encrypted(state)
}

// verifyName is the name that the server's certificate must be valid for.
func (x *exchange) verifyName() string {
	if name := x.Key.Profile.Config.ServerName; name != "" {
		return name
	}
	name, _, _ := net.SplitHostPort(x.Key.Addr)
	return name
}

// Question is called during a handshake. A connection whose certificate flaws the program
// has accepted is not kept: other requests must not use it.
func (x *exchange) Question(q *wire.Question) {
	t := x.hop.t
	x.hop.goAlone()
	t.Clock.Pause()
	defer t.Clock.Resume()
	f, ok := q.About.(*certs.Failure)
	if !ok {
		t.watcher.Key(q.About)
		return
	}
	p := t.watcher.Certificate(x.hop.req.URL, x.verifyName(), f, t.mayAsk())
	if p == nil {
		return
	}
	x.Key.Profile, q.Profile, x.accepted, x.once = p, p, true, true
	x.IdleTimeout = -1
}

// Sending reports Sent at once, except for an upload over HTTP/1, where the first bytes do
// (rules S36 and S42).
func (x *exchange) Sending(c *wire.Conn) {
	t := x.hop.t
	t.watcher.Carrier(c)
	t.watcher.Enter(Headers)
	t.Clock.Touch()
	if t.Clock != nil && (t.Payload != nil || c.HTTP2) {
		pool := t.e.cfg.Wire
		t.Clock.Consult(func() time.Time { return pool.PeerMoved(&x.Exchange) }, true)
	}
	m := x.meter()
	if m != nil {
		x.upload.peer = c.Ended
		if x.upload.blocking != nil && c.Detached {
			x.upload.blocking.direct.Store(true)
		}
		m.onEnd = x.uploadEnded
	}
	if m != nil && t.Rate != nil {
		x.measuring.Store(true)
		t.Rate.Begin()
	}
	switch {
	case m == nil && t.memorySent > 0 && !c.HTTP2:
		t.watcher.Uploaded(t.memorySent, t.memorySent)
		t.watcher.Sent()
	case m == nil:
		t.watcher.Sent()
		if t.memorySent > 0 {
			t.watcher.Uploaded(t.memorySent, t.memorySent)
		}
	case c.HTTP2:
		t.watcher.Sent()
	default:
		m.sentPending.Store(true)
	}
	if m == nil {
		x.startHeadTimer()
	}
}

func (x *exchange) Activity() { x.hop.t.Clock.Touch() }

// uploadEnded is called at the end of the body's source.
func (x *exchange) uploadEnded() {
	x.endRate()
	x.startHeadTimer()
}

// endRate ends the measuring of an upload, at its end or at the response head.
func (x *exchange) endRate() {
	if x.measuring.CompareAndSwap(true, false) {
		x.hop.t.Rate.End()
	}
}

// startHeadTimer starts the timer for the response head at the end of the upload, unless
// the head has arrived.
func (x *exchange) startHeadTimer() {
	t := x.hop.t
	d := t.e.cfg.HeadTimeout
	if d == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.timer == nil && !x.headDone {
		x.timer = time.AfterFunc(d, x.headLate)
	}
}

// headLate runs when the timer fires; the head may have arrived meanwhile.
func (x *exchange) headLate() {
	t := x.hop.t
	t.mu.Lock()
	over := x.headDone
	t.mu.Unlock()
	if !over {
		t.watcher.HeadLate()
	}
}

func (x *exchange) stopHeadTimer() {
	t := x.hop.t
	if t.e.cfg.HeadTimeout == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x.headDone = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

// Interim is called for an interim response, on the goroutine that reads the connection;
// that of a failed exchange may still run when the next one has begun.
func (x *exchange) Interim(code int, header textproto.MIMEHeader) error {
	t := x.hop.t
	t.Clock.Touch()
	if t.interims.Add(1) > MaxInterim {
		return &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Err: errors.New("too many interim responses")}
	}
	t.watcher.Interim(code, http.Header(header))
	return nil
}

// unresolvable returns an error for a name that has no address by definition (RFC 6761).
func unresolvable(host string) error {
	if reason := httpurl.Unresolvable(host); reason != "" {
		return unresolvableError(host, reason)
	}
	return nil
}

//go:noinline
func unresolvableError(host, reason string) error {
	return &Error{Kind: Unresolvable, Host: host, Err: errors.New(strconv.Quote(host) + ": " + reason)}
}
