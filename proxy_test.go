package netreply_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// proxyAt makes a Proxy with an address.
func proxyAt(kind netreply.ProxyType, addr string) *netreply.Proxy {
	a := netip.MustParseAddrPort(addr)
	return &netreply.Proxy{Type: kind, Host: a.Addr().String(), Port: a.Port()}
}

// TestProxyCarriesEveryProtocol: each kind of proxy works with each protocol and resolves
// the names itself, and no field for the proxy reaches the target.
func TestProxyCarriesEveryProtocol(t *testing.T) {
	for _, kind := range testserver.Kinds {
		for _, proxy := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPSProxy, netreply.Socks5Proxy, netreply.HTTPCachingProxy} {
			if proxy == netreply.HTTPCachingProxy && kind != testserver.Plain {
				continue
			}
			t.Run(fmt.Sprint(kind, "/", proxy), func(t *testing.T) {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for name := range r.Header {
						if strings.HasPrefix(name, "Proxy") {
							t.Errorf("%s reached the target", name)
						}
					}
					fmt.Fprint(w, r.Host, " ", r.URL, " ", r.ProtoMajor, " ", r.Header.Get("X-Via"))
				}))
				if proxy != netreply.HTTPSProxy {
					px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
					checkThroughProxy(t, kind, px, proxyAt(proxy, px.Addr), cfg)
					return
				}
				cert := selfSigned(t, "proxy.test")
				px := testserver.NewProxy(t, s.Listener.Addr().String(), &tls.Config{Certificates: []tls.Certificate{cert}})
				p := proxyAt(proxy, px.Addr)
				p.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyName: "proxy.test", RootCAs: certPool(cert.Leaf)}
				checkThroughProxy(t, kind, px, p, cfg)
			})
		}
	}
}

func certPool(cs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range cs {
		p.AddCert(c)
	}
	return p
}

// checkThroughProxy sends two requests to example.com through p, which px serves.
func checkThroughProxy(t *testing.T, kind testserver.Kind, px *testserver.Proxy, p *netreply.Proxy, cfg *tls.Config) {
	m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	scheme, major := "http", 1
	if kind == testserver.TLS || kind == testserver.H2 {
		scheme = "https"
	}
	if kind == testserver.H2 || kind == testserver.H2C {
		major = 2
	}
	for range 2 {
		req := newRequest(t, scheme+"://example.com/a%2Fb?c=d")
		req.Headers.Set("Proxy-Authorization", "none of the target's business")
		if kind != testserver.TLS && kind != testserver.H2 {
			req.Headers.Del("Proxy-Authorization")
		}
		if kind == testserver.H2C {
			req.HTTP = netreply.HTTP2Direct
		}
		r := m.Get(t.Context(), req)
		got, err := r.ReadAll()
		require.NoError(t, err)
		via := ""
		forwards := kind == testserver.Plain && p.Type != netreply.Socks5Proxy
		if forwards {
			via = "proxy"
		}
		assert.Equal(t, fmt.Sprint("example.com /a%2Fb?c=d ", major, " ", via), string(got))
		assert.Equal(t, scheme+"://example.com/a%2Fb?c=d", r.URL().String())
		asked := px.Requests()
		port := map[string]string{"http": "80", "https": "443"}[scheme]
		switch {
		case forwards:
			assert.Equal(t, "GET http://example.com/a%2Fb?c=d", asked[len(asked)-1])
		case p.Type == netreply.Socks5Proxy:
			assert.Equal(t, []string{"SOCKS example.com:" + port}, asked, "one tunnel for both requests")
		default:
			assert.Equal(t, []string{"CONNECT example.com:" + port}, asked, "one tunnel for both requests")
		}
	}
}

// TestProxyGuard: the guard checks the target of a request through a proxy.
func TestProxyGuard(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
		m := newManager(t, netreply.Config{Proxy: proxyAt(kind, px.Addr), Guard: &netreply.AddressGuard{}, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		for _, u := range []string{"http://10.0.0.1/", "https://10.0.0.1/", "http://localhost/", "https://localhost/"} {
			err := m.Get(t.Context(), newRequest(t, u)).Wait(deadline(t))
			var blocked *netreply.BlockedAddressError
			require.ErrorAs(t, err, &blocked, "%v %s", kind, u)
		}
		asked := px.Requests()
		require.Empty(t, asked)
	}
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), Guard: &netreply.AddressGuard{}})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://192.0.1.1/")).Wait(deadline(t)), "the proxy itself is the program's choice")
	local := proxyAt(netreply.Socks5Proxy, px.Addr)
	local.ResolveLocally = true
	m = newManager(t, netreply.Config{Proxy: local})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://localhost/")).Wait(deadline(t)))
	asked := px.Requests()
	assert.Regexp(t, `SOCKS (127\.0\.0\.1|::1):80`, asked[len(asked)-1])
}
