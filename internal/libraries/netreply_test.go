package libraries

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// newManagerTransport makes a transport of a Manager.
func newManagerTransport(t testing.TB, c *client, cfg *tls.Config) http.RoundTripper {
	config := netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, Resolver: resolver}
	if c.proxy != nil {
		var err error
		config.Proxy, err = netreply.ParseProxy(c.proxy.String())
		require.NoError(t, err)
	}
	m, err := netreply.NewManager(config)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	options := netreply.RoundTripperOptions{}
	if c.kind == testserver.H2C {
		options.Request = &netreply.Request{HTTP: netreply.HTTP2Direct}
	}
	return m.RoundTripper(options)
}
