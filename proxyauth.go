package netreply

import (
	"strings"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpauth"
)

// ProxyAuthenticator is the question for a user name and a password that a proxy asks.
// The reply waits for the answer where the Request or the Manager has
// AskProxyAuthentication; the credentials of the Proxy value have been tried before. URL
// is that of the request; Scheme is SOCKS5, or what an HTTP proxy wants.
type ProxyAuthenticator struct {
	Proxy *Proxy // a copy, without credentials
	*Authenticator
}

// proxyPrefix begins the names of proxies among the origins that want passwords.
const proxyPrefix = "proxy "

func isProxy(origin string) bool { return strings.HasPrefix(origin, proxyPrefix) }

// tunnels tells that dial answers what the proxy asks.
func (a *attempt) tunnels() bool { return a.proxy != nil && a.proxy.route.Kind != dial.Forward }

// known are the credentials that a tunnel is opened with, before the proxy asks: those that
// it took before, with their space, or those of the Proxy value.
func (h *proxied) known(cache *authCache) (*credentials, *space) {
	if s := cache.find(h.key(), "", ""); s != nil {
		return s.known, s.self
	}
	own, _ := h.own()
	return own, nil
}

// forTunnel finds credentials in the place of those that a proxy did not take, nil for
// none.
func (a *attempt) forTunnel(pe *dial.ProxyError) *credentials {
	c := challenge{}
	c.Scheme = "SOCKS5"
	if pe.Response != nil {
		if c = a.choose(pe.Response); c.Scheme == "" {
			return nil
		}
	}
	cache := &a.m.auth
	s := cache.at(spaceKey{a.proxy.key(), c.Realm(), ""})
	tried := a.creds
	a.claimed()
	if pe.Weaker {
		tried = nil // the proxy has not seen them
	}
	cache.refused(s, tried)
	if a.creds = a.credentials(c, s, tried, nil); a.creds != nil {
		a.space = s
	}
	return a.creds
}

// claimed notes by which scheme the credentials of a tunnel have gone out.
func (a *attempt) claimed() {
	if n := a.proxy.route.Allowed(); n != httpauth.Unknown && a.creds != nil {
		a.m.auth.claim(a.proxy.key(), a.creds, n)
	}
}

// accepted keeps the credentials of a tunnel, for the next one.
func (a *attempt) accepted() {
	a.m.auth.accepted(a.space, a.creds, "", nil, a.url, true)
}
