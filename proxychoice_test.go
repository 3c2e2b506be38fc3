package netreply_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyChoice: the proxy for each request (rules X2, X3 and X8).
func TestProxyChoice(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	one, two := testserver.NewProxy(t, s.Listener.Addr().String(), nil), testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	http1, caching := *proxyAt(netreply.HTTPProxy, one.Addr), *proxyAt(netreply.HTTPCachingProxy, two.Addr)
	socks := proxyAt(netreply.Socks5Proxy, two.Addr)
	var queries atomic.Int32
	factory := func(q netreply.ProxyQuery) []netreply.Proxy {
		queries.Add(1)
		if q.URL.User != nil {
			t.Error("a factory has no business with passwords")
		}
		switch q.URL.Host {
		case "none.test":
			return nil
		case "direct.test":
			return []netreply.Proxy{{Type: netreply.NoProxy}, http1}
		case "bad.test":
			return []netreply.Proxy{{Type: netreply.HTTPProxy}, {Type: 99, Host: "x"}}
		}
		return []netreply.Proxy{caching, http1}
	}
	plain := newManager(t, netreply.Config{Proxy: &http1, DialContext: dialProxiesOr(s.Listener.Addr().String(), one, two)})
	chooses := newManager(t, netreply.Config{ProxyFactory: factory, DialContext: dialProxiesOr(s.Listener.Addr().String(), one, two)})
	for _, c := range []struct {
		m        *netreply.Manager
		url      string
		own      *netreply.Proxy
		one, two int
		code     netreply.NetworkError
	}{
		{plain, "http://a.test/", nil, 1, 0, 0},
		{plain, "http://a.test/", &netreply.Proxy{}, 1, 0, 0},
		{plain, "http://a.test/", &netreply.Proxy{Type: netreply.NoProxy}, 0, 0, 0},
		{plain, "http://a.test/", socks, 0, 1, 0},
		{plain, "https://a.test/", &caching, 0, 0, netreply.ProxyNotFoundError},
		{chooses, "http://u:p@a.test/", nil, 0, 1, 0},
		{chooses, "https://a.test/", nil, 1, 0, netreply.SslHandshakeFailedError}, // the server speaks http
		{chooses, "http://none.test/", nil, 0, 0, 0},
		{chooses, "http://direct.test/", nil, 0, 0, 0},
		{chooses, "http://bad.test/", nil, 0, 0, netreply.ProxyNotFoundError},
	} {
		req := newRequest(t, c.url)
		req.Proxy = c.own
		asked1 := one.Requests()
		asked2 := two.Requests()
		err := c.m.Get(t.Context(), req).Wait(deadline(t))
		if c.code != 0 {
			require.ErrorIs(t, err, c.code, c.url)
		} else {
			require.NoError(t, err, c.url)
		}
		now1 := one.Requests()
		now2 := two.Requests()
		assert.Equal(t, []int{c.one, c.two}, []int{len(now1) - len(asked1), len(now2) - len(asked2)}, "%s %v", c.url, c.own)
		c.m.ClearConnectionCache()
	}
	assert.EqualValues(t, 5, queries.Load())
}

// dialProxiesOr dials proxies at their address, and everything else at one address.
func dialProxiesOr(target string, proxies ...*testserver.Proxy) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, p := range proxies {
			if addr == p.Addr {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		}
		return new(net.Dialer).DialContext(ctx, network, target)
	}
}

// TestProxyForEachHop: the proxy is chosen again for every hop.
func TestProxyForEachHop(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "first.test" {
			http.Redirect(w, r, "http://second.test/", http.StatusFound)
		}
	}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	m := newManager(t, netreply.Config{DialContext: dialProxiesOr(s.Listener.Addr().String(), px), ProxyFactory: func(q netreply.ProxyQuery) []netreply.Proxy {
		if q.URL.Host == "second.test" {
			return []netreply.Proxy{*proxyAt(netreply.HTTPProxy, px.Addr)}
		}
		return nil
	}})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://first.test/")).Wait(deadline(t)))
	asked := px.Requests()
	assert.Equal(t, []string{"GET http://second.test/"}, asked)
}

func TestParseProxy(t *testing.T) {
	for raw, want := range map[string]netreply.Proxy{
		"http://p.test":               {Type: netreply.HTTPProxy, Host: "p.test"},
		"https://u:s%20p@P.test:8443": {Type: netreply.HTTPSProxy, Host: "p.test", Port: 8443, User: "u", Password: "s p"},
		"socks5://[::1]:9050":         {Type: netreply.Socks5Proxy, Host: "::1", Port: 9050},
		"socks5h://p.test":            {Type: netreply.Socks5Proxy, Host: "p.test"},
	} {
		p, err := netreply.ParseProxy(raw)
		require.NoError(t, err)
		assert.Equal(t, want, *p)
		assert.NotContains(t, p.String(), "s p")
	}
	for _, raw := range []string{"", "p.test", "ftp://p.test", "http://", "http://u:secret@p.test:99999", "http://u:secret@p test"} {
		_, err := netreply.ParseProxy(raw)
		var fe *netreply.FieldError
		require.ErrorAs(t, err, &fe, raw)
		assert.NotContains(t, err.Error(), "secret")
	}
	_, err := netreply.NewManager(netreply.Config{Proxy: &netreply.Proxy{Type: netreply.HTTPProxy}, ProxyFactory: netreply.ProxyFromEnvironment})
	require.ErrorContains(t, err, "Config.Proxy")
	require.ErrorContains(t, err, "ProxyFactory")
	m := newManager(t, netreply.Config{})
	req := newRequest(t, "http://127.0.0.1:1/")
	req.Proxy = &netreply.Proxy{Type: 77}
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProtocolInvalidOperationError)
	assert.Equal(t, "direct", strings.ToLower(strings.Replace((&netreply.Proxy{Type: netreply.NoProxy}).String(), "no", "direct", 1)))
}

// TestProxyFromEnvironment: the variables of the process, which are read once.
func TestProxyFromEnvironment(t *testing.T) {
	u, err := url.Parse("http://127.0.0.1/") // never proxied, whatever the variables
	require.NoError(t, err)
	assert.Empty(t, netreply.ProxyFromEnvironment(netreply.ProxyQuery{URL: u}))
}
