package netreply_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestGuard: non-public addresses are not connected to, whatever the host name, also after
// a redirect.
func TestGuard(t *testing.T) {
	secret := testserver.NewRaw(t, nil, func(c *testserver.Conn) { t.Error("a connection was accepted") })
	port := func(u string) string { p, _ := url.Parse(u); return p.Port() }(secret.URL())
	m := newManager(t, netreply.Config{Guard: &netreply.AddressGuard{}})
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "127.1.2.3"} {
		r := m.Get(t.Context(), newRequest(t, "http://"+host+":"+port+"/"))
		err := r.Wait(deadline(t))
		require.ErrorIs(t, err, netreply.UnknownNetworkError, host)
		var blocked *netreply.BlockedAddressError
		require.ErrorAs(t, err, &blocked, host)
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, netreply.PhaseConnect, e.Phase, host)
		assert.False(t, e.Retryable)
		assert.NotContains(t, signalNames(t, r), "connecting", host)
	}

	allowed, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/out" {
			http.Redirect(w, r, "http://127.0.0.2:"+port+"/", http.StatusFound)
			return
		}
		io.WriteString(w, "in")
	}))
	m = newManager(t, netreply.Config{Guard: &netreply.AddressGuard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	assert.Equal(t, "in", readBody(t, m.Get(t.Context(), newRequest(t, allowed.URL))))
	var blocked *netreply.BlockedAddressError
	require.ErrorAs(t, m.Get(t.Context(), newRequest(t, allowed.URL+"/out")).Wait(deadline(t)), &blocked)
	assert.Equal(t, "127.0.0.2", blocked.Addr.String())

	// also with a dialer of the program
	m = newManager(t, netreply.Config{Guard: &netreply.AddressGuard{}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, allowed.Listener.Addr().String())
	}})
	require.ErrorAs(t, m.Get(t.Context(), newRequest(t, "http://public.example/")).Wait(deadline(t)), &blocked)
	m = newManager(t, netreply.Config{Guard: &netreply.AddressGuard{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	require.ErrorAs(t, m.Get(t.Context(), newRequest(t, allowed.URL)).Wait(deadline(t)), &blocked)
}

// TestLocalAddr: connections are opened from Config.LocalAddr.
func TestLocalAddr(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }))
	m := newManager(t, netreply.Config{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}, KeepAlive: net.KeepAliveConfig{Enable: false}})
	r := m.Get(t.Context(), newRequest(t, s.URL))
	assert.Contains(t, readBody(t, r), "127.0.0.3:")
	assert.Contains(t, r.LocalAddr().String(), "127.0.0.3:")
	_, err := netreply.NewManager(netreply.Config{LocalAddr: &net.UDPAddr{}})
	require.ErrorContains(t, err, "Config.LocalAddr")
	m = newManager(t, netreply.Config{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}})
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t)), netreply.NetworkSessionFailedError)
}
