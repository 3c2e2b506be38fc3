package netreply

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestManyProxyCredentials: connections that no later request can use do not stay open: as many
// as a Manager knows routes through proxies.
func TestManyProxyCredentials(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }))
	host, port, err := net.SplitHostPort(testserver.NewProxy(t, s.Listener.Addr().String(), nil).Addr)
	require.NoError(t, err)
	n, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	m, err := NewManager(Config{})
	require.NoError(t, err)
	defer m.Close()
	for user := range 600 {
		req, err := NewRequest(s.URL)
		require.NoError(t, err)
		req.Proxy = &Proxy{Type: Socks5Proxy, Host: host, Port: uint16(n), User: strconv.Itoa(user), Password: "burrow"}
		require.NoError(t, m.Fetch(t.Context(), http.MethodGet, req, nil).Err())
		require.LessOrEqual(t, m.wire.Connections(), 257)
	}
	assert.Greater(t, m.wire.Connections(), 50, "usable ones stay open")
}
