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

// send hands the request to the wire and tells the Watcher what becomes of it.
func send(h *Hop) error {
	x, sent, err := h.newExchange()
	if err != nil {
		return err
	}
	h.exchange = x
	x.excuseQueue()
	h.resp, err = h.e.cfg.Wire.RoundTrip(sent, &x.Exchange)
	x.waited(err == nil)
	if err == nil {
		h.resp.Request = h.req
	}
	return err
}

// excuseQueue keeps the wait for one of our own connections from being taken for the
// peer's silence.
func (x *exchange) excuseQueue() {
	if t := x.hop.t; t.Clock != nil {
		pool := t.e.cfg.Wire
		t.Clock.Excuse(func() time.Time { return pool.LastQueued(&x.Exchange) }, false)
	}
}

// waited ends what is for the wait for a response head. It is apart from send to keep
// the stack of the calls below that one small.
func (x *exchange) waited(answered bool) {
	t := x.hop.t
	if !answered || !x.Conn.HTTP2 {
		t.Clock.Excuse(nil, false)
	}
	x.stopHeadTimer()
	x.rateOver()
	if !answered {
		return
	}
	if m := x.meter(); m != nil {
		m.sentOnce()
	}
	t.w.Enter(Body)
}

// newExchange says how a request is to be sent, and in which form.
func (h *Hop) newExchange() (*exchange, *http.Request, error) {
	t, req := h.t, h.req
	t.w.Enter(Headers)
	addr, err := httpurl.Address(req.URL)
	if err != nil {
		return nil, nil, &Error{Kind: BadAddress, Host: req.URL.Hostname(), Err: err}
	}
	x := &t.first // the sendings behind it have one of their own
	if h.exchange != nil {
		x = new(exchange)
	}
	x.hop, x.upload = h, t.upload
	x.IdleTimeout = t.IdleTimeout
	x.Key = wire.Key{Scheme: req.URL.Scheme, Addr: addr, Protocol: t.HTTP}
	if t.HTTP == wire.Negotiate && t.e.http11.has(req.URL.Scheme, addr) {
		x.Key.Protocol = wire.HTTP1
	}
	switch {
	case httpurl.IsLocal(x.Key.Scheme):
		x.Key.Scheme, x.Key.Addr = wire.Local, t.LocalServerName
		plain, u := *req, *req.URL
		u.Scheme, plain.URL = "http", &u
		req = &plain
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
		var once bool
		if x.Key.Profile, once = t.w.Profile(req.URL); once { // nobody else may use the connection
			x.IdleTimeout = -1
		}
	}
	if x.Session = h.session; h.owner != nil {
		// what authenticates a connection is for HTTP/1
		x.Key.Owner, x.Key.Protocol = h.owner, wire.HTTP1
	}
	x.Priority = t.Priority
	x.Fresh, x.Repeated = h.fresh, h.repeated || h.authRetry
	x.Observer = x
	return x, req, nil
}

// exchange is the wire's view of one sending.
type exchange struct {
	wire.Exchange
	hop    *Hop
	upload *upload
	timer  *time.Timer // of the response head, under the transfer's lock
	// headOver ends that, under the same lock. accepted tells that the program has
	// accepted a certificate in the handshake.
	headOver, accepted bool
	rated              atomic.Bool // the rate of the upload is measured
}

func (x *exchange) meter() *uploadMeter {
	if x.upload == nil {
		return nil
	}
	return x.upload.meter
}

func (x *exchange) Waiting(queued bool) {
	if queued {
		x.hop.t.w.Enter(Queue)
	} else {
		x.hop.t.w.Enter(Connect)
	}
}

func (x *exchange) Connecting() {
	x.hop.t.w.Enter(Connect)
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
	t.Clock.Pause()
	defer t.Clock.Resume()
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
	t.w.Enter(Headers)
	t.Clock.Touch()
	if t.Clock != nil && (t.payload != nil || c.HTTP2) {
		pool := t.e.cfg.Wire
		t.Clock.Excuse(func() time.Time { return pool.PeerMoved(&x.Exchange) }, true)
	}
	m := x.meter()
	if m != nil {
		x.upload.peer = c.Ended
		m.ended = x.uploaded
	}
	if m != nil && t.Rate != nil {
		x.rated.Store(true)
		t.Rate.Begin()
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
		m.announce.Store(true)
	}
	if m == nil {
		x.startHeadTimer()
	}
}

func (x *exchange) Activity() { x.hop.t.Clock.Touch() }

// uploaded is called at the end of an upload's source.
func (x *exchange) uploaded() {
	x.rateOver()
	x.startHeadTimer()
}

// rateOver ends the measuring of an upload, with it or with the response head.
func (x *exchange) rateOver() {
	if x.rated.CompareAndSwap(true, false) {
		x.hop.t.Rate.End()
	}
}

// startHeadTimer begins the wait for the response head, at the end of the
// upload; an upload that ends behind the head starts nothing.
func (x *exchange) startHeadTimer() {
	t := x.hop.t
	d := t.e.cfg.HeadTimeout
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
	if t.e.cfg.HeadTimeout == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x.headOver = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

// interim takes an interim response, from the goroutine that reads the connection: that of a sending
// that has failed may still be at it when the next one has begun.
func (t *Transfer) interim(code int, header textproto.MIMEHeader) error {
	t.Clock.Touch()
	if t.interims.Add(1) > MaxInterim {
		return &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Err: errors.New("too many interim responses")}
	}
	t.w.Interim(code, http.Header(header))
	return nil
}

// unresolvable finds that a name has no address, without asking anybody (RFC 6761).
func unresolvable(host string) error {
	if reason := httpurl.Unresolvable(host); reason != "" {
		return &Error{Kind: Unresolvable, Host: host, Err: errors.New(strconv.Quote(host) + ": " + reason)}
	}
	return nil
}
