package netreply_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestFetchIntoWhileRefreshing: what is validated in the background is asked for with the bearer
// token of the request that has caused it, although the Reply has another request meanwhile.
func TestFetchIntoWhileRefreshing(t *testing.T) {
	otherBegan, validated := make(chan struct{}), make(chan string)
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/other":
			close(otherBegan)
			token = <-validated
		case token != "Bearer cached-1":
			validated <- token
		case r.Header.Get("If-None-Match") != "":
			<-otherBegan
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Cache-Control", "public, max-age=0, stale-while-revalidate=1000")
			w.Header().Set("ETag", `"a"`)
		}
		io.WriteString(w, token)
	})
	source := func(name string) *netreply.TokenSource {
		n := 0
		return netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
			n++
			return netreply.Token{Value: name + "-" + strconv.Itoa(n)}, nil
		})
	}
	cached, other := s.Request("/cached"), s.Request("/other")
	cached.Bearer, other.Bearer = source("cached"), source("other")
	var r netreply.Reply
	for range 2 {
		require.NoError(t, m.FetchInto(t.Context(), &r, "GET", cached, nil))
	}
	require.True(t, r.CacheStatus().Hit)
	require.NoError(t, m.FetchInto(t.Context(), &r, "GET", other, nil))
	body, err := r.ReadAll()
	assert.NoError(t, err)
	assert.Equal(t, "Bearer cached-2", string(body))
}
