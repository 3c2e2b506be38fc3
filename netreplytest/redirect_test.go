package netreplytest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestRedirectFields: the header fields before a Redirect are those of its response.
func TestRedirectFields(t *testing.T) {
	answer := netreplytest.Answer{netreplytest.Header("X-A", "b"), netreplytest.Redirect("/target")}
	check := func(t *testing.T, m *netreply.Manager, req *netreply.Request) {
		req.RedirectPolicy = netreply.ManualRedirectPolicy
		r := m.Get(t.Context(), req)
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, 302, r.StatusCode())
		assert.Equal(t, "/target", r.RawHeader("Location"))
		assert.Equal(t, "b", r.RawHeader("X-A"))
	}
	eachServer(t, func(t *testing.T, s *netreplytest.Server, _ netreplytest.Kind) {
		s.Handle("/", answer)
		check(t, s.Manager(), s.Request("/"))
	})
	t.Run("Backend", func(t *testing.T) {
		m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"http": answer, "https": answer}})
		require.NoError(t, err)
		defer m.Close()
		req, err := netreply.NewRequest("https://www.example.org/")
		require.NoError(t, err)
		check(t, m, req)
	})
}
