package netreply_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestNTLM: the handshake uses one connection, which then belongs to its user.
func TestNTLM(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		var mu sync.Mutex
		var log []string
		s, cfg := testserver.NewConnOrigin(t, kind, testserver.NTLMHandler(func(what string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, what)
		}))
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		as := func(path, user string) *netreply.Reply {
			req := newRequest(t, s.URL+path)
			req.URL.User = url.UserPassword(user, "pass")
			return m.Post(t.Context(), req, netreply.StringBody("!"))
		}
		for range 3 {
			assert.Equal(t, `DOM\alice!`, readBody(t, as("/", `DOM\alice`)))
			assert.Equal(t, `DOM\bob!`, readBody(t, as("/", `DOM\bob`)))
			nobody := newRequest(t, s.URL+"/open")
			nobody.AuthenticationReuse = netreply.LoadManual
			require.NoError(t, m.Get(t.Context(), nobody).Wait(deadline(t)))
		}
		_, err := as("/", `DOM\bad`).ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		var wg sync.WaitGroup
		for i := range 24 {
			user := []string{`DOM\alice`, `DOM\bob`}[i%2]
			wg.Go(func() {
				b, err := as("/", user).ReadAll()
				assert.NoError(t, err)
				assert.Equal(t, user+"!", string(b))
			})
		}
		wg.Wait()
		mu.Lock()
		for _, what := range log {
			assert.Contains(t, []string{"asked", `open on connection of ""`}, what)
		}
		mu.Unlock()
	}
}

// TestNTLMMalformed: malformed messages, and servers that refuse all credentials.
func TestNTLMMalformed(t *testing.T) {
	for _, token := range []string{"", "!!!", "AAAA", base64.StdEncoding.EncodeToString(testserver.NTLMChallenge()[:20]), base64.StdEncoding.EncodeToString(testserver.NTLMChallenge())} {
		s, cfg := testserver.NewConnOrigin(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "NTLM "+token)
			w.WriteHeader(401)
		})
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		req := newRequest(t, s.URL)
		req.URL.User = url.UserPassword("u", "secret")
		err := m.Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError, token)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// TestNTLMOverHTTP2: rule U12.
func TestNTLMOverHTTP2(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", "NTLM")
		w.WriteHeader(401)
	}))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	r := m.Get(t.Context(), newRequest(t, s.URL))
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
	assert.NotContains(t, signalNames(t, r), "question")
}
