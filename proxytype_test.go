package netreply_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestProxyWithoutType: a Proxy with a host but without a type is an error, because the
// zero ProxyType means no proxy.
func TestProxyWithoutType(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	var cfg netreply.Config
	for name, p := range map[string]netreply.Proxy{"host": {Host: "proxy.test"}, "port": {Port: 8080}} {
		t.Run(name, func(t *testing.T) {
			_, err := netreply.NewManager(netreply.Config{Proxy: &p})
			requireField(t, err, "Config.Proxy.Type")

			m := newManager(t, cfg)
			req := newRequest(t, s.URL)
			req.Proxy = &p
			err = m.Fetch(t.Context(), "GET", req, nil).Err()
			require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
			requireField(t, err, "Request.Proxy.Type")

			list := cfg
			list.ProxyFactory = listOf(&p)
			err = newManager(t, list).Fetch(t.Context(), "GET", newRequest(t, s.URL), nil).Err()
			require.ErrorIs(t, err, netreply.ProxyNotFoundError)
			assert.ErrorContains(t, err, "invalid Proxy.Type")

			list.ProxyFactory = listOf(&p, &netreply.Proxy{Type: netreply.NoProxy})
			require.NoError(t, newManager(t, list).Fetch(t.Context(), "GET", newRequest(t, s.URL), nil).Err())
		})
	}
	cfg.Proxy = &netreply.Proxy{}
	require.NoError(t, newManager(t, cfg).Fetch(t.Context(), "GET", newRequest(t, s.URL), nil).Err())
}

// requireField requires an error that names a field.
func requireField(t *testing.T, err error, field string) {
	t.Helper()
	var e *netreply.FieldError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, field, e.Field)
	assert.NotEmpty(t, e.Reason, "what helps")
}
