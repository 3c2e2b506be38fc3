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

// Proxy is a proxy that requests can go through.
type Proxy struct {
	SOCKS5 bool   // else it speaks HTTP
	Addr   string // host:port
	Host   string // as the program names it
	Name   string // for errors, without a password

	User, Password string
	Headers        headers.Headers // of CONNECT, and of what is forwarded
	LocalNames     bool            // names are looked up here
	// TLS makes the encryption of the connection to it; nil for none. Those with the same
	// TLSKey, a comparable value, are equal.
	TLS    func() *tls.Config
	TLSKey any
	// Value is the program's.
	Value any
}

// ProxyFailure is a failure of a proxy, and not of the target behind it.
type ProxyFailure struct {
	Proxy *Proxy
	Host  string // of the target
	Sent  int64  // bytes of the request that were given to the connection
	// Forwarding: it failed while it forwarded, by the fault of the wire.Error in Err.
	// Otherwise that is a *dial.ProxyError or an *auth.Error.
	Forwarding bool
	Err        error
}

func (f *ProxyFailure) Error() string { return "proxy " + f.Proxy.Name + ": " + f.Err.Error() }
func (f *ProxyFailure) Unwrap() error { return f.Err }

// failure tells a failure of the proxy, also where it only forwards, from one of the target.
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

// The proxy step chooses the proxies of every hop and tries them in turn (rule X3), and
// answers what they ask.
func beforeProxy(h *Hop) (err error) {
	h.proxies, h.proxied = nil, nil
	if !h.t.Proxied || httpurl.IsLocal(h.req.URL.Scheme) {
		return nil
	}
	if h.proxies, err = h.t.w.Proxies(h.req.URL); err != nil {
		return err
	}
	if len(h.proxies) == 0 {
		h.proxies = directly
	}
	h.header = h.req.Header
	return h.enterProxy()
}

// directly is a list of proxies without any.
var directly = []*Proxy{nil}

func afterProxy(h *Hop) (again bool) {
	if len(h.proxies) == 0 {
		return false
	}
	for {
		if p := h.proxied; p != nil {
			if p.after() {
				return true
			}
			h.err = p.failure(h.err)
		}
		if h.err == nil || len(h.proxies) == 1 || h.t.ctx.Err() != nil || !h.e.cfg.NextProxy(h.err) {
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

const proxyAuthorization = "Proxy-Authorization"

// enterProxy makes the request go through the first of the proxies, or directly where that is
// nil.
func (h *Hop) enterProxy() error {
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
	if h.e.cfg.CheckTarget != nil {
		// The proxy looks the name up once more, and may take any of its addresses.
		if err := h.e.cfg.CheckTarget(h.t.ctx, h.req.URL.Hostname()); err != nil {
			return wire.DialError(err)
		}
	}
	for name, values := range toMap(proxy.Headers) {
		if _, own := h.req.Header[textproto.CanonicalMIMEHeaderKey(name)]; !own && !h.t.headers.Has(name) { // the request's own word counts
			h.req.Header[name] = values
		}
	}
	p.ownWord = len(h.req.Header[proxyAuthorization]) > 0 // the program's (rule U4)
	if !p.ownWord && h.e.spaces.Proven() {
		p.login = p.newLogin()
		if err := p.login.before(); err != nil {
			return p.failure(err)
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
	h       *Hop // nil where nothing is sent
	proxy   *Proxy
	url     *url.URL
	route   *dial.Proxy
	login   *login // nil where nothing was asked or known
	ownWord bool   // the request has its own Proxy-Authorization field
}

// choose sets the way, with credentials or without.
func (p *proxied) choose(c *auth.Credentials) {
	p.route = p.h.e.route(p.proxy, &p.h.t.Request, p.url, c)
}

// target makes the request that goes to a forwarding proxy: with the whole URL.
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

// originKey names a proxy among the origins that want passwords. Who brings credentials
// along has a place of his own: what somebody else was let in by is not his.
func (p *Proxy) originKey() string {
	return "proxy " + p.Name + " " + p.User + "\x00" + p.Password
}

// authSetup is what is known of an authentication by the proxy, for a request to u.
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
	return &login{Dialog: auth.Dialog{Setup: s}, h: h, proxy: p, outer: h.owner}
}

// tunnels tells that dial answers what the proxy asks.
func (p *proxied) tunnels() bool { return p.route.Kind != dial.Forward }

// known are the credentials that a tunnel is opened with, before the proxy asks: those that
// it took before, or those of the Proxy value.
func (p *proxied) known(e *Engine) *auth.Credentials {
	s := p.authSetup(e)
	s.Tunnel = true
	d := auth.Dialog{Setup: s}
	return d.Before().Credentials
}

// tunnelRefused finds credentials in the place of those that the proxy did not take for a
// tunnel. true means that there are some.
func (p *proxied) tunnelRefused() (again bool) {
	var pe *dial.ProxyError
	if !errors.As(p.h.err, &pe) || pe.Fault != dial.ProxyAuthRequired {
		return false
	}
	old := p.route
	if p.proxy.Headers.Has(proxyAuthorization) { // the program's word, which nothing replaces
		old.Close()
		return false
	}
	p.login.TunnelSent(old.Allowed())
	var header http.Header
	if pe.Response != nil {
		header = pe.Response.Header
	}
	s, err := p.login.carryOut(p.login.TunnelRefused(header, pe.Weaker), nil)
	if err != nil || s.Kind == auth.GiveUp {
		old.Close()
		if err != nil {
			p.h.err = err
		}
		return false
	}
	p.choose(s.Credentials)
	p.route.Follow(old, pe)
	return true
}
