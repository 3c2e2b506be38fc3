package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestBearer: the token is sent with the first request, a refused one is replaced once, and
// concurrent requests share one fetch.
func TestBearer(t *testing.T) {
	var valid atomic.Value
	valid.Store("one")
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+valid.Load().(string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, "in")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		valid.Store("one")
		var fetched atomic.Int64
		src := netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
			fetched.Add(1)
			return netreply.Token{Value: valid.Load().(string)}, nil
		})
		all := func() {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					req := s.request("/")
					req.Bearer = src
					b, err := s.m.Get(t.Context(), req).ReadAll()
					assert.NoError(t, err)
					assert.Equal(t, "in", string(b))
				})
			}
			wg.Wait()
		}
		all()
		assert.EqualValues(t, 1, fetched.Load())
		valid.Store("two")
		all()
		assert.EqualValues(t, 2, fetched.Load())

		req := s.request("/")
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "secret-bad"}, nil })
		err := s.m.Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.NotContains(t, err.Error(), "secret")
		broken := errors.New("no token today")
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{}, broken })
		err = s.m.Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "Request.Bearer")
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "a\r\nb"}, nil })
		require.ErrorIs(t, s.m.Get(t.Context(), req).Wait(deadline(t)), netreply.AuthenticationRequiredError)
	})
}

// TestTokenExpiry: a token is replaced before it expires.
func TestTokenExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		src := netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
			n++
			return netreply.Token{Value: fmt.Sprint(n), Expires: time.Now().Add(time.Minute)}, nil
		})
		for i, want := range []string{"1", "1", "2"} {
			got, err := src.Token(t.Context(), "")
			require.NoError(t, err)
			assert.Equal(t, want, got, i)
			time.Sleep(30 * time.Second)
		}
		ctx, cancel := context.WithCancel(t.Context())
		slow := netreply.NewTokenSource(func(ctx context.Context) (netreply.Token, error) { <-ctx.Done(); return netreply.Token{}, ctx.Err() })
		go slow.Token(ctx, "")
		synctest.Wait()
		waiting, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err := slow.Token(waiting, "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		synctest.Wait()
	})
}
