package netreply_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyHeaders: Proxy.Headers are sent with CONNECT and with forwarded requests, and
// not inside a tunnel.
func TestProxyHeaders(t *testing.T) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			var mu sync.Mutex
			var atProxy, atTarget http.Header
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				atTarget = r.Header
			}))
			px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			px.Respond = func(_ int, r *http.Request) string {
				mu.Lock()
				defer mu.Unlock()
				atProxy = r.Header.Clone()
				return ""
			}
			p := proxyAt(netreply.HTTPProxy, px.Addr)
			p.Headers = netreply.NewHeaders("X-Tenant", "a", "X-Tenant", "b", "proxy-authorization", "Bearer t0ken", "User-Agent", "gate/1")
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			p.Headers.Set("X-Tenant", "changed afterwards")
			req := newRequest(t, s.URL+"/")
			if kind == testserver.H2C {
				req.HTTP = netreply.HTTP2Direct
			}
			for range 2 {
				require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, []string{"a", "b"}, atProxy["X-Tenant"])
			assert.Equal(t, "Bearer t0ken", atProxy.Get("Proxy-Authorization"))
			if kind == testserver.Plain {
				assert.Contains(t, atProxy.Get("User-Agent"), "netreply/", "the request's fields take precedence")
				return
			}
			assert.Equal(t, "gate/1", atProxy.Get("User-Agent"))
			assert.NotContains(t, atTarget, "X-Tenant")
			assert.NotContains(t, atTarget, "Proxy-Authorization")
			assert.Contains(t, atTarget.Get("User-Agent"), "netreply/")
		})
	}
}

// TestProxyAuthorizationSpelling: Proxy-Authorization does not reach the target through a
// tunnel, in any spelling.
func TestProxyAuthorizationSpelling(t *testing.T) {
	for _, kind := range testserver.Kinds[1:] {
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Empty(t, r.Header.Values("Proxy-Authorization"), kind)
		}))
		px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
		for _, proxy := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
			m := newManager(t, netreply.Config{Proxy: proxyAt(proxy, px.Addr), SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			req := newRequest(t, s.URL)
			req.Headers = netreply.NewHeaders("proxy-authorization", "secret", "PROXY-AUTHORIZATION", "secret")
			if kind == testserver.H2C {
				req.HTTP = netreply.HTTP2Direct
			}
			require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
		}
	}
}

// TestProxyAuthorizationDirect: with a direct connection, the target does not get
// Proxy-Authorization.
func TestProxyAuthorizationDirect(t *testing.T) {
	eachProtocol(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Values("Proxy-Authorization"))
		assert.Equal(t, "there", r.Header.Get("X-Other"))
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		refuses := testserver.Refusing(t)
		for _, list := range [][]netreply.Proxy{nil, {{Type: netreply.NoProxy}}, {*proxyAt(netreply.HTTPProxy, refuses), {Type: netreply.NoProxy}}} {
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
				ProxyFactory: func(netreply.ProxyQuery) []netreply.Proxy { return list }})
			req := s.request("/")
			req.Headers = netreply.NewHeaders("proxy-authorization", "secret", "X-Other", "there")
			require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
		}
	})
}

// TestProxyHeadersInPoolKey: a tunnel opened with other proxy headers is not used.
func TestProxyHeadersInPoolKey(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	for _, tenant := range []string{"a", "b", "a", "b"} {
		req := newRequest(t, s.URL+"/")
		req.Proxy = proxyAt(netreply.HTTPProxy, px.Addr)
		req.Proxy.Headers = netreply.NewHeaders("X-Tenant", tenant)
		require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
	}
	assert.Equal(t, 2, px.Connections())
}

// TestProxyHeadersAuthorization: a Proxy-Authorization of the program is not replaced, and
// a 407 to it is final.
func TestProxyHeadersAuthorization(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
		px.Respond = testserver.RequireBasic("a", "b")
		p := proxyAt(netreply.HTTPProxy, px.Addr)
		p.User, p.Password = "a", "b"
		p.Headers = netreply.NewHeaders("Proxy-Authorization", "Bearer old")
		m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
			if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
				q.SetCredentials("a", "b")
			}
		}})
		require.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL+"/")).Wait(deadline(t)), netreply.ProxyAuthenticationRequiredError, kind)
		lines := px.Credentials()
		assert.Equal(t, []string{"Bearer old"}, lines, kind)
	}
}

// TestProxyHeadersInvalid: invalid fields, and those that a program must not set, are
// errors with the name and without the value.
func TestProxyHeadersInvalid(t *testing.T) {
	good := netreply.Proxy{Type: netreply.HTTPProxy, Host: "proxy.test"}
	for _, h := range []netreply.Headers{
		netreply.NewHeaders("X\r\nY", "secret"), netreply.NewHeaders("X", "secret\r\nY: z"), netreply.NewHeaders("X", "secret\x00"), netreply.NewHeaders("", "secret"),
		netreply.NewHeaders("host", "secret"), netreply.NewHeaders("Content-Length", "secret"), netreply.NewHeaders("transfer-encoding", "secret"),
		netreply.NewHeaders("Connection", "secret"), netreply.NewHeaders("Proxy-Connection", "secret"), netreply.NewHeaders("Expect", "secret"),
	} {
		p := good
		p.Headers = h
		_, err := netreply.NewManager(netreply.Config{Proxy: &p})
		var field *netreply.FieldError
		require.ErrorAs(t, err, &field)
		assert.Equal(t, "Config.Proxy.Headers", field.Field)
		assert.NotContains(t, err.Error(), "secret")
	}
	p := good
	p.Type, p.Headers = netreply.Socks5Proxy, netreply.NewHeaders("X", "y")
	_, err := netreply.NewManager(netreply.Config{Proxy: &p})
	require.ErrorContains(t, err, "SOCKS has no header fields")
}

// TestProxyHeadersSecret: printing a Proxy does not print its headers.
func TestProxyHeadersSecret(t *testing.T) {
	p := &netreply.Proxy{Type: netreply.HTTPProxy, Host: "proxy.test", User: "u", Password: "s3cret", Headers: netreply.NewHeaders("Proxy-Authorization", "Bearer s3cret", "X-Key", "s3cret")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{p, *p, []netreply.Proxy{*p}} {
			text := fmt.Sprintf(format, v)
			assert.NotContains(t, text, "s3cret", format)
			assert.NotContains(t, text, fmt.Sprintf("%x", "s3cret"), format)
		}
	}
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	px.Respond = testserver.RequireBasic("a", "b")
	q := proxyAt(netreply.HTTPProxy, px.Addr)
	q.Headers = netreply.NewHeaders("X-Key", "s3cret")
	m := newManager(t, netreply.Config{Proxy: q, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
		if a, ok := e.(netreply.ProxyAuthenticationRequired); ok {
			assert.Zero(t, a.Proxy.Headers.Len(), "a question shows no secrets")
			a.SetCredentials("a", "b")
		}
	}})
	require.NoError(t, m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t)))
}
