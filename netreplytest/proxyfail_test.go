package netreplytest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestFailAfterFaultBehindProxy: a connection to the proxy that a fault of the server has ended
// is none that Fail waits for.
func TestFailAfterFaultBehindProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := netreplytest.NewServer(t, netreplytest.HTTP)
		p := s.Proxy()
		s.Next(netreplytest.Close())
		require.Error(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()))
		start := time.Now()
		p.Fail(netreplytest.Refuse())
		assert.Zero(t, time.Since(start))
	})
}

// TestProxyFailAfterSuccess: tunnels that exist are not used any more.
func TestProxyFailAfterSuccess(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		for _, typ := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{})
			s.Proxy()
			c := s.Config()
			c.Proxy.Type = typ
			m, err := netreply.NewManager(c)
			require.NoError(t, err)
			req := s.Request("/")
			require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
			s.Fail(netreplytest.Fail(netreply.ProxyConnectionRefusedError))
			assert.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.ProxyConnectionRefusedError, "%v %v", kind, typ)
			m.Close()
		}
	}
}
