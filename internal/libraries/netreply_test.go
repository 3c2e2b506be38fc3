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
func newManagerTransport(t testing.TB, kind testserver.Kind, cfg *tls.Config) http.RoundTripper {
	m, err := netreply.NewManager(netreply.Config{
		SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, Resolver: resolver,
	})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	options := netreply.RoundTripperOptions{}
	if kind == testserver.H2C {
		options.Request = &netreply.Request{HTTP: netreply.HTTP2Direct}
	}
	return m.RoundTripper(options)
}
