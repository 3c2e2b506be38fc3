package netreply_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestRoundTripperSecrets: when an http.Client follows a redirect to another origin, neither
// the bearer token nor a secret field goes there (rule D11); within the origin they do.
func TestRoundTripperSecrets(t *testing.T) {
	seen := make(chan http.Header, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		if r.URL.Path == "/once more" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "/once more", http.StatusFound)
	}))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL, http.StatusFound)
			return
		}
		http.Redirect(w, r, "/away", http.StatusFound)
	}))
	t.Cleanup(s.Close)
	tokens := 0
	bearer := netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
		tokens++
		return netreply.Token{Value: "secret"}, nil
	})
	m := newManager(t, netreply.Config{SecretHeaders: []string{"X-Key"}})
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{Credentials: true,
		Request: &netreply.Request{Bearer: bearer, SecretHeaders: []string{"X-Other-Key"}}})}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/start", nil)
	require.NoError(t, err)
	req.Header = http.Header{"X-Key": {"secret"}, "X-Other-Key": {"secret"}, "X-Plain": {"plain"}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	for hop := range 4 {
		h := <-seen
		assert.Equal(t, "plain", h.Get("X-Plain"))
		for _, name := range []string{"Authorization", "X-Key", "X-Other-Key"} {
			assert.Equal(t, hop < 2, h.Get(name) != "", "%s of hop %d", name, hop)
		}
	}
	assert.Empty(t, seen)
	assert.Equal(t, 1, tokens)
}
