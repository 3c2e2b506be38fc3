package netreply_test

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyPassword: a password, from the Proxy or an answer, is stored, and used for this
// proxy only.
func TestProxyPassword(t *testing.T) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Proxy-Authorization") != "" {
					t.Error("the target sees the proxy's password")
				}
				io.Copy(w, r.Body)
			}))
			for name, c := range map[string]struct {
				proxy netreply.ProxyType
				user  string
				ask   bool
				wrong bool
			}{
				"HTTP, known": {netreply.HTTPProxy, "a", false, false}, "HTTP, asked": {netreply.HTTPProxy, "", true, false},
				"HTTP, known but wrong": {netreply.HTTPProxy, "x", true, true},
				"SOCKS, known":          {netreply.Socks5Proxy, "a", false, false}, "SOCKS, asked": {netreply.Socks5Proxy, "", true, false},
				"SOCKS, known but wrong": {netreply.Socks5Proxy, "x", true, true},
			} {
				t.Run(name, func(t *testing.T) {
					px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
					px.RequireLogin("a", "b")
					p := proxyAt(c.proxy, px.Addr)
					if c.user != "" {
						p.User, p.Password = c.user, "b"
					}
					questions := 0
					m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
						if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
							questions++
							assert.Equal(t, c.wrong, q.PreviousFailed)
							assert.Equal(t, c.user, q.User)
							assert.Empty(t, q.Proxy.Password)
							if c.proxy == netreply.HTTPProxy {
								assert.Equal(t, "the proxy", q.Realm)
							}
							q.SetCredentials("a", "b")
						}
					}})
					for range 3 {
						req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))
						if kind == testserver.H2C {
							req.HTTP = netreply.HTTP2Direct
						}
						r := m.Post(t.Context(), req, netreply.BytesBody([]byte("a body")))
						got, err := r.ReadAll()
						require.NoError(t, err)
						assert.Equal(t, "a body", string(got))
						m.ClearConnectionCache()
					}
					want := 0
					if c.ask {
						want = 1
					}
					assert.Equal(t, want, questions, "once for all")
					if kind == testserver.TLS {
						at := netip.MustParseAddrPort(s.Listener.Addr().String())
						require.NoError(t, m.ConnectToHostEncrypted(t.Context(), "example.com", at.Port(), nil), "what the proxy took, it takes again")
					}
					m.ClearAccessCache()
					r := m.Get(t.Context(), newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1)))
					if kind != testserver.H2C {
						require.NoError(t, r.Wait(deadline(t)))
						assert.Equal(t, 2*want, questions, "and once more when it is forgotten")
					}
				})
			}
		})
	}
}

// TestProxyNTLM: connections to the proxy, for tunnels and forwarding, belong to a user.
func TestProxyNTLM(t *testing.T) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
			px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			px.NTLM = true
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			post := func(user string) (string, error) {
				req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))
				if kind == testserver.H2C {
					req.HTTP = netreply.HTTP2Direct
				}
				req.Proxy = proxyAt(netreply.HTTPProxy, px.Addr)
				req.Proxy.User, req.Proxy.Password = user, "secret"
				got, err := m.Post(t.Context(), req, netreply.StringBody("hello")).ReadAll()
				return string(got), err
			}
			for _, user := range []string{`DOM\a`, `DOM\b`, `DOM\a`, `DOM\b`} {
				got, err := post(user)
				require.NoError(t, err)
				require.Equal(t, "hello", got)
				asked := px.Requests()
				last := ""
				for _, a := range asked {
					if strings.HasPrefix(a, "as ") {
						last = a
					}
				}
				if kind == testserver.Plain {
					assert.Equal(t, "as "+user, last)
				}
			}
			asked := px.Requests()
			assert.Contains(t, asked, `as DOM\a`)
			assert.Contains(t, asked, `as DOM\b`)
			_, err := post(`DOM\bad`)
			require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError)
		})
	}
}

// TestNTLMThroughProxy: the NTLM handshake with a server through a tunnel uses one
// connection.
func TestNTLMThroughProxy(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		s, cfg := testserver.NewConnOrigin(t, kind, testserver.NTLMHandler(func(string) {}))
		px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
		px.RequireLogin("a", "b")
		for _, proxy := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
			if kind == testserver.Plain && proxy == netreply.HTTPProxy {
				continue // it forwards on its own connections
			}
			p := proxyAt(proxy, px.Addr)
			p.User, p.Password = "a", "b"
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			var wg sync.WaitGroup
			for range 24 {
				req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1)+"/")
				req.URL.User = url.UserPassword(`DOM\alice`, "pass")
				wg.Go(func() {
					got, err := m.Post(t.Context(), req, netreply.StringBody("!")).ReadAll()
					assert.NoError(t, err, "%s by %v", kind, proxy)
					assert.Equal(t, `DOM\alice!`, string(got))
				})
			}
			wg.Wait()
		}
	}
}

// TestProxyClosesWithChallenge: after a 407 with which the proxy closes the connection,
// another one is opened.
func TestProxyClosesWithChallenge(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
		for _, head := range []string{"HTTP/1.1 407 Who\r\nConnection: close\r\n", "HTTP/1.0 407 Who\r\nX-Connection: close\r\n"} {
			px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			knows := testserver.RequireBasic("a", "b")
			px.Respond = func(n int, req *http.Request) string {
				if knows(n, req) == "" {
					return ""
				}
				return head + "Proxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 4\r\n\r\nwho?"
			}
			p := proxyAt(netreply.HTTPProxy, px.Addr)
			p.User, p.Password = "a", "b"
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			got, err := m.Get(t.Context(), newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))).ReadAll()
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			asked, lines := px.Requests(), px.Credentials()
			require.Len(t, asked, 2)
			require.Equal(t, 2, px.Connections())
			require.Empty(t, lines[0])
		}
	}
}

// TestProxyQuestion: the reply waits for the answer, and fails without one.
func TestProxyQuestion(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	px.Respond = testserver.RequireBasic("a", "b")
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, Ask: netreply.AskProxyAuthentication})
	for _, u := range []string{"http://example.com/", "https://example.com/"} {
		r := m.Get(t.Context(), newRequest(t, u))
		q := <-r.ProxyAuthenticationRequired()
		assert.True(t, r.IsRunning())
		q.Cancel()
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.ProxyAuthenticationRequiredError)
		assert.Equal(t, "Proxy requires authentication", r.ErrorString())
	}
	r := m.Get(t.Context(), newRequest(t, "https://example.com/"))
	(<-r.ProxyAuthenticationRequired()).SetCredentials("a", "wrong")
	again := <-r.ProxyAuthenticationRequired()
	assert.True(t, again.PreviousFailed)
	again.SetCredentials("a", "b")
	require.NoError(t, r.Wait(deadline(t)))
	assert.Equal(t, []string{"connecting", "proxy question", "proxy question", "encrypted", "sent", "head", "down", "finished"}, signalNames(t, r))
}
