package netreply

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/wire"
)

// newPipeline stacks the layers, outermost last. The order has reasons:
//
//	redirect  every hop re-enters everything below
//	hsts      learns from every hop, a 401 excepted that is answered
//	auth      asks anew for every hop, and sees nothing that is sent elsewhere
//	cookies   of every hop, before the reply shows the head
//	proxy     chooses the way, and answers what the proxy asks of each sending
//	retry     only what broke on a connection that was used before (D33)
//	exchange  the signals of one sending, and the wire itself
//
// Content codings are taken off outside of them, by Reply.perform. The requests
// that pass through are the reply's own, made by Reply.newRequest for one sending: a
// layer may change their headers. All layers together stay on a stack that fits a
// goroutine without growing once more, which a small request would feel.
func (m *Manager) newPipeline() http.RoundTripper {
	var rt http.RoundTripper = exchangeLayer{m.wire}
	rt = retryLayer{rt, m}
	rt = proxyLayer{rt, m}
	if m.cfg.CookieJar != cookies.None {
		rt = newCookieLayer(rt, m.cfg.CookieJar)
	}
	rt = authLayer{rt, m}
	if m.cfg.HSTS != nil {
		rt = hstsLayer{rt, m.cfg.HSTS}
	}
	return redirectLayer{rt}
}

// replyContext is the context of the requests of one reply; it leads back to it.
type replyContext struct {
	context.Context
	reply *Reply
}

type replyKey struct{}

func (c *replyContext) Value(key any) any {
	if key == (replyKey{}) {
		return c.reply
	}
	return c.Context.Value(key)
}

func replyOf(ctx context.Context) *Reply { return ctx.Value(replyKey{}).(*Reply) }

// maxRepeats is how often one hop is sent again by itself (D33).
const maxRepeats = 3

// retryLayer sends a request again when its connection broke in a way that
// cannot have made the server act, or may make it act twice without harm.
type retryLayer struct {
	next http.RoundTripper
	m    *Manager
}

func (l retryLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := replyOf(req.Context())
	r.fresh, r.repeated = false, false
	var said error // with a code, by the server, to what could be sent again
	for n := 0; ; n++ {
		resp, err := l.next.RoundTrip(req)
		if said != nil && nothingSent(err) && r.ctx.Err() == nil {
			return nil, said
		}
		if n == maxRepeats || r.ctx.Err() != nil || r.session.Bound() {
			return resp, err
		}
		if err == nil {
			again := r.withoutExpectation(req, resp)
			if again == nil {
				return resp, nil
			}
			req = again
			continue
		}
		if asksForHTTP11(err) && r.req.HTTP == HTTPAny {
			if addr, addrErr := address(req.URL); addrErr == nil {
				l.m.http11.add(req.URL.Scheme, addr)
			}
			r.fresh = false
		} else if mayRepeat(err, r.req.idempotent(req.Method)) {
			// a stream that was refused may do on the same connection, anything else
			// wants a new one
			var we *wire.Error
			r.fresh = errors.As(err, &we) && we.Fault != wire.Reset
			if we.Fault == wire.GoAway {
				said = err
			}
		} else {
			return resp, err
		}
		r.repeated = true
		again, bodyErr := r.newRequest(req.Method, req.URL)
		if bodyErr != nil {
			return nil, bodyErr
		}
		again.Header = req.Header
		req = again
	}
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

// exchangeLayer hands one request to the wire and tells the reply what becomes
// of it.
type exchangeLayer struct{ wire *wire.Transport }

func (l exchangeLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	x, sent, err := replyOf(req.Context()).newExchange(req)
	if err != nil {
		return nil, err
	}
	x.excuseQueue()
	resp, err := l.wire.RoundTrip(sent, &x.Exchange)
	for err != nil && x.reconnect(sent, err) {
		resp, err = l.wire.RoundTrip(sent, &x.Exchange)
	}
	x.waited(err == nil)
	if err == nil {
		resp.Request = req
	}
	return resp, err
}

// excuseQueue keeps the wait for one of our own connections from being taken for the
// peer's silence.
func (x *exchange) excuseQueue() {
	if r := x.reply; r.clock != nil {
		pool := r.m.wire
		r.clock.ask(func() time.Time { return pool.LastQueued(&x.Exchange) }, false)
	}
}

// waited ends what is for the wait for a response head. It is apart from RoundTrip to keep
// the stack of the calls below that one small.
func (x *exchange) waited(answered bool) {
	r := x.reply
	if !answered || !x.Conn.HTTP2 {
		r.clock.ask(nil, false)
	}
	x.stopHeadTimer()
	x.rateOver()
	if !answered {
		return
	}
	if m := x.meter(); m != nil {
		m.sentOnce()
	}
	r.exchange = x
	r.enter(PhaseBody)
}

// newExchange says how a request is to be sent, and in which form.
func (r *Reply) newExchange(req *http.Request) (*exchange, *http.Request, error) {
	r.enter(PhaseHeaders)
	addr, err := address(req.URL)
	if err != nil {
		return nil, nil, localError(HostNotFoundError, "Host "+req.URL.Hostname()+" not found", err)
	}
	x := &exchange{reply: r, upload: r.upload}
	x.IdleTimeout = r.req.ConnectionCacheExpiry
	x.Key = wire.Key{Scheme: req.URL.Scheme, Addr: addr, Protocol: wire.Protocol(r.req.HTTP)}
	if r.req.HTTP == HTTPAny && r.m.http11.has(req.URL.Scheme, addr) {
		x.Key.Protocol = wire.HTTP1
	}
	switch {
	case isLocal(x.Key.Scheme):
		x.Key.Scheme, x.Key.Addr = wire.Local, r.req.LocalServerName
		plain, u := *req, *req.URL
		u.Scheme, plain.URL = "http", &u
		req = &plain
	case r.proxied != nil:
		x.Key.Route = r.proxied.route
		if x.Key.Route.Kind == dial.Forward {
			x.Key.Addr, x.Key.Protocol, x.Key.Target = x.Key.Route.Addr, wire.HTTP1, addr
			req = r.proxied.target(req)
		}
	case r.m.cfg.DialContext == nil && unresolvable(req.URL.Hostname()):
		return nil, nil, unresolvableError(req.URL.Hostname())
	}
	if x.Key.Scheme == "https" {
		x.setProfile(r.profile(req.URL))
	}
	if x.Session = r.session; r.owner != nil {
		// what authenticates a connection is for HTTP/1
		x.Key.Owner, x.Key.Protocol = r.owner, wire.HTTP1
	}
	x.Priority = r.req.Priority.wire()
	x.Fresh, x.Repeated = r.fresh, r.repeated || r.answering
	x.Observer = x
	return x, req, nil
}

// exchange is the wire's view of one sending.
type exchange struct {
	wire.Exchange
	reply  *Reply
	upload *upload
	timer  *time.Timer // of the response head, under the reply's lock
	// headOver ends that, under the same lock. accepted tells that the program has
	// accepted a certificate in the handshake under way.
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
		x.reply.enter(PhaseQueue)
	} else {
		x.reply.enter(PhaseConnect)
	}
}

func (x *exchange) Connecting() {
	x.reply.enter(PhaseConnect)
	x.reply.emit(sigConnecting, 0, 0, nil)
}

func (x *exchange) Encrypted(state *tls.ConnectionState, accepted *certs.Failure) {
	if accepted != nil {
		x.reply.showChain(accepted)
		x.accepts(accepted)
	}
	x.reply.mu.Lock()
	x.reply.tls = state
	x.reply.mu.Unlock()
	x.reply.emit(sigEncrypted, 0, 0, nil)
}

// setProfile chooses the encryption. A connection for which the program was asked is
// not kept: nobody else may use it.
func (x *exchange) setProfile(p *wire.Profile) {
	x.Key.Profile = p
	if l := x.reply.lenient; l != nil && p == l.profile {
		x.IdleTimeout = -1
	}
}

// verifyName is the name that the server has to prove.
func (x *exchange) verifyName() string {
	if name := x.Key.Profile.Config.ServerName; name != "" {
		return name
	}
	name, _, _ := net.SplitHostPort(x.Key.Addr)
	return name
}

// Question is asked in the middle of a handshake.
func (x *exchange) Question(q *wire.Question) {
	switch about := q.About.(type) {
	case *certs.Failure:
		q.Profile = x.flawed(about)
	case *PreSharedKeyAuthenticator:
		x.askKey(about)
	}
}

// reconnect tells, after a failure, whether to try once more to open a connection: a
// certificate was accepted too late for the handshake that asked, or there are other
// credentials for a proxy that refused. Otherwise it closes the request body, which the wire
// leaves open when it had no connection.
func (x *exchange) reconnect(req *http.Request, err error) bool {
	if x.Begun() {
		return false
	}
	if req.Context().Err() == nil {
		again := x.accepted
		x.accepted = false
		if h := x.reply.proxied; h != nil && h.refused(err) {
			x.Key.Route, again = h.route, true
		}
		if again {
			x.Repeated = true
			return true
		}
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return false
}

// Sending says requestSent at once, except for an upload over HTTP/1, which says
// it with its first bytes (rules S36 and S42).
func (x *exchange) Sending(c wire.Conn) {
	r := x.reply
	r.mu.Lock()
	r.tls, r.conn = c.TLS, &x.Conn
	r.mu.Unlock()
	r.enter(PhaseHeaders)
	r.clock.touch()
	if r.clock != nil && (r.payload != nil || c.HTTP2) {
		pool := r.m.wire
		r.clock.ask(func() time.Time { return pool.PeerMoved(&x.Exchange) }, true)
	}
	m := x.meter()
	if m != nil {
		x.upload.peer = c.Ended
		m.ended = x.uploaded
	}
	if m != nil && r.rate != nil {
		x.rated.Store(true)
		r.rate.begin()
	}
	switch {
	case m == nil && r.memorySent > 0 && !c.HTTP2:
		r.emit(sigUploadProgress, r.memorySent, r.memorySent, nil)
		r.emit(sigRequestSent, 0, 0, nil)
	case m == nil:
		r.emit(sigRequestSent, 0, 0, nil)
		if r.memorySent > 0 {
			r.emit(sigUploadProgress, r.memorySent, r.memorySent, nil)
		}
	case c.HTTP2:
		r.emit(sigRequestSent, 0, 0, nil)
	default:
		m.announce.Store(true)
	}
	if m == nil {
		x.startHeadTimer()
	}
}

func (x *exchange) Activity() { x.reply.clock.touch() }

// uploaded is called at the end of an upload's source.
func (x *exchange) uploaded() {
	x.rateOver()
	x.startHeadTimer()
}

// rateOver ends the measuring of an upload, with it or with the response head.
func (x *exchange) rateOver() {
	if x.rated.CompareAndSwap(true, false) {
		x.reply.rate.end()
	}
}

// startHeadTimer begins the wait for the response head, at the end of the
// upload; an upload that ends behind the head starts nothing.
func (x *exchange) startHeadTimer() {
	d := x.reply.m.cfg.HeadTimeout
	if d == 0 {
		return
	}
	x.reply.mu.Lock()
	defer x.reply.mu.Unlock()
	if x.timer == nil && !x.headOver {
		x.timer = time.AfterFunc(d, x.headLate)
	}
}

// headLate runs when the timer fires, which a head may have stopped in the same moment.
func (x *exchange) headLate() {
	x.reply.mu.Lock()
	over := x.headOver
	x.reply.mu.Unlock()
	if !over {
		x.reply.stop(headTimeout(x.reply.m.cfg.HeadTimeout))
	}
}

func (x *exchange) stopHeadTimer() {
	if x.reply.m.cfg.HeadTimeout == 0 {
		return
	}
	x.reply.mu.Lock()
	defer x.reply.mu.Unlock()
	x.headOver = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

// interim takes an interim response.
func (r *Reply) interim(code int, header textproto.MIMEHeader) error {
	r.clock.touch()
	if r.interims++; r.interims > maxInformational {
		return &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Err: errors.New("too many interim responses")}
	}
	r.emit(sigInformational, 0, 0, &Informational{code, headersFrom(http.Header(header), false)})
	return nil
}
