package netreply_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

const (
	basicR  = `Basic realm="r"`
	md5R    = `Digest realm="r", nonce="n", qop="auth"`
	sha256R = `Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`
)

// challenger sends the given challenge, and accepts every answer to it.
type challenger struct {
	mu        sync.Mutex
	challenge string
	got       []string // schemes of the received credentials
	n         int      // 401s
}

func (c *challenger) refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *challenger) set(challenge string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.challenge = challenge
}

// sent returns the schemes of the credentials received since the last call.
func (c *challenger) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// takes records an answer and reports whether it answers the challenge.
func (c *challenger) takes(field string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	scheme, rest, _ := strings.Cut(field, " ")
	if scheme == "" {
		return false
	}
	if strings.Contains(rest, "algorithm=SHA-256") {
		scheme += " SHA-256"
	}
	c.got = append(c.got, scheme)
	return strings.HasPrefix(c.challenge, strings.Fields(scheme)[0]+" ") && strings.Contains(c.challenge, "SHA-256") == strings.Contains(scheme, "SHA-256")
}

func (c *challenger) asks() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.challenge
}

func (c *challenger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !c.takes(r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", c.asks())
		w.WriteHeader(401)
	}
}

// TestAuthDowngrade: credentials are sent with the scheme for which they were given. A
// weaker scheme needs a new question.
func TestAuthDowngrade(t *testing.T) {
	for _, c := range []struct {
		name, first, then string
		downgrade         bool
	}{
		{"Digest to Basic", sha256R, basicR, true},
		{"Digest MD5 to Basic", md5R, basicR, true},
		{"Digest to Basic in another realm", sha256R, `Basic realm="other"`, true},
		{"SHA-256 to MD5", sha256R, md5R, true},
		{"SHA-256 to MD5, as if stale", sha256R, md5R + ", stale=true", true},
		{"SHA-256 to MD5 in another realm", sha256R, strings.Replace(md5R, `"r"`, `"other"`, 1), true},
		{"MD5 to SHA-256", md5R, sha256R, false},
		{"Basic to Digest", basicR, md5R, false},
	} {
		for _, given := range []string{"by answer", "by URL", "by Config"} {
			if given == "by answer" && strings.Contains(c.then, "other") {
				continue // a question in any case
			}
			t.Run(c.name+", "+given, func(t *testing.T) {
				server := &challenger{challenge: c.first}
				s, _ := testserver.NewOrigin(t, testserver.Plain, server)
				cfg := netreply.Config{}
				req := newRequest(t, s.URL+"/a/x")
				answer := true
				var asked []string
				switch given {
				case "by URL":
					req = newRequest(t, strings.Replace(s.URL, "://", "://u:p@", 1)+"/a/x")
					answer = false
				case "by Config":
					cfg.Credentials = []netreply.Credential{{Origin: s.URL, User: "u", Password: "p"}}
					answer = false
				}
				req.OnSignal = answering(func(q *netreply.Authenticator) {
					asked = append(asked, q.Scheme)
					assert.False(t, q.PreviousFailed, "no credentials were refused")
					if answer {
						q.SetCredentials("u", "p")
					}
				})
				m := newManager(t, cfg)
				require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
				require.Len(t, server.sent(), 1)

				// an attacker replaces the challenge, here and elsewhere
				server.set(c.then)
				asked, answer = nil, false
				for _, path := range []string{"/a/x", "/b"} {
					req.URL.Path = path
					err := m.Get(t.Context(), req).Wait(deadline(t))
					if !c.downgrade {
						require.NoError(t, err)
						continue
					}
					require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
				}
				scheme := strings.Fields(c.then)[0]
				if !c.downgrade {
					assert.Empty(t, asked)
					return
				}
				assert.Equal(t, []string{scheme, scheme}, asked)
				for _, sent := range server.sent() {
					assert.Equal(t, "Digest"+strings.Repeat(" SHA-256", strings.Count(c.first, "SHA")), sent)
				}

				// credentials given for the weaker scheme are sent with it from then on
				asked, answer = nil, true
				require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
				assert.Equal(t, []string{scheme}, asked)
				require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
				assert.Len(t, asked, 1)
				m.ClearAccessCache()
			})
		}
	}
}

// TestAuthDowngradeWaiting: an answer for Digest is not used for a reply that waits with Basic.
func TestAuthDowngradeWaiting(t *testing.T) {
	server := &challenger{challenge: sha256R}
	s, _ := testserver.NewOrigin(t, testserver.Plain, server)
	m := newManager(t, netreply.Config{Ask: netreply.AskAuthentication})
	all := []*netreply.Reply{m.Get(t.Context(), newRequest(t, s.URL))}
	q := <-all[0].AuthenticationRequired()
	server.set(basicR)
	asked := make(chan string, 8)
	var wg sync.WaitGroup
	for range 2 {
		r := m.Get(t.Context(), newRequest(t, s.URL))
		all = append(all, r)
		<-r.RequestSent()
		wg.Go(func() {
			for p := range r.AuthenticationRequired() {
				asked <- p.Scheme
				p.Cancel()
			}
		})
	}
	require.Eventually(t, func() bool { return server.refused() == 3 }, 10*time.Second, time.Millisecond)
	server.set(sha256R)
	q.SetCredentials("u", "p")
	require.NoError(t, all[0].Wait(deadline(t)))
	for _, r := range all[1:] {
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
	}
	wg.Wait()
	close(asked)
	for scheme := range asked {
		assert.Equal(t, "Basic", scheme)
	}
	assert.Equal(t, []string{"Digest SHA-256"}, server.sent())
}

// TestCredentialSchemes: Credential.Schemes are the allowed schemes.
func TestCredentialSchemes(t *testing.T) {
	for _, c := range []struct {
		schemes   []string
		challenge string
		ok        bool
	}{
		{nil, basicR, true}, {[]string{"basic"}, basicR, true}, {[]string{"Digest"}, basicR, false}, {[]string{"NTLM", "DIGEST"}, md5R, true},
		{[]string{"Basic"}, md5R, false}, {[]string{"Digest"}, md5R + ", " + basicR, true},
	} {
		server := &challenger{challenge: c.challenge}
		s, _ := testserver.NewOrigin(t, testserver.Plain, server)
		m := newManager(t, netreply.Config{Credentials: []netreply.Credential{{Origin: s.URL, User: "u", Password: "p", Schemes: c.schemes}}})
		err := m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t))
		if c.ok {
			require.NoError(t, err, "%v", c)
			continue
		}
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.Empty(t, server.sent())
	}
	for _, scheme := range []string{"", "Bearer", "SOCKS5", "Negotiate"} {
		_, err := netreply.NewManager(netreply.Config{Credentials: []netreply.Credential{{Origin: "http://a.test", Schemes: []string{scheme}}}})
		require.ErrorContains(t, err, "must be Basic, Digest or NTLM", scheme)
	}
}

// TestProxyAuthDowngrade: the same for passwords of proxies, forwarding and tunnels.
func TestProxyAuthDowngrade(t *testing.T) {
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, kinds := range [][2]string{{"http", "http"}, {"https", "https"}, {"http", "https"}, {"https", "http"}} {
		for _, given := range []bool{true, false} {
			server := &challenger{challenge: sha256R}
			px := testserver.NewProxy(t, origin.Listener.Addr().String(), nil)
			px.Respond = func(_ int, req *http.Request) string {
				if server.takes(req.Header.Get("Proxy-Authorization")) {
					if req.Method == http.MethodConnect {
						return ""
					}
					return "HTTP/1.1 204 OK\r\n\r\n"
				}
				return "HTTP/1.1 407 Who\r\nProxy-Authenticate: " + server.asks() + "\r\nContent-Length: 0\r\n\r\n"
			}
			p := proxyAt(netreply.HTTPProxy, px.Addr)
			if given {
				p.User, p.Password = "u", "p"
			}
			var asked []string
			answer := !given
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
				if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
					asked = append(asked, q.Scheme)
					assert.False(t, q.PreviousFailed)
					if answer {
						q.SetCredentials("u", "p")
					}
				}
			}})
			get := func(scheme string) error {
				m.ClearConnectionCache()
				return m.Get(t.Context(), newRequest(t, scheme+"://example.com/")).Wait(deadline(t))
			}
			require.NoError(t, get(kinds[0]))
			server.set(basicR)
			asked, answer = nil, false
			for range 2 {
				require.ErrorIs(t, get(kinds[1]), netreply.ProxyAuthenticationRequiredError, "%v", kinds)
			}
			assert.Equal(t, []string{"Basic", "Basic"}, asked, "%v", kinds)
			assert.NotContains(t, server.sent(), "Basic")
			answer, asked = true, nil
			require.NoError(t, get(kinds[1]))
			require.NoError(t, get(kinds[1]))
			assert.Equal(t, []string{"Basic"}, asked)
			assert.Contains(t, server.sent(), "Basic")
		}
	}
}
