package flow

import (
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Proxy is a proxy for requests.
type Proxy struct {
	SOCKS5 bool   // otherwise an HTTP proxy
	Addr   string // host:port
	Host   string // as the program has set it
	Name   string // for errors, without a password

	User, Password string
	Headers        headers.Headers // for CONNECT and forwarded requests
	LocalNames     bool            // host names are resolved locally
	// TLS makes the TLS configuration of the connection to the proxy; nil for none.
	// Configurations with the same TLSKey, a comparable value, are equal.
	TLS    func() *tls.Config
	TLSKey any
	// Value is the program's value for the proxy.
	Value any
}

// ProxyFailure is a failure of a proxy, not of the target.
type ProxyFailure struct {
	Proxy *Proxy
	Host  string // of the target's URL
	Sent  int64  // bytes of the request handed to the connection
	// Forwarding reports that the proxy failed while forwarding, with a *wire.Error in Err.
	// Otherwise Err is a *dial.ProxyError or an *auth.Error.
	Forwarding bool
	Err        error
}

func (f *ProxyFailure) Error() string { return "proxy " + f.Proxy.Name + ": " + f.Err.Error() }
func (f *ProxyFailure) Unwrap() error { return f.Err }

// failure returns a *ProxyFailure for a failure of the proxy, and err for one of the
// target.
func (p *proxied) failure(err error) error {
	f := &ProxyFailure{Proxy: p.proxy, Host: p.url.Hostname()}
	if _, ok := err.(*auth.Error); ok {
		f.Err = err
		return f
	}
	var we *wire.Error
	if !errors.As(err, &we) || p.h != nil && p.h.t.ctx.Err() != nil {
		return err
	}
	f.Sent = we.Sent
	var pe *dial.ProxyError
	switch forward := p.route.Kind == dial.Forward; {
	case errors.As(err, &pe):
		f.Err = pe
	case forward && (!we.Began && we.Fault == wire.Closed || we.Phase == wire.Headers && we.Fault == wire.Malformed):
		f.Forwarding, f.Err = true, we
	default:
		return err
	}
	return f
}

// proxyChoice are the proxies for a request.
type proxyChoice struct {
	proxies []*Proxy    // those that may still be tried; the first is in use
	header  http.Header // of the request before the proxy step changed it
}

// The proxy step chooses the proxies of every hop, tries them in turn (rule X3), and
// answers their challenges.
func beforeProxy(h *Hop) error {
	h.choice, h.proxied = nil, nil
	if !h.t.Proxied || httpurl.IsLocal(h.req.URL.Scheme) {
		return nil
	}
	h.t.Clock.Pause() // the program may choose
	proxies, err := h.t.watcher.Proxies(h.req.URL)
	h.t.Clock.Resume()
	if err != nil {
		return err
	}
	if len(proxies) == 0 {
		proxies = directly
	}
	h.choice = &proxyChoice{proxies, h.req.Header}
	return h.enterProxy()
}

// directly is a list of proxies that means a direct connection.
var directly = []*Proxy{nil}

func afterProxy(h *Hop) (again bool) {
	c := h.choice
	if c == nil {
		return false
	}
	for {
		if p := h.proxied; p != nil {
			if p.after() {
				return true
			}
			h.err = p.failure(h.err)
		}
		if h.err == nil || len(c.proxies) == 1 || h.t.ctx.Err() != nil || !h.e.cfg.NextProxy(h.err) {
			return false
		}
		req, err := h.t.newRequest(h.req.Method, h.req.URL)
		if err != nil {
			return false
		}
		req.Header, h.req = c.header, req
		c.proxies = c.proxies[1:]
		if h.err = h.enterProxy(); h.err == nil {
			return true
		}
	}
}

const proxyAuthorization = "Proxy-Authorization"

// enterProxy prepares the request for the first of the proxies, nil being a direct
// connection.
func (h *Hop) enterProxy() error {
	h.proxied = nil
	c := h.choice
	if len(c.proxies) > 1 {
		h.req.Header = maps.Clone(c.header)
	}
	proxy := c.proxies[0]
	if proxy == nil {
		delete(h.req.Header, proxyAuthorization) // no proxy may see it
		return nil
	}
	p := &proxied{h: h, proxy: proxy, url: h.req.URL}
	p.setRoute(nil)
	h.proxied = p
	if p.tunnels() {
		p.login = p.newLogin()
		p.setRoute(p.login.Before().Credentials)
		delete(h.req.Header, proxyAuthorization) // the target must not see it
		return nil
	}
	if h.e.cfg.CheckTarget != nil {
		// The proxy resolves the name again, and may use any of its addresses.
		if err := h.e.cfg.CheckTarget(h.t.ctx, h.req.URL.Hostname()); err != nil {
			return wire.DialError(err)
		}
	}
	for name, values := range toMap(nil, proxy.Headers) {
		if _, own := h.req.Header[textproto.CanonicalMIMEHeaderKey(name)]; !own && !h.t.Headers.Has(name) { // fields of the request take precedence
			h.req.Header[name] = values
		}
	}
	p.ownCredentials = len(h.req.Header[proxyAuthorization]) > 0 // set by the program (rule U4)
	if !p.ownCredentials && h.e.spaces.Proven() {
		p.login = p.newLogin()
		if err := p.login.before(); err != nil {
			return p.failure(err)
		}
	}
	return nil
}

// after processes the result of an exchange, and makes the next request if the proxy has
// sent a challenge and there is an answer.
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
	case p.ownCredentials:
		return false
	case p.login == nil:
		if h.err != nil || h.resp.StatusCode != auth.Proxy.Status {
			return false
		}
		p.login = p.newLogin()
	}
	return p.login.after()
}

// proxied is a hop through a proxy.
type proxied struct {
	h              *Hop // nil for Engine.Open
	proxy          *Proxy
	url            *url.URL
	route          *dial.Proxy
	login          *login // nil where nothing was asked or known
	ownCredentials bool   // the request has its own Proxy-Authorization field
}

// setRoute sets the route, with or without credentials.
func (p *proxied) setRoute(c *auth.Credentials) {
	p.route = p.h.e.route(p.proxy, &p.h.t.Request, p.url, c)
}

// target makes the request for a forwarding proxy, with an absolute request target.
func (p *proxied) target(req *http.Request) *http.Request {
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

// originKey is the key of a proxy in auth.Spaces. It contains the credentials of the Proxy
// value, so that credentials which the proxy accepted from one Proxy value are not used for
// another.
func (p *Proxy) originKey() string {
	return "proxy " + p.Name + " " + p.User + "\x00" + p.Password
}

// authSetup is the setup of a dialog with the proxy.
func (p *proxied) authSetup(e *Engine) auth.Setup {
	s := auth.Setup{Spaces: &e.spaces, Role: auth.Proxy, Origin: p.proxy.originKey(), Host: p.proxy.Host, URL: p.url, Negotiators: e.cfg.Negotiators}
	if p.proxy.User != "" || p.proxy.Password != "" {
		s.Own, s.HasPassword = &auth.Credentials{User: p.proxy.User, Password: p.proxy.Password}, true
	}
	return s
}

// newLogin begins the dialog with the proxy of a hop.
func (p *proxied) newLogin() *login {
	h := p.h
	s := p.authSetup(h.e)
	s.Waits = h.t.AsksProxyPassword
	if s.Tunnel = p.tunnels(); !s.Tunnel {
		s.Method, s.Target = h.req.Method, p.url.Scheme+"://"+httpurl.Authority(p.url)+p.url.RequestURI()
	}
	return &login{Dialog: auth.Dialog{Setup: s}, h: h, proxy: p, outerOwner: h.owner}
}

// tunnels reports whether package dial answers the challenges of the proxy.
func (p *proxied) tunnels() bool { return p.route.Kind != dial.Forward }

// knownCredentials returns the credentials for opening a tunnel before a challenge: those that the
// proxy accepted before, or those of the Proxy value.
func (p *proxied) knownCredentials(e *Engine) *auth.Credentials {
	s := p.authSetup(e)
	s.Tunnel = true
	d := auth.Dialog{Setup: s}
	return d.Before().Credentials
}

// tunnelRefused finds other credentials after the proxy has refused those for a tunnel. It
// returns true if there are any.
func (p *proxied) tunnelRefused() (again bool) {
	var pe *dial.ProxyError
	if !errors.As(p.h.err, &pe) || pe.Fault != dial.ProxyAuthRequired {
		return false
	}
	old := p.route
	if p.proxy.Headers.Has(proxyAuthorization) { // set by the program: never replaced
		old.Close()
		return false
	}
	p.login.TunnelSent(old.Allowed())
	var header http.Header
	if pe.Response != nil {
		header = pe.Response.Header
	}
	s, err := p.login.execute(p.login.TunnelRefused(header, pe.Weaker), nil)
	if err != nil || s.Kind == auth.GiveUp {
		old.Close()
		if err != nil {
			p.h.err = err
		}
		return false
	}
	p.setRoute(s.Credentials)
	p.route.Follow(old, pe)
	return true
}
