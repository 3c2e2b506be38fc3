package netreply_test

import (
	"context"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// badTargets are invalid URLs, with the invalid part.
var badTargets = []struct {
	url  url.URL
	part string
}{
	{url.URL{Host: "a.test\r\nX-Injected: 1"}, "host"},
	{url.URL{Host: "a.test\n"}, "host"},
	{url.URL{Host: "a.test\x00"}, "host"},
	{url.URL{Host: "a b.test"}, "host"},
	{url.URL{Host: "a.test\t"}, "host"},
	{url.URL{Host: "a.test/x"}, "host"},
	{url.URL{Host: `a.test\x`}, "host"},
	{url.URL{Host: "a.test#x"}, "host"},
	{url.URL{Host: "a.test?x"}, "host"},
	{url.URL{Host: "user:secret@a.test"}, "host"},
	{url.URL{Host: "secret@a.test"}, "host"},
	{url.URL{Host: "a%0d%0a.test"}, "host"},
	{url.URL{Host: "a:80:80"}, "host"},
	{url.URL{Host: "::1"}, "host"},
	{url.URL{Host: "[::1"}, "host"},
	{url.URL{Host: "[a.test]"}, "host"},
	{url.URL{Host: "[127.0.0.1]"}, "host"},
	{url.URL{Host: "[fe80::1%eth0\r\nX: 1]"}, "host"},
	{url.URL{Host: "[fe80::1%a b]:80"}, "host"},
	{url.URL{Host: "[::1]x"}, "host"},
	{url.URL{Host: "[::1]\r\n:80"}, "host"},
	{url.URL{Host: "a\u3002\u2024\u0000.test"}, "host"},
	{url.URL{Host: "a.test:65536"}, "port"},
	{url.URL{Host: "a.test:99999999999999999999"}, "port"},
	{url.URL{Host: "a.test", Opaque: "/x HTTP/1.1\r\nX: 1"}, "URL"},
	{url.URL{Host: "a.test", Path: "/", RawQuery: "a b"}, "URL"},
	{url.URL{Host: "a.test", Path: "/", RawQuery: "a\r\nX: 1"}, "URL"},
}

// TestInvalidTarget: a target with characters that would break the request is refused
// before a byte is sent, also in a url.URL that was not made by a parser (rule L24).
func TestInvalidTarget(t *testing.T) {
	m := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was opened")
		return nil, net.ErrClosed
	}})
	for _, scheme := range []string{"http", "https", "unix+http"} {
		for _, c := range badTargets {
			u := c.url
			u.Scheme = scheme
			r := m.Get(t.Context(), &netreply.Request{URL: &u, LocalServerName: "/nowhere"})
			err := r.Wait(deadline(t))
			require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, "%q", u.Host)
			var field *netreply.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, c.part, field.Field, "%q", u.Host)
			assert.NotContains(t, field.Error(), "secret")
			assert.NotContains(t, field.Error(), "\n")
		}
	}
	for _, host := range []string{"a b", "a\r\nX: 1", "a:b", "a@b", "[::1]", "::1%x\r\n", "/", ""} {
		err := m.ConnectToHost(t.Context(), host, 80)
		require.Error(t, err, "%q", host)
		assert.NotContains(t, err.(*netreply.Error).Err.Error(), "\n")
		require.Error(t, m.ConnectToHostEncrypted(t.Context(), host, 0, nil), "%q", host)
	}
}

// TestUnusualTarget: targets that look strange and are valid.
func TestUnusualTarget(t *testing.T) {
	for _, host := range []string{"a_b.test", "a.test.", "a.test:", "a.test:1", "[::1]", "[::1]:65535", "[fe80::1%eth0]:1", "bücher.test", "a--b~c!$&'()*+,;=.test", "1.2.3"} {
		tried := false
		m := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
			tried = true
			return nil, netreply.ConnectionRefusedError
		}})
		r := m.Get(t.Context(), &netreply.Request{URL: &url.URL{Scheme: "http", Host: host}})
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.ConnectionRefusedError, host)
		assert.True(t, tried, host)
	}
}
