// Package interop tests against other implementations of servers, and a Server of httpserver
// with a suite for them, h2spec. It is a separate module,
// so that programs which use netreply do not depend on these.
package interop

import (
	"context"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Lingering{M: m}) }

// client is a Manager that reaches an httpbin over one protocol.
type client struct {
	*netreply.Manager
	server *httptest.Server
	kind   testserver.Kind
	config netreply.Config
}

// eachProtocol runs a test over every protocol.
func eachProtocol(t *testing.T, test func(*testing.T, *client)) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server, cfg := testserver.NewOrigin(t, kind, httpbin.New())
			c := &client{server: server, kind: kind}
			c.config.SSLConfiguration = &netreply.SSLConfiguration{TLS: cfg}
			c.Manager = c.newManager(t)
			test(t, c)
		})
	}
}

// newManager makes a Manager without state of other replies.
func (c *client) newManager(t *testing.T) *netreply.Manager {
	m, err := netreply.NewManager(c.config)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func (c *client) request(t *testing.T, path string) *netreply.Request {
	req, err := netreply.NewRequest(c.server.URL + path)
	require.NoError(t, err)
	if c.kind == testserver.H2C {
		req.HTTP = netreply.HTTP2Direct
	}
	return req
}

func (c *client) get(t *testing.T, path string) string {
	b, err := c.Get(t.Context(), c.request(t, path)).ReadAll()
	require.NoError(t, err, path)
	return string(b)
}

func TestHTTPBin(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *client) {
		assert.Len(t, c.get(t, "/stream-bytes/100000?seed=1"), 100000)
		assert.Len(t, c.get(t, "/drip?duration=0.1&delay=0&numbytes=5"), 5)
		assert.Contains(t, c.get(t, "/redirect/5"), "/get")
		assert.Contains(t, c.get(t, "/cookies/set?a=1&b=2"), `"a": "1"`)
		form := c.request(t, "/post")
		netreply.ContentTypeHeader.Set(&form.Headers, "application/x-www-form-urlencoded")
		b, err := c.Post(t.Context(), form, netreply.StringBody("a=b")).ReadAll()
		require.NoError(t, err)
		assert.Regexp(t, `"a":\s*\[\s*"b"`, string(b))
		_, err = c.Get(t.Context(), c.request(t, "/status/418")).ReadAll()
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	})
}

func TestHTTPBinCodings(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *client) {
		for _, path := range []string{"/gzip", "/deflate"} {
			assert.Contains(t, c.get(t, path), `"headers"`, path)
		}
	})
}

func TestHTTPBinAuthentication(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *client) {
		get := func(m *netreply.Manager, path, user, password string) (string, error) {
			req := c.request(t, path)
			req.URL.User = url.UserPassword(user, password)
			b, err := m.Get(t.Context(), req).ReadAll()
			return string(b), err
		}
		for _, path := range []string{"/basic-auth/user/pass", "/digest-auth/auth/user/pass", "/digest-auth/auth/user/pass/SHA-256"} {
			b, err := get(c.Manager, path, "user", "pass")
			require.NoError(t, err, path)
			assert.Contains(t, b, `"user": "user"`, path)
			_, err = get(c.newManager(t), path, "user", "wrong")
			require.ErrorIs(t, err, netreply.AuthenticationRequiredError, path)
		}
		_, err := get(c.Manager, "/hidden-basic-auth/user/pass", "user", "pass")
		require.ErrorIs(t, err, netreply.ContentNotFoundError, "a server that never asks")

		req := c.request(t, "/bearer")
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "t0ken"}, nil })
		b, err := c.Get(t.Context(), req).ReadAll()
		require.NoError(t, err)
		assert.Contains(t, string(b), "t0ken")
	})
}
