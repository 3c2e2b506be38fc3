package netreply

import (
	"net/http"
	"strings"

	"github.com/netreply/netreply/internal/dial"
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

// known are the credentials that a tunnel is opened with, before the proxy asks: those of
// the Proxy value, or those that it took before.
func (a *attempt) known() *credentials {
	if a.creds = a.proxy.own(); a.creds != nil {
		a.urlTried = true
	} else if s := a.layer.m.auth.find(a.proxy.key(), "", ""); s != nil {
		a.space, a.creds = s.self, s.known
	}
	return a.creds
}

// forTunnel finds credentials in the place of those that a proxy did not take, nil for
// none.
func (a *attempt) forTunnel(pe *dial.ProxyError) *credentials {
	c := challenge{}
	c.Scheme = "SOCKS5"
	if pe.Header != nil {
		if c = a.choose(&http.Response{ProtoMajor: 1, Header: pe.Header}); c.Scheme == "" {
			return nil
		}
	}
	cache := &a.layer.m.auth
	s := cache.at(spaceKey{a.proxy.key(), c.Realm(), ""})
	tried := a.creds
	cache.refused(s, tried)
	if a.creds = a.credentials(c, s, tried); a.creds != nil {
		a.space = s
	}
	return a.creds
}

// accepted keeps the credentials of a tunnel, for the next one.
func (a *attempt) accepted() {
	a.layer.m.auth.accepted(a.space, a.creds, "", nil, a.url)
}
