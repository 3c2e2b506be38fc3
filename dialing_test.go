package netreply_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// stuckConn is a connection that blocks forever, despite Close and deadlines.
type stuckConn struct {
	net.Conn
	hang   chan struct{}
	closed chan struct{}
}

func newStuckConn() *stuckConn {
	return &stuckConn{hang: make(chan struct{}), closed: make(chan struct{}, 9)}
}

func (c *stuckConn) Read([]byte) (int, error)         { <-c.hang; return 0, io.EOF }
func (c *stuckConn) Write([]byte) (int, error)        { <-c.hang; return 0, io.EOF }
func (c *stuckConn) Close() error                     { c.closed <- struct{}{}; return nil }
func (c *stuckConn) SetDeadline(time.Time) error      { return nil }
func (c *stuckConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stuckConn) SetWriteDeadline(time.Time) error { return nil }
func (c *stuckConn) LocalAddr() net.Addr              { return nil }
func (c *stuckConn) RemoteAddr() net.Addr             { return nil }

// TestTimeoutNamesLimit: the error of a time limit names the limit and the interrupted
// phase.
func TestTimeoutNamesLimit(t *testing.T) {
	proxy := func(kind netreply.ProxyType) *netreply.Proxy {
		return &netreply.Proxy{Type: kind, Host: "proxy.test", Port: 3128}
	}
	dialHangs := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	for name, c := range map[string]struct {
		url   string
		proxy *netreply.Proxy
		stuck bool // the connection is established, but no bytes are transferred
		code  netreply.NetworkError
		phase netreply.Phase
		text  string
	}{
		"TCP":            {"https://a.example/", nil, false, netreply.TimeoutError, netreply.PhaseConnect, "ConnectTimeout of 7s exceeded while connecting to a.example:443"},
		"TLS":            {"https://a.example/", nil, true, netreply.TimeoutError, netreply.PhaseTLS, "TLSTimeout of 9s exceeded while making a TLS handshake with a.example:443"},
		"to the proxy":   {"http://a.example/", proxy(netreply.HTTPProxy), false, netreply.ProxyTimeoutError, netreply.PhaseProxy, "ConnectTimeout of 7s exceeded while connecting to proxy.test:3128"},
		"CONNECT":        {"https://a.example/", proxy(netreply.HTTPProxy), true, netreply.ProxyTimeoutError, netreply.PhaseProxy, "ConnectTimeout of 7s exceeded while waiting for proxy proxy.test:3128"},
		"SOCKS":          {"http://a.example/", proxy(netreply.Socks5Proxy), true, netreply.ProxyTimeoutError, netreply.PhaseProxy, "ConnectTimeout of 7s exceeded while waiting for proxy proxy.test:3128"},
		"TLS to a proxy": {"http://a.example/", proxy(netreply.HTTPSProxy), true, netreply.ProxyTimeoutError, netreply.PhaseProxy, "ConnectTimeout of 7s exceeded while making a TLS handshake with proxy.test:3128"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newStuckConn()
				cfg := netreply.Config{Proxy: c.proxy, ConnectTimeout: 7 * time.Second, TLSTimeout: 9 * time.Second, DialContext: dialHangs}
				if c.stuck {
					cfg.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
				}
				m := newManager(t, cfg)
				err := m.Get(t.Context(), newRequest(t, c.url)).Wait(t.Context())
				require.ErrorIs(t, err, c.code)
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, c.phase, e.Phase)
				assert.ErrorContains(t, err, c.text)
				require.NoError(t, m.Close())
				close(conn.hang)
				if c.stuck {
					<-conn.closed
				}
			})
		})
	}
}

// TestHangingCallbacks: a reply ends with its context, and the Manager closes, although the
// program's dialer, resolver or connection hangs; what they return later is closed.
func TestHangingCallbacks(t *testing.T) {
	why := errors.New("why")
	for _, u := range []string{"http://a.example/", "https://a.example/"} {
		for name, p := range map[string]*netreply.Proxy{"direct": nil, "HTTP": {Type: netreply.HTTPProxy, Host: "proxy.test"}, "HTTPS": {Type: netreply.HTTPSProxy, Host: "proxy.test"}, "SOCKS5": {Type: netreply.Socks5Proxy, Host: "proxy.test"}} {
			for _, callee := range []string{"dialer", "connection"} {
				t.Run(name+" "+callee+" "+u, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						conn, hang, called := newStuckConn(), make(chan struct{}), make(chan struct{}, 1)
						m := newManager(t, netreply.Config{Proxy: p, ConnectTimeout: -1, TLSTimeout: -1, DialContext: func(context.Context, string, string) (net.Conn, error) {
							called <- struct{}{}
							if callee == "dialer" {
								<-hang
							}
							return conn, nil
						}})
						ctx, cancel := context.WithCancelCause(t.Context())
						r := m.Get(ctx, newRequest(t, u))
						<-called
						synctest.Wait()
						begin := time.Now()
						cancel(why)
						require.ErrorIs(t, r.Wait(t.Context()), why)
						assert.Less(t, time.Since(begin), time.Second)
						require.NoError(t, m.Close())
						assert.Less(t, time.Since(begin), 4*time.Second)
						close(hang)
						<-conn.closed
						close(conn.hang)
					})
				})
			}
		}
	}
}

// TestUnresolvableHost: the error says why no resolver was asked.
func TestUnresolvableHost(t *testing.T) {
	m := newManager(t, netreply.Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a resolver was asked")
		return nil, net.ErrClosed
	}}})
	for host, text := range map[string]string{"a.invalid": ".invalid never exist", "invalid.": ".invalid never exist", "1.2.3": "not an IPv4 address", "10.0.0.1.5": "not an IPv4 address", "2130706433": "not an IPv4 address",
		"256.1.1.1": "not an IPv4 address", "010.0.0.1": "not an IPv4 address", "0x7f000001": "not an IPv4 address", "0x7F.1": "not an IPv4 address", "a.0x": "not an IPv4 address"} {
		err := m.Get(t.Context(), newRequest(t, "http://"+host+"/")).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.HostNotFoundError)
		assert.ErrorContains(t, err, text)
		err = m.ConnectToHost(t.Context(), host, 80)
		require.ErrorIs(t, err, netreply.HostNotFoundError)
		assert.ErrorContains(t, err, text)
	}
}

// TestForwardAuthority: a forwarding proxy is asked for a host in ASCII, without an IPv6 zone.
func TestForwardAuthority(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr)})
	for host, want := range map[string]string{"bücher.test": "xn--bcher-kva.test", "BÜCHER.test:81": "xn--bcher-kva.test:81", "A.test": "a.test", "[fe80::1%eth0]": "[fe80::1]", "[FE80::1%eth0]:8080": "[fe80::1]:8080", "a.test:80": "a.test:80"} {
		r := m.Get(t.Context(), &netreply.Request{URL: &url.URL{Scheme: "http", Host: host, Path: "/x"}})
		require.NoError(t, r.Wait(deadline(t)), host)
		asked := px.Requests()
		assert.Equal(t, "GET http://"+want+"/x", asked[len(asked)-1], host)
		assert.False(t, strings.Contains(asked[len(asked)-1], "%"))
	}
}
