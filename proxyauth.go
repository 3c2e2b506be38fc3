package netreply

import (
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
)

// ProxyAuthenticator is the question for a user name and a password that a proxy asks.
// The reply waits for the answer where the Request or the Manager has
// AskProxyAuthentication; the credentials of the Proxy value have been tried before. URL
// is that of the request; Scheme is SOCKS5, or what an HTTP proxy wants.
type ProxyAuthenticator struct {
	Proxy *Proxy // a copy, without credentials
	*Authenticator
}

// originKey names a proxy among the origins that want passwords. Who brings credentials
// along has a place of his own: what somebody else was let in by is not his.
func (p *Proxy) originKey() string {
	return "proxy " + p.String() + " " + p.User + "\x00" + p.Password
}

// authSetup is what is known of an authentication by the proxy, for a request to u.
func (p *proxied) authSetup(m *Manager) auth.Setup {
	s := auth.Setup{Spaces: &m.spaces, Role: auth.Proxy, Origin: p.proxy.originKey(), Host: p.proxy.Host, URL: p.url, Negotiators: m.negotiators}
	if p.proxy.User != "" || p.proxy.Password != "" {
		s.Own, s.HasPassword = &auth.Credentials{User: p.proxy.User, Password: p.proxy.Password}, true
	}
	return s
}

// newLogin begins the dialog with the proxy of a hop.
func (p *proxied) newLogin() *login {
	h := p.h
	s := p.authSetup(h.m)
	s.Waits = h.t.q.Ask&AskProxyAuthentication != 0
	if s.Tunnel = p.tunnels(); !s.Tunnel {
		s.Method, s.Target = h.req.Method, p.url.Scheme+"://"+httpurl.Authority(p.url)+p.url.RequestURI()
	}
	return &login{Dialog: auth.Dialog{Setup: s}, h: h, proxy: p, outer: h.owner}
}

// tunnels tells that dial answers what the proxy asks.
func (p *proxied) tunnels() bool { return p.route.Kind != dial.Forward }

// known are the credentials that a tunnel is opened with, before the proxy asks: those that
// it took before, or those of the Proxy value.
func (p *proxied) known(m *Manager) *auth.Credentials {
	s := p.authSetup(m)
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
