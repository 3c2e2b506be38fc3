package libraries

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/netreply/netreply/internal/testserver"
)

// authorizationServer issues tokens, and has a resource that wants the newest of them.
type authorizationServer struct {
	mu       sync.Mutex
	lifetime int // of the next token, in seconds
	requests []string
	issued   int
}

func (s *authorizationServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/token":
		s.token(w, r)
	case "/resource":
		authorization := r.Header["Authorization"]
		if len(authorization) != 1 || authorization[0] != fmt.Sprintf("Bearer access-%d", s.issued) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="resource", error="invalid_token"`)
			http.Error(w, fmt.Sprintf("not authorized by %q", authorization), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s for token %d", r.Method, s.issued)
	}
}

func (s *authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	grant := r.PostFormValue("grant_type")
	s.requests = append(s.requests, fmt.Sprint(grant, " ", id, " ", r.PostFormValue("scope"), r.PostFormValue("refresh_token")))
	w.Header().Set("Content-Type", "application/json")
	if id != "gopher" || secret != "burrow" {
		w.Header().Set("WWW-Authenticate", `Basic realm="clients"`)
		w.WriteHeader(http.StatusUnauthorized)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "unknown client"})
		return
	}
	s.issued++
	answer := map[string]any{"access_token": fmt.Sprintf("access-%d", s.issued), "token_type": "bearer", "expires_in": s.lifetime}
	if grant == "refresh_token" {
		answer["refresh_token"] = fmt.Sprintf("refresh-%d", s.issued)
	}
	json.NewEncoder(w).Encode(answer)
}

// on is a context in which oauth2 uses the transport.
func on(ctx context.Context, rt http.RoundTripper) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: rt})
}

func TestOAuth2ClientCredentials(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		server := &authorizationServer{lifetime: 3600}
		s, rt := c.serve(t, server)
		config := clientcredentials.Config{
			ClientID: "gopher", ClientSecret: "burrow", TokenURL: s.URL + "/token", Scopes: []string{"read", "write"},
			AuthStyle: oauth2.AuthStyleInHeader,
		}
		authorized := config.Client(on(deadline(t), rt))
		for range 2 {
			res, err := authorized.Get(s.URL + "/resource")
			require.NoError(t, err)
			assert.Equal(t, "GET for token 1", readAll(t, res))
		}
		assert.Equal(t, []string{"client_credentials gopher read write"}, server.requests, "one token for both requests")

		config.ClientSecret = "wrong"
		_, err := config.Token(on(deadline(t), rt))
		var refused *oauth2.RetrieveError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, http.StatusUnauthorized, refused.Response.StatusCode)
		assert.Equal(t, "invalid_client", refused.ErrorCode)
		assert.Equal(t, "unknown client", refused.ErrorDescription)
		assert.Len(t, server.requests, 2)
	})
}

func TestOAuth2Refresh(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		server := &authorizationServer{lifetime: 1} // less than what oauth2 takes as expired
		s, rt := c.serve(t, server)
		config := oauth2.Config{
			ClientID: "gopher", ClientSecret: "burrow",
			Endpoint: oauth2.Endpoint{TokenURL: s.URL + "/token", AuthStyle: oauth2.AuthStyleInHeader},
		}
		authorized := config.Client(on(deadline(t), rt), &oauth2.Token{
			AccessToken: "access-0", RefreshToken: "refresh-0", Expiry: time.Now().Add(-time.Hour),
		})
		for i := range 2 {
			res, err := authorized.Get(s.URL + "/resource")
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("GET for token %d", i+1), readAll(t, res))
		}
		server.mu.Lock()
		server.lifetime = 3600
		server.mu.Unlock()
		for range 2 {
			res, err := authorized.Get(s.URL + "/resource")
			require.NoError(t, err)
			assert.Equal(t, "GET for token 3", readAll(t, res))
		}
		assert.Equal(t, []string{"refresh_token gopher refresh-0", "refresh_token gopher refresh-1", "refresh_token gopher refresh-2"}, server.requests)

		// A token that was revoked is the program's matter: it sees the 401.
		res, err := (&http.Client{Transport: &oauth2.Transport{
			Base: rt, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "access-1"}),
		}}).Get(s.URL + "/resource")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
		assert.Equal(t, `Bearer realm="resource", error="invalid_token"`, res.Header.Get("WWW-Authenticate"))
		assert.Equal(t, "not authorized by [\"Bearer access-1\"]\n", readAll(t, res))
	})
}
