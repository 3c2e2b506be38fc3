package netreply

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"sync"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// routeKey tells routes apart.
type routeKey struct {
	kind           dial.Kind
	addr           string
	ssl            *profiles
	tls            bool
	credentials    bool
	user, password string
	local          bool
	agent, fields  string // of CONNECT
}

// routes gives the same address to the same way.
type routes struct {
	mu     sync.Mutex
	known  map[routeKey]*dial.Proxy
	closed bool
}

// clear forgets them, with the connections on which credentials are waited for. Who is on one
// of them goes on.
func (r *routes) clear() { r.forget(false) }

// close is clear for good.
func (r *routes) close() { r.forget(true) }

func (r *routes) forget(forGood bool) {
	r.mu.Lock()
	known := r.known
	r.known, r.closed = nil, r.closed || forGood
	r.mu.Unlock()
	for _, p := range known {
		p.Retire()
	}
}

// closeParked ends the connections on which credentials are waited for.
func (r *routes) closeParked() {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.known))
	r.mu.Unlock()
	for _, p := range all {
		p.Close()
	}
}

// maxRoutes bounds them; beyond, connections of before are not found any more.
const maxRoutes = 256

// at gives the one of a key, and makes it if need be.
func (r *routes) at(k routeKey, make func() *dial.Proxy) *dial.Proxy {
	r.mu.Lock()
	p, full := r.known[k], len(r.known) >= maxRoutes
	r.mu.Unlock()
	if p != nil {
		return p
	}
	if full {
		r.clear()
	}
	p = make()
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[k]; known != nil { // somebody was faster
		return known
	}
	if r.closed {
		p.Retire()
		return p
	}
	if r.known == nil {
		r.known = map[routeKey]*dial.Proxy{}
	}
	r.known[k] = p
	return p
}

// route is the way through a proxy for a URL, with credentials or without.
func (m *Manager) route(p *Proxy, q *Request, u *url.URL, creds *auth.Credentials) *dial.Proxy {
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
		if p.Headers.Len() > 0 {
			k.fields = fmt.Sprintf("%q", slices.Collect(pairs(p.Headers)))
		}
	}
	if k.tls {
		k.ssl = m.proxyProfiles(p)
	}
	if creds != nil && k.kind != dial.Forward {
		k.credentials, k.user, k.password = true, creds.User, creds.Password
	}
	route := m.routes.at(k, func() *dial.Proxy {
		r := &dial.Proxy{Kind: k.kind, Addr: k.addr, Credentials: k.credentials, User: k.user, Password: k.password,
			LocalNames: k.local}
		if k.kind == dial.Tunnel {
			r.Fields = connectFields(k.agent, p.Headers)
		}
		if k.tls {
			r.TLS = proxyTLS(p, k.ssl)
		}
		return r
	})
	if k.credentials {
		if n := m.spaces.Weakest(p.originKey(), creds); n != httpauth.Unknown {
			route.Allow(n)
		}
	}
	return route
}

// connectFields are the header fields of CONNECT: Proxy.Headers and the User-Agent, if
// there is none among them.
func connectFields(agent string, h Headers) [][2]string {
	var fields [][2]string
	if agent != "" && !h.Has("User-Agent") {
		fields = append(fields, [2]string{"User-Agent", agent})
	}
	return slices.AppendSeq(fields, pairs(h))
}

// pairs gives the names and values of h.
func pairs(h Headers) iter.Seq[[2]string] {
	return func(yield func([2]string) bool) {
		for name, value := range h.All() {
			if !yield([2]string{name, value}) {
				return
			}
		}
	}
}

// proxyProfiles are those of a proxy's own configuration, which has been validated.
func (m *Manager) proxyProfiles(p *Proxy) *profiles {
	c := p.SSLConfiguration
	if c == nil {
		c = &SSLConfiguration{}
	}
	made, _ := m.profiles.of(c, "")
	return made
}

// proxyTLS is the encryption of the connection to a proxy.
func proxyTLS(p *Proxy, made *profiles) *tls.Config {
	cfg := made.config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = p.hostname()
	}
	cfg.NextProtos = []string{"http/1.1"}
	cfg.ClientSessionCache = nil
	if cfg.InsecureSkipVerify {
		return cfg // the caller's own wish
	}
	certs.Supervise(cfg, made.from.PeerVerifyDepth, func(_ tls.ConnectionState, _ [][]*x509.Certificate, f *certs.Failure) error {
		if f != nil && !made.from.reportOnly() {
			return f
		}
		return nil
	})
	return cfg
}

// The proxy step chooses the proxies of every hop and tries them in turn (rule X3), and
// answers what they ask.
func beforeProxy(h *hop) (err error) {
	h.proxies, h.proxied = nil, nil
	if h.t.q.Proxy == nil && h.m.cfg.Proxy == nil && h.m.cfg.ProxyFactory == nil || httpurl.IsLocal(h.req.URL.Scheme) {
		return nil
	}
	if h.proxies, err = h.m.chooseProxies(h.t.q, h.req.URL); err != nil {
		return err
	}
	h.header = h.req.Header
	return h.enterProxy()
}

func afterProxy(h *hop) (again bool) {
	if len(h.proxies) == 0 {
		return false
	}
	for {
		if p := h.proxied; p != nil {
			if p.after() {
				return true
			}
			h.err = p.blame(h.err)
		}
		if h.err == nil || len(h.proxies) == 1 || h.t.ctx.Err() != nil || !nextProxy(h.err) {
			return false
		}
		req, err := h.t.newRequest(h.req.Method, h.req.URL)
		if err != nil {
			return false
		}
		req.Header, h.req = h.header, req
		h.proxies = h.proxies[1:]
		if h.err = h.enterProxy(); h.err == nil {
			return true
		}
	}
}

// nextProxy tells that a proxy has failed before anything was sent, in a way that says
// nothing of the others.
func nextProxy(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Sent > 0 {
		return false
	}
	switch e.Code {
	case ProxyConnectionRefusedError, ProxyConnectionClosedError, ProxyNotFoundError, ProxyTimeoutError:
		return true
	}
	return false
}

const proxyAuthorization = "Proxy-Authorization"

// enterProxy makes the request go through the first of the proxies, or directly where that is
// nil.
func (h *hop) enterProxy() error {
	h.proxied = nil
	if len(h.proxies) > 1 {
		h.req.Header = maps.Clone(h.header)
	}
	proxy := h.proxies[0]
	if proxy == nil {
		delete(h.req.Header, proxyAuthorization) // which is for proxies, and none is on the way
		return nil
	}
	p := &proxied{h: h, proxy: proxy, url: h.req.URL}
	p.choose(nil)
	h.proxied = p
	if p.tunnels() {
		p.login = p.newLogin()
		p.choose(p.login.Before().Credentials)
		delete(h.req.Header, proxyAuthorization) // which is not the target's to see
		return nil
	}
	if h.m.cfg.Guard != nil {
		// The proxy looks the name up once more, and may take any of its addresses.
		if err := h.m.dialer.CheckAll(h.t.ctx, h.req.URL.Hostname()); err != nil {
			return wire.DialError(err)
		}
	}
	for name, values := range toMap(proxy.Headers) {
		if _, own := h.req.Header[textproto.CanonicalMIMEHeaderKey(name)]; !own && !h.t.headers.Has(name) { // the request's own word counts
			h.req.Header[name] = values
		}
	}
	p.ownWord = len(h.req.Header[proxyAuthorization]) > 0 // the program's (rule U4)
	if !p.ownWord && h.m.spaces.Proven() {
		p.login = p.newLogin()
		if err := p.login.before(); err != nil {
			return p.blame(err)
		}
	}
	return nil
}

// after takes what a sending has brought, and makes the next request if the proxy asks and
// somebody has an answer.
func (p *proxied) after() (again bool) {
	h := p.h
	switch {
	case p.tunnels():
		if x := h.exchange; h.err != nil && x != nil && !x.Begun() && h.t.ctx.Err() == nil && p.tunnelRefused() {
			h.authRetry = true
			return true
		}
		p.login.TunnelSent(p.route.Allowed())
		if h.err == nil {
			p.login.TunnelOpened()
		}
		p.login.close()
		return false
	case p.ownWord:
		return false
	case p.login == nil:
		if h.err != nil || h.resp.StatusCode != auth.Proxy.Status {
			return false
		}
		p.login = p.newLogin()
	}
	return p.login.after()
}

// proxied is a hop that goes through a proxy.
type proxied struct {
	h       *hop // nil where nothing is sent
	proxy   *Proxy
	url     *url.URL
	route   *dial.Proxy
	login   *login // nil where nothing was asked or known
	ownWord bool   // the request has its own Proxy-Authorization field
}

// choose sets the way, with credentials or without.
func (p *proxied) choose(c *auth.Credentials) {
	p.route = p.h.m.route(p.proxy, p.h.t.q, p.url, c)
}

// target makes the request that goes to a forwarding proxy: with the whole URL.
func (h *proxied) target(req *http.Request) *http.Request {
	u := *req.URL
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	u.Opaque = "//" + httpurl.Authority(&u) + path
	out := *req
	out.URL = &u
	return &out
}

// blame gives a failure of the proxy its code (D9), also where it only forwards. It
// leaves alone what is the target's.
func (h *proxied) blame(err error) error {
	if ae := asAuthError(err); ae != nil {
		e := authFailure(ae)
		e.Err = &ProxyError{h.proxy.String(), ae.Err}
		return e
	}
	var we *wire.Error
	if !errors.As(err, &we) || h.h != nil && h.h.t.ctx.Err() != nil {
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
	case dial.ProxyAuthRequired, dial.ProxyNoMethod:
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
