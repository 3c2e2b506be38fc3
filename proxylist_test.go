package netreply_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// listOf is a ProxyFactory with a constant result.
func listOf(list ...*netreply.Proxy) netreply.ProxyFactory {
	return func(netreply.ProxyQuery) (all []netreply.Proxy) {
		for _, p := range list {
			all = append(all, *p)
		}
		return all
	}
}

// TestProxyList: the next proxy is tried while nothing was sent and the proxy could not be
// reached (rule X3), for every kind of body.
func TestProxyList(t *testing.T) {
	closed := proxyAt(netreply.HTTPProxy, testserver.Refusing(t))
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
			good := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			hangsUp := testserver.NewRaw(t, nil, func(*testserver.Conn) {})
			refuses := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			refuses.Respond = func(int, *http.Request) string { return "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" }
			unknown := &netreply.Proxy{Type: netreply.HTTPProxy, Host: "proxy.invalid"}
			for name, c := range map[string]struct {
				list   []*netreply.Proxy
				direct bool // the target was reached without a proxy
				code   netreply.NetworkError
			}{
				"refused, unknown, good": {[]*netreply.Proxy{closed, unknown, proxyAt(netreply.HTTPProxy, good.Addr)}, false, 0},
				"another kind":           {[]*netreply.Proxy{closed, proxyAt(netreply.Socks5Proxy, good.Addr)}, false, 0},
				"direct":                 {[]*netreply.Proxy{closed, {Type: netreply.NoProxy}}, true, 0},
				"the last one's failure": {[]*netreply.Proxy{unknown, closed}, false, netreply.ProxyConnectionRefusedError},
				"one that says no":       {[]*netreply.Proxy{proxyAt(netreply.HTTPProxy, refuses.Addr), proxyAt(netreply.HTTPProxy, good.Addr)}, false, netreply.UnknownProxyError},
				"one that hangs up":      {[]*netreply.Proxy{proxyAt(netreply.HTTPProxy, hangsUp.Addr), proxyAt(netreply.HTTPProxy, good.Addr)}, false, 0},
			} {
				if kind == testserver.Plain && name == "one that says no" {
					c.code = netreply.ContentAccessDenied // here the response of the proxy is final
				}
				if kind == testserver.Plain && name == "one that hangs up" {
					continue // whether anything was sent depends on timing; see TestProxyListNotAfterSending
				}
				for bodyKind, content := range map[string]func() netreply.Body{
					"memory": func() netreply.Body { return netreply.StringBody("hello") },
					"stream": func() netreply.Body { return netreply.ReaderBody(io.MultiReader(strings.NewReader("hello"))) },
				} {
					before := good.Requests()
					m := newManager(t, netreply.Config{ProxyFactory: listOf(c.list...), SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
					req := newRequest(t, s.URL+"/")
					req.DoNotBufferUploadData = bodyKind == "stream"
					if kind == testserver.H2C {
						req.HTTP = netreply.HTTP2Direct
					}
					got, err := m.Post(t.Context(), req, content()).ReadAll()
					if c.code != 0 {
						require.ErrorIs(t, err, c.code, "%s, %s", name, bodyKind)
						continue
					}
					require.NoError(t, err, "%s, %s", name, bodyKind)
					assert.Equal(t, "hello", string(got), "%s, %s", name, bodyKind)
					after := good.Requests()
					assert.Equal(t, c.direct, len(after) == len(before), "%s, %s", name, bodyKind)
					if kind == testserver.TLS || kind == testserver.H2 {
						port := uint16(s.Listener.Addr().(*net.TCPAddr).Port)
						require.NoError(t, m.ConnectToHostEncrypted(t.Context(), "127.0.0.1", port, &netreply.SSLConfiguration{TLS: cfg, PeerVerifyMode: netreply.VerifyNone}), name)
					}
				}
			}
		})
	}
}

// TestProxyListNotAfterSending: a request that one proxy may have forwarded is not sent to
// another.
func TestProxyListNotAfterSending(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	good := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	cuts := testserver.NewRaw(t, nil, func(c *testserver.Conn) { c.Request() })
	m := newManager(t, netreply.Config{ProxyFactory: listOf(proxyAt(netreply.HTTPProxy, cuts.Addr), proxyAt(netreply.HTTPProxy, good.Addr))})
	for _, verb := range []string{"GET", "POST"} {
		require.ErrorIs(t, m.Send(t.Context(), verb, newRequest(t, "http://target.test/"), nil).Wait(deadline(t)), netreply.ProxyConnectionClosedError, verb)
	}
	asked := good.Requests()
	assert.Empty(t, asked)
}

// TestProxyListTimeouts: each proxy has its own ConnectTimeout; the caller's context ends
// all attempts.
func TestProxyListTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, netreply.Config{ConnectTimeout: 5 * time.Second, ProxyFactory: listOf(
			&netreply.Proxy{Type: netreply.HTTPProxy, Host: "one.test"}, &netreply.Proxy{Type: netreply.Socks5Proxy, Host: "two.test"}, &netreply.Proxy{}),
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				if addr == "target.test:80" {
					return nil, netreply.ConnectionRefusedError
				}
				<-ctx.Done()
				return nil, ctx.Err()
			}})
		begin := time.Now()
		require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "http://target.test/")).Wait(t.Context()), netreply.ConnectionRefusedError)
		assert.Equal(t, 10*time.Second, time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		require.ErrorIs(t, m.Get(ctx, newRequest(t, "http://target.test/")).Wait(t.Context()), netreply.TimeoutError)
		assert.Equal(t, 17*time.Second, time.Since(begin))
		require.NoError(t, m.Close())
	})
}
