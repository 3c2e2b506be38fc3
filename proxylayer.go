package netreply

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/wire"
)

// routeKey tells routes apart.
type routeKey struct {
	kind           dial.Kind
	addr           string
	ssl            *SSLConfiguration
	tls            bool
	credentials    bool
	user, password string
	local          bool
	agent          string
}

// routes gives the same address to the same way.
type routes struct {
	mu    sync.Mutex
	known map[routeKey]*dial.Proxy
}

func (r *routes) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = nil
}

// maxRoutes bounds them; beyond, connections of before are not found any more.
const maxRoutes = 256

// route is the way through a proxy for a URL, with credentials or without.
func (m *Manager) route(p *Proxy, q *Request, u *url.URL, creds *credentials) *dial.Proxy {
	k := routeKey{kind: dial.Tunnel, addr: p.addr(), tls: p.Type == HTTPSProxy, local: p.ResolveLocally}
	switch {
	case p.Type == Socks5Proxy:
		k.kind = dial.SOCKS5
	case u.Scheme == "http" && q.HTTP != HTTP2Direct:
		k.kind = dial.Forward
	default:
		k.agent = m.userAgent[0]
		if q.Headers.Has("User-Agent") { // rule X4
			k.agent = q.Headers.Get("User-Agent")
		}
	}
	if k.tls {
		k.ssl = p.SSLConfiguration
	}
	if creds != nil && k.kind != dial.Forward {
		k.credentials, k.user, k.password = true, creds.user, creds.password
	}
	m.routes.mu.Lock()
	defer m.routes.mu.Unlock()
	if r := m.routes.known[k]; r != nil {
		return r
	}
	if m.routes.known == nil || len(m.routes.known) >= maxRoutes {
		m.routes.known = map[routeKey]*dial.Proxy{}
	}
	r := &dial.Proxy{Kind: k.kind, Addr: k.addr, Credentials: k.credentials, User: k.user, Password: k.password,
		LocalNames: k.local, UserAgent: k.agent}
	if k.tls {
		r.TLS = proxyTLS(p)
	}
	m.routes.known[k] = r
	return r
}

// proxyTLS is the encryption of the connection to a proxy.
func proxyTLS(p *Proxy) *tls.Config {
	c := p.SSLConfiguration
	if c == nil {
		c = &SSLConfiguration{}
	}
	cfg := c.profiles().config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = p.Host
	}
	cfg.NextProtos = []string{"http/1.1"}
	cfg.ClientSessionCache = nil
	if cfg.InsecureSkipVerify {
		return cfg // the caller's own wish
	}
	certs.Supervise(cfg, c.PeerVerifyDepth, func(_ tls.ConnectionState, _ [][]*x509.Certificate, f *certs.Failure) error {
		if f != nil && !c.reportOnly() {
			return f
		}
		return nil
	})
	return cfg
}

// proxyLayer chooses the proxy of every hop, and answers what it asks.
type proxyLayer struct {
	next http.RoundTripper
	m    *Manager
}

func (l proxyLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := replyOf(req.Context())
	r.proxied = nil
	if r.req.Proxy == nil && l.m.cfg.Proxy == nil && l.m.cfg.ProxyFactory == nil || isLocal(req.URL.Scheme) {
		return l.next.RoundTrip(req)
	}
	return l.through(r, req)
}

func (l proxyLayer) through(r *Reply, req *http.Request) (*http.Response, error) {
	p, err := l.m.chooseProxy(&r.req, req.URL)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return l.next.RoundTrip(req)
	}
	h := &proxied{proxy: p, url: req.URL}
	h.attempt = &attempt{layer: authLayer(l), r: r, url: req.URL, proxy: h}
	h.choose(nil)
	if h.attempt.tunnels() {
		a := h.attempt
		a.creds, a.space = h.known(&l.m.auth)
		a.ownTried = a.creds != nil && a.space == nil
		h.choose(a.creds)
	}
	r.proxied = h
	defer h.attempt.end()
	if h.route.Kind != dial.Forward {
		delete(req.Header, "Proxy-Authorization") // which is not the target's to see
		resp, err := l.next.RoundTrip(req)
		if err == nil && h.attempt.space != nil {
			h.attempt.accepted()
		}
		return resp, h.blame(err)
	}
	if l.m.cfg.Guard != nil {
		// the proxy looks the name up once more; all that can be seen from here is seen
		if _, err := l.m.dialer.Resolve(r.ctx, req.URL.Hostname()); err != nil {
			return nil, wire.DialError(err)
		}
	}
	if len(req.Header["Proxy-Authorization"]) > 0 { // rule U4: the caller's own word
		resp, err := l.next.RoundTrip(req)
		return resp, h.blame(err)
	}
	resp, err := h.attempt.run(req, nil)
	return resp, h.blame(err)
}

// proxied is a hop that goes through a proxy.
type proxied struct {
	proxy   *Proxy
	url     *url.URL
	route   *dial.Proxy
	attempt *attempt
}

// choose sets the way, with credentials or without.
func (h *proxied) choose(creds *credentials) {
	r := h.attempt.r
	h.route = r.m.route(h.proxy, &r.req, h.url, creds)
}

// own are the credentials of the Proxy value; ok is false when it has none.
func (h *proxied) own() (_ *credentials, ok bool) {
	if h.proxy.User == "" && h.proxy.Password == "" {
		return nil, false
	}
	return &credentials{h.proxy.User, h.proxy.Password}, true
}

// key names the proxy among the origins that want passwords. Who brings credentials along
// has a place of his own: what somebody else was let in by is not his.
func (h *proxied) key() string {
	return proxyPrefix + h.proxy.String() + " " + h.proxy.User + "\x00" + h.proxy.Password
}

// target makes the request that goes to a forwarding proxy: with the whole URL.
func (h *proxied) target(req *http.Request) *http.Request {
	u := *req.URL
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	u.Opaque = "//" + u.Host + path
	out := *req
	out.URL = &u
	return &out
}

// refused asks for credentials in the place of those that the proxy did not take for a
// tunnel. true means that there are some.
func (h *proxied) refused(err error) bool {
	var pe *dial.ProxyError
	if !errors.As(err, &pe) || pe.Fault != dial.ProxyUnwilling {
		return false
	}
	creds := h.attempt.forTunnel(pe)
	if creds == nil {
		return false
	}
	h.choose(creds)
	return true
}

// blame gives a failure of the proxy its code (D9), also where it only forwards. It
// leaves alone what is the target's.
func (h *proxied) blame(err error) error {
	var we *wire.Error
	if !errors.As(err, &we) || h.attempt != nil && h.attempt.r.ctx.Err() != nil {
		return err
	}
	e := &Error{Phase: PhaseProxy, Sent: we.Sent}
	var pe *dial.ProxyError
	switch {
	case errors.As(err, &pe):
		e.Code = proxyCode(pe)
		e.Err = &ProxyError{h.proxy.String(), pe}
		if ce, ok := certificateError(pe); ok {
			e.Err = &ProxyError{h.proxy.String(), fmt.Errorf("proxy %s: %w", pe.Proxy, ce)}
		}
		e.Attempts = attempts(pe)
	case h.route.Kind == dial.Forward && !we.Began && we.Fault == wire.Closed:
		e.Code = ProxyConnectionClosedError
		e.Err = &ProxyError{h.proxy.String(), we.Err}
	case h.route.Kind == dial.Forward && we.Phase == wire.Headers && we.Fault == wire.Malformed:
		e.Code = UnknownProxyError
		e.Err = &ProxyError{h.proxy.String(), we.Err}
	default:
		return err
	}
	e.Text = proxyText(e, h)
	return e
}

// proxyCode is D9.
func proxyCode(pe *dial.ProxyError) NetworkError {
	switch pe.Fault {
	case dial.ProxyClosed:
		return ProxyConnectionClosedError
	case dial.ProxyUnwilling:
		return ProxyAuthenticationRequiredError
	case dial.TargetNotFound:
		return HostNotFoundError
	case dial.TargetRefused:
		return ConnectionRefusedError
	case dial.ProxyUnreachable:
		we := wire.DialError(pe.Err)
		switch wireCode(we) {
		case ConnectionRefusedError:
			return ProxyConnectionRefusedError
		case HostNotFoundError:
			return ProxyNotFoundError
		case TimeoutError:
			return ProxyTimeoutError
		case RemoteHostClosedError:
			return ProxyConnectionClosedError
		}
	}
	return UnknownProxyError
}

func proxyText(e *Error, h *proxied) string {
	switch e.Code {
	case ProxyConnectionRefusedError:
		return "Proxy connection refused"
	case ProxyConnectionClosedError:
		return "Proxy connection closed prematurely"
	case ProxyNotFoundError:
		return "Proxy host " + h.proxy.Host + " not found"
	case ProxyTimeoutError:
		return "Proxy connection timed out"
	case ProxyAuthenticationRequiredError:
		return "Proxy requires authentication"
	case HostNotFoundError:
		return "Host " + h.url.Hostname() + " not found"
	case ConnectionRefusedError:
		return "Connection refused"
	}
	return e.Err.Error()
}
