package netreply_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestRedirectUndecided: a reply that ends while it asks about a redirect has not followed it.
// Its URL is the one that sent the redirect, whatever ended it (D10 and D13).
func TestRedirectUndecided(t *testing.T) {
	const target = "http://elsewhere.test/x"
	for name, stop := range map[string]struct {
		stop func(*netreply.Reply, context.CancelFunc)
		code netreply.NetworkError
	}{
		"context": {func(_ *netreply.Reply, cancel context.CancelFunc) { cancel() }, netreply.OperationCanceledError},
		"Abort":   {func(r *netreply.Reply, _ context.CancelFunc) { r.Abort() }, netreply.OperationCanceledError},
		"Close":   {func(r *netreply.Reply, _ context.CancelFunc) { r.Manager().Close() }, netreply.OperationCanceledError},
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) },
				netreply.Config{}, func(t *testing.T, s *fixture) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					req := s.request("/from")
					req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
					r := s.m.Get(ctx, req)
					q := <-r.Redirected()
					require.NotNil(t, q)
					require.Equal(t, target, r.URL().String(), "it is shown while it is asked about (R21)")
					stop.stop(r, cancel)
					require.ErrorIs(t, r.Wait(t.Context()), stop.code)

					check := func() {
						assert.Equal(t, s.URL+"/from", r.URL().String())
						to, ok := netreply.RedirectionTarget.Of(r)
						require.True(t, ok)
						assert.Equal(t, target, to.String())
					}
					check()
					var e *netreply.Error
					require.ErrorAs(t, r.Err(), &e)
					assert.Equal(t, s.URL+"/from", e.URL)
					assert.False(t, q.Allow(), "there is nothing to decide about any more")
					s.m.Close() // waits for the transfer
					check()
				})
		})
	}
}
