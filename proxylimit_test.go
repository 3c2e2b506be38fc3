package netreply_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyLimit: the limit of connections is per target, also with a forwarding proxy: a
// hanging host does not block others (rule N41), and a connection for one target is not
// used for another.
func TestProxyLimit(t *testing.T) {
	for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPCachingProxy} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) { testProxyLimit(t, kind) })
	}
}

func testProxyLimit(t *testing.T, kind netreply.ProxyType) {
	hang, arrived := make(chan struct{}), make(chan struct{}, 100)
	var mu sync.Mutex
	hosts := map[int][]string{} // of each connection
	px := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, _, ok := c.Request()
			if !ok {
				return
			}
			mu.Lock()
			hosts[c.N] = append(hosts[c.N], req.Host)
			mu.Unlock()
			if strings.HasPrefix(req.Host, "hangs") {
				arrived <- struct{}{}
				<-hang
			}
			c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.Host), req.Host))
		}
	})
	m := newManager(t, netreply.Config{Proxy: proxyAt(kind, px.Addr), ConnectionsPerHost: 2})
	var stuck []*netreply.Reply
	for range 3 {
		stuck = append(stuck, m.Get(t.Context(), newRequest(t, "http://hangs.test/")))
	}
	for range 2 {
		<-arrived
	}
	before := px.Connections()
	for range 3 {
		for _, host := range []string{"one.test", "two.test", "one.test:8080"} {
			r := m.Get(t.Context(), newRequest(t, "http://"+host+"/"))
			require.NoError(t, r.Wait(deadline(t)))
			got, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, host, string(got))
		}
	}
	assert.Equal(t, 3, px.Connections()-before, "one for each target, kept")
	assert.Empty(t, arrived, "the third waits for one of the two")
	require.NoError(t, m.ConnectToHost(t.Context(), "one.test", 0))
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://three.test/")).Wait(deadline(t)))
	assert.Equal(t, 5, px.Connections()-before, "one.test has a second one now, and three.test its own")
	for _, r := range stuck {
		r.Abort()
	}
	close(hang)
	mu.Lock()
	defer mu.Unlock()
	for n, list := range hosts {
		for _, h := range list {
			assert.Equal(t, list[0], h, "connection %d", n)
		}
	}
}

// TestProxyQuestionCost: a challenge of a proxy costs one more CONNECT, on the same
// connection, for any source of the answer.
func TestProxyQuestionCost(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "through") }))
	for _, closes := range []bool{false, true} {
		for _, waits := range []bool{false, true} {
			px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
			knows := testserver.RequireBasic("a", "b")
			px.Respond = func(n int, req *http.Request) string {
				text := knows(n, req)
				if closes {
					text = strings.Replace(text, "Content-Length", "Connection: close\r\nContent-Length", 1)
				}
				return text
			}
			cfg := netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}}
			answer := func(q netreply.ProxyAuthenticationRequired) { q.SetCredentials("a", "b") }
			if waits {
				cfg.Ask = netreply.AskProxyAuthentication
			} else {
				cfg.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
					if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
						answer(q)
					}
				}
			}
			m := newManager(t, cfg)
			r := m.Get(t.Context(), newRequest(t, s.URL))
			if waits {
				(<-r.ProxyAuthenticationRequired()).SetCredentials("a", "b")
			}
			require.Equal(t, "through", readBody(t, r))
			asked, lines := px.Requests(), px.Credentials()
			assert.Len(t, asked, 2)
			assert.Empty(t, lines[0])
			assert.NotEmpty(t, lines[1])
			want := 1
			if closes {
				want = 2
			}
			assert.Equal(t, want, px.Connections(), "closes %v, waits %v", closes, waits)
			assert.Equal(t, []string{"connecting", "proxy question", "encrypted", "sent", "head", "ready", "down", "finished"}, signalNames(t, r))
		}
	}
}

// TestProxyWrongCredentials: wrong credentials cost one CONNECT, and the connection ends with
// the reply.
func TestProxyWrongCredentials(t *testing.T) {
	over := make(chan struct{})
	px := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		defer func() { over <- struct{}{} }()
		for {
			if _, _, ok := c.Request(); !ok {
				return
			}
			c.Say("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for n, answers := range []int{0, 1} {
		left := answers
		m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), OnSignal: func(_ *netreply.Reply, e netreply.Event) {
			if q, ok := e.(netreply.ProxyAuthenticationRequired); ok && left > 0 {
				left--
				q.SetCredentials("a", "wrong")
			}
		}})
		r := m.Get(t.Context(), newRequest(t, "https://target.test/"))
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.ProxyAuthenticationRequiredError)
		require.NotNil(t, r.ProxyResponse())
		<-over
		assert.Equal(t, n+1, px.Connections())
	}
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr)})
	require.ErrorIs(t, m.ConnectToHostEncrypted(t.Context(), "target.test", 0, nil), netreply.ProxyAuthenticationRequiredError)
	<-over
}
