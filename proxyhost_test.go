package netreply_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestProxyHost: an invalid host of a proxy is an error, without its value if that may
// contain a password.
func TestProxyHost(t *testing.T) {
	for _, host := range []string{"", "a b", "a\r\nX: 1", "a\n", "a\x00", "a\t", "a/b", "u:secret@a", "secret@a", "http://u:secret@a:1", "[::1]", "a:80", "a:secret", "::1%x\r\n", "fe80::1%a b", "a%0d", "\u007f"} {
		for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPSProxy, netreply.Socks5Proxy, netreply.HTTPCachingProxy} {
			p := &netreply.Proxy{Type: kind, Host: host}
			_, err := netreply.NewManager(netreply.Config{Proxy: p})
			var field *netreply.FieldError
			require.ErrorAs(t, err, &field, "%q", host)
			assert.Equal(t, "Config.Proxy.Host", field.Field)
			assert.NotEmpty(t, field.Reason)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "secret")
			m := newManager(t, netreply.Config{ProxyFactory: listOf(p), DialContext: func(context.Context, string, string) (net.Conn, error) {
				t.Error("a connection was opened")
				return nil, net.ErrClosed
			}})
			require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "http://a.test/")).Wait(deadline(t)), netreply.ProxyNotFoundError)
			req := newRequest(t, "http://a.test/")
			req.Proxy = p
			require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProtocolInvalidOperationError)
		}
	}
	var dialled string
	for host, want := range map[string]string{"proxy.test": "proxy.test:8080", "::1": "[::1]:8080", "fe80::1%eth0": "[fe80::1%eth0]:8080", "BÜCHER.test": "xn--bcher-kva.test:8080", "a_b": "a_b:8080"} {
		m := newManager(t, netreply.Config{Proxy: &netreply.Proxy{Type: netreply.HTTPProxy, Host: host}, DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = addr
			return nil, netreply.ConnectionRefusedError
		}})
		require.Error(t, m.Get(t.Context(), newRequest(t, "http://a.test/")).Wait(deadline(t)))
		assert.Equal(t, want, dialled)
	}
}

// TestPeerVerifyName: the name must be valid, because it is sent in the handshake.
func TestPeerVerifyName(t *testing.T) {
	for _, name := range []string{"a b", "a\r\n", "a\x00", "a/b", "a:80", "*.test"} {
		_, err := netreply.NewManager(netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{PeerVerifyName: name}})
		if name == "*.test" {
			require.NoError(t, err, "a name in a strange form is a name that no certificate has")
			continue
		}
		require.ErrorContains(t, err, "Config.SSLConfiguration.PeerVerifyName", "%q", name)
	}
}

// TestConnectToHostMistakes: invalid arguments are errors.
func TestConnectToHostMistakes(t *testing.T) {
	var none *netreply.Manager
	for _, m := range []*netreply.Manager{none, {}} {
		require.ErrorIs(t, m.ConnectToHost(t.Context(), "a.test", 80), netreply.ProtocolInvalidOperationError)
		require.ErrorContains(t, m.ConnectToHostEncrypted(t.Context(), "a.test", 80, nil), "NewManager")
	}
	m := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, netreply.ConnectionRefusedError }})
	//lint:ignore SA1012 it is the mistake that is tried
	require.ErrorIs(t, m.ConnectToHost(nil, "a.test", 80), netreply.ConnectionRefusedError)
	err := m.ConnectToHost(t.Context(), "user:secret@a.test", 80)
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	assert.NotContains(t, err.Error(), "secret")
	require.Error(t, m.ConnectToHostEncrypted(t.Context(), "a.test", 80, &netreply.SSLConfiguration{MinProtocol: 1}))
}

// TestParseProxyMistakes: invalid URLs are errors without a Proxy.
func TestParseProxyMistakes(t *testing.T) {
	for raw, text := range map[string]string{
		"127.0.0.1:8080": "http://host:port", "proxy.test": "http://host:port", "socks4://proxy.test": "socks5", "": "http://host:port",
		"http://:80": "the host is missing", "http://proxy.test:0": "from 1 to 65535", "http://proxy.test:65536": "from 1 to 65535", "socks5://a%0d%0ab": "http://host:port",
	} {
		p, err := netreply.ParseProxy(raw)
		require.ErrorContains(t, err, text, raw)
		assert.Nil(t, p)
	}
}
