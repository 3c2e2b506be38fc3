package netreply_test

import (
	"context"
	"encoding/base64"
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

func basicField(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// remembers makes a Manager store user:pass for the realm r of a server.
func remembers(t *testing.T, s *fixture) *netreply.Manager {
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}})
	req := s.request("/r/")
	req.URL.User = url.UserPassword("user", "pass")
	require.Equal(t, "in", readBody(t, m.Get(t.Context(), req)))
	require.Equal(t, "in", readBody(t, m.Get(t.Context(), s.request("/r/"))))
	return m
}

// TestCallersAuthorization: an Authorization field of the program is sent unchanged, and a
// 401 to it is final (rule U4), whatever is cached, and even if questions are answered.
func TestCallersAuthorization(t *testing.T) {
	eachProtocol(t, (&basicServer{}).ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		m := remembers(t, s)
		req := s.request("/r/")
		req.Ask = netreply.AskAuthentication
		req.Headers.Set("authorization", basicField("other", "word"))
		req.URL.User = url.UserPassword("user", "pass")
		r := m.Get(t.Context(), req)
		b, err := r.ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.Equal(t, "denied", string(b))
		assert.NotContains(t, signalNames(t, r), "question")
		req.Headers.Set("authorization", basicField("user", "pass"))
		assert.Equal(t, "in", readBody(t, m.Get(t.Context(), req)))
	})
}

// TestCallersProxyAuthorization: the same for a proxy.
func TestCallersProxyAuthorization(t *testing.T) {
	px := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			switch {
			case !ok:
				return
			case req.Header.Get("Proxy-Authorization") == basicField("a", "b"):
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
			default:
				c.Say("HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 6\r\n\r\ndenied")
			}
		}
	})
	p := proxyAt(netreply.HTTPProxy, px.Addr)
	p.User, p.Password = "a", "b"
	m := newManager(t, netreply.Config{Proxy: p})
	require.Equal(t, "in", readBody(t, m.Get(t.Context(), newRequest(t, "http://origin.test/"))))
	req := newRequest(t, "http://origin.test/")
	req.Headers.Set("proxy-authorization", basicField("a", "wrong"))
	r := m.Get(t.Context(), req)
	b, err := r.ReadAll()
	require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError)
	assert.Equal(t, "denied", string(b))
	assert.NotContains(t, signalNames(t, r), "proxy question")
}

// TestProxyAuthorizationNotForTarget: the target of a tunnel never sees Proxy-Authorization.
func TestProxyAuthorizationNotForTarget(t *testing.T) {
	got := make(chan http.Header, 1)
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.Header }))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.Socks5Proxy, px.Addr)})
	for _, name := range []string{"Proxy-Authorization", "proxy-authorization", "PROXY-AUTHORIZATION"} {
		req := newRequest(t, "http://example.com/")
		req.Headers.Set(name, basicField("a", "b"))
		require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
		assert.Empty(t, (<-got).Values("Proxy-Authorization"), name)
	}
}

// TestWrongURLPassword: a wrong password in the URL fails although the right one is known (rule
// U5) from the cache, from Config or from an answer for another reply.
func TestWrongURLPassword(t *testing.T) {
	eachProtocol(t, (&basicServer{}).ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		m := remembers(t, s)
		wrong := s.request("/r/")
		wrong.URL.User = url.UserPassword("user", "wrong")
		right := s.request("/r/")
		right.URL.User = url.UserPassword("user", "pass")
		check := func(m *netreply.Manager) {
			t.Helper()
			for range 2 {
				require.ErrorIs(t, m.Get(t.Context(), wrong).Wait(deadline(t)), netreply.AuthenticationRequiredError)
				require.Equal(t, "in", readBody(t, m.Get(t.Context(), right)))
			}
		}
		check(m)
		require.Equal(t, "in", readBody(t, m.Get(t.Context(), s.request("/r/"))), "the right one is still remembered")
		check(newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
			Credentials: []netreply.Credential{{Origin: s.URL, User: "user", Password: "pass"}}}))

		named := s.request("/r/") // a user without a password does not exclude it
		named.URL.User = url.User("user")
		require.Equal(t, "in", readBody(t, m.Get(t.Context(), named)))

		// the program is asked, once for a reply
		asks := 0
		wrong.URL.Path, wrong.URL.RawQuery = "/r/", "to="+s.URL+"/r/end"
		wrong.OnSignal = answering(func(q *netreply.Authenticator) {
			asks++
			assert.True(t, q.PreviousFailed)
			assert.Equal(t, "user", q.User)
			q.SetCredentials("user", "pass")
		})
		for want := 1; want <= 2; want++ {
			require.Equal(t, "in", readBody(t, m.Get(t.Context(), wrong)))
			assert.Equal(t, want, asks)
		}
	})
}

// TestWrongURLPasswordAsked: an answer that another reply waits for does not replace it,
// either.
func TestWrongURLPasswordAsked(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, &basicServer{})
	m := newManager(t, netreply.Config{Ask: netreply.AskAuthentication})
	req := newRequest(t, s.URL+"/r/")
	req.URL.User = url.User("user")
	first := m.Get(t.Context(), req)
	q := <-first.AuthenticationRequired() // after a try without a password
	req.URL.User = url.UserPassword("user", "wrong")
	second := m.Get(t.Context(), req)
	p := <-second.AuthenticationRequired()
	require.True(t, q.SetCredentials("user", "pass"))
	require.NoError(t, first.Wait(deadline(t)))
	require.True(t, p.Cancel())
	require.ErrorIs(t, second.Wait(deadline(t)), netreply.AuthenticationRequiredError)
}

// TestWrongURLPasswordNTLM: a connection that one password has authenticated does not serve
// another password, which is tried on its own.
func TestWrongURLPasswordNTLM(t *testing.T) {
	var asked atomic.Int64
	s, cfg := testserver.NewConnOrigin(t, testserver.Plain, testserver.NTLMHandler(func(string) { asked.Add(1) }))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	for i, password := range []string{"pass", "wrong", "pass"} {
		req := newRequest(t, s.URL+"/")
		req.URL.User = url.UserPassword(`DOM\alice`, password)
		require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)), "this server takes any")
		assert.EqualValues(t, min(i+1, 2), asked.Load())
	}
}

// TestRefusedToken: a cached password does not replace a refused token.
func TestRefusedToken(t *testing.T) {
	eachProtocol(t, (&basicServer{}).ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		m := remembers(t, s)
		req := s.request("/r/")
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "bad"}, nil })
		r := m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
		assert.Equal(t, "denied", body401(t, r))
		assert.NotContains(t, signalNames(t, r), "question")
	})
}

// TestEmptyAnswer: no user and no password, or no answer, cancels (rules U6 and S51).
func TestEmptyAnswer(t *testing.T) {
	eachProtocol(t, (&basicServer{}).ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, answer := range []func(*netreply.Authenticator){
			func(q *netreply.Authenticator) { assert.True(t, q.SetCredentials("", "")) },
			func(*netreply.Authenticator) {},
		} {
			req := s.request("/r/")
			req.OnSignal = answering(answer)
			r := s.m.Get(t.Context(), req)
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
			list := strings.Join(signalNames(t, r), " ")
			assert.Equal(t, 1, strings.Count(list, "sent"), list)
			assert.Equal(t, 1, strings.Count(list, "question"), list)
			assert.Equal(t, "denied", body401(t, r))
		}
		req := s.request("/r/")
		req.Ask = netreply.AskAuthentication
		r := s.m.Get(t.Context(), req)
		q := <-r.AuthenticationRequired()
		assert.True(t, q.SetCredentials("", ""))
		assert.False(t, q.SetCredentials("user", "pass"), "the first answer counts")
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
	})
}

func body401(t *testing.T, r *netreply.Reply) string {
	assert.Equal(t, http.StatusUnauthorized, r.StatusCode())
	b, _ := r.ReadAll()
	return string(b)
}
