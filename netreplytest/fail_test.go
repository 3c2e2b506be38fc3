package netreplytest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestFailAfterSuccess: a fault of connecting meets the next request although there was a
// connection, and one that must not be sent twice too.
func TestFailAfterSuccess(t *testing.T) {
	eachServer(t, func(t *testing.T, s *netreplytest.Server, kind netreplytest.Kind) {
		s.Handle("/", netreplytest.Answer{netreplytest.Body(strings.Repeat("x", 20_000))})
		for range 10 {
			s.Recover()
			post := func() error {
				return s.Manager().Post(t.Context(), s.Request("/"), netreply.StringBody("x")).Wait(t.Context())
			}
			require.NoError(t, post())
			s.Fail(netreplytest.Refuse())
			require.ErrorIs(t, post(), netreply.ConnectionRefusedError, "%v", kind)
			s.Recover()
			require.NoError(t, post())
			s.Next(netreplytest.HostNotFound())
			require.ErrorIs(t, post(), netreply.HostNotFoundError, "%v", kind)
		}
	})
}
