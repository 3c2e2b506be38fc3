package netreply_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyFailures: every failure of a proxy has its own code, in every phase (D9).
func TestProxyFailures(t *testing.T) {
	closed := testserver.Refusing(t)
	refused := "HTTP/1.1 %s\r\nContent-Length: 5\r\nX-Why: because\r\n\r\nsorry"
	say := func(text string) func(*testserver.Conn) {
		return func(c *testserver.Conn) { c.Request(); c.Say(text) }
	}
	socks := func(text string) func(*testserver.Conn) {
		return func(c *testserver.Conn) {
			io.ReadFull(c.R, make([]byte, 4))
			c.Say("\x05\x00")
			io.ReadFull(c.R, make([]byte, 7))
			c.Say(text)
			c.R.ReadByte()
		}
	}
	silent := func(c *testserver.Conn) { io.Copy(io.Discard, c.R) }
	type failure struct {
		proxy netreply.ProxyType
		url   string
		serve func(*testserver.Conn)
		code  netreply.NetworkError
		body  bool
	}
	cases := map[string]failure{}
	for name, c := range map[string]struct {
		serve func(*testserver.Conn)
		code  netreply.NetworkError
		body  bool
	}{
		"closed":     {func(c *testserver.Conn) { c.Head() }, netreply.ProxyConnectionClosedError, false},
		"reset":      {func(c *testserver.Conn) { c.Head(); c.Reset() }, netreply.ProxyConnectionClosedError, false},
		"half":       {say("HTTP/1.1 200 O"), netreply.ProxyConnectionClosedError, false},
		"garbage":    {say("220 mail.test ESMTP\r\n\r\n"), netreply.UnknownProxyError, false},
		"endless":    {say("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 100_000)), netreply.UnknownProxyError, false},
		"silent":     {silent, netreply.ProxyTimeoutError, false},
		"400":        {say(fmt.Sprintf(refused, "400 Bad")), netreply.UnknownProxyError, true},
		"403":        {say(fmt.Sprintf(refused, "403 No")), netreply.UnknownProxyError, true},
		"404":        {say(fmt.Sprintf(refused, "404 None")), netreply.HostNotFoundError, true},
		"407":        {say(fmt.Sprintf(refused, "407 Who")), netreply.ProxyAuthenticationRequiredError, true},
		"500":        {say(fmt.Sprintf(refused, "500 Oh")), netreply.UnknownProxyError, true},
		"502":        {say(fmt.Sprintf(refused, "502 Oh")), netreply.UnknownProxyError, true},
		"503":        {say(fmt.Sprintf(refused, "503 Busy")), netreply.ConnectionRefusedError, true},
		"interims":   {say(strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 20)), netreply.UnknownProxyError, false},
		"long body":  {say("HTTP/1.1 403 No\r\n\r\nsorry" + strings.Repeat("!", 1<<20)), netreply.UnknownProxyError, true},
		"TLS inside": {say("HTTP/1.1 200 OK\r\n\r\nnot TLS at all"), netreply.SslHandshakeFailedError, false},
	} {
		cases["CONNECT/"+name] = failure{netreply.HTTPProxy, "https://target.test/", c.serve, c.code, c.body}
	}
	for name, c := range map[string]struct {
		serve func(*testserver.Conn)
		code  netreply.NetworkError
	}{
		"closed":    {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)) }, netreply.ProxyConnectionClosedError},
		"garbage":   {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("HTTP/1.1 400 Bad Request\r\n\r\n") }, netreply.UnknownProxyError},
		"nobody":    {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\xff") }, netreply.ProxyAuthenticationRequiredError},
		"other":     {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\x01") }, netreply.UnknownProxyError},
		"password":  {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\x02") }, netreply.ProxyAuthenticationRequiredError},
		"silent":    {silent, netreply.ProxyTimeoutError},
		"general":   {socks("\x05\x01\x00\x01"), netreply.UnknownProxyError},
		"rules":     {socks("\x05\x02\x00\x01"), netreply.UnknownProxyError},
		"network":   {socks("\x05\x03\x00\x01"), netreply.UnknownProxyError},
		"host":      {socks("\x05\x04\x00\x01"), netreply.HostNotFoundError},
		"refused":   {socks("\x05\x05\x00\x01"), netreply.ConnectionRefusedError},
		"what":      {socks("\x05\x63\x00\x01"), netreply.UnknownProxyError},
		"version 4": {socks("\x04\x00\x00\x01"), netreply.UnknownProxyError},
		"address":   {socks("\x05\x00\x00\x09"), netreply.UnknownProxyError},
		"half":      {socks("\x05\x00\x00\x01\x00"), netreply.ProxyConnectionClosedError},
	} {
		cases["SOCKS5/"+name] = failure{netreply.Socks5Proxy, "http://target.test/", c.serve, c.code, false}
	}
	cases["forward/closed"] = failure{netreply.HTTPProxy, "http://target.test/", func(c *testserver.Conn) { c.Head() }, netreply.ProxyConnectionClosedError, false}
	cases["forward/garbage"] = failure{netreply.HTTPProxy, "http://target.test/", say("220 mail.test ESMTP\r\n\r\n"), netreply.UnknownProxyError, false}
	cases["forward/502"] = failure{netreply.HTTPProxy, "http://target.test/", say("HTTP/1.1 502 Oh\r\nContent-Length: 0\r\n\r\n"), netreply.UnknownServerError, false}
	cases["forward/407"] = failure{netreply.HTTPProxy, "http://target.test/", say("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"), netreply.ProxyAuthenticationRequiredError, false}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testserver.NewRaw(t, nil, c.serve)
			config := netreply.Config{Proxy: proxyAt(c.proxy, s.Addr)}
			if c.code == netreply.ProxyTimeoutError {
				config.ConnectTimeout = 300 * time.Millisecond
			}
			m := newManager(t, config)
			r := m.Get(t.Context(), newRequest(t, c.url))
			err := r.Wait(deadline(t))
			require.ErrorIs(t, err, c.code)
			var e *netreply.Error
			require.ErrorAs(t, err, &e)
			if strings.HasPrefix(name, "CONNECT") && name != "CONNECT/TLS inside" {
				assert.Equal(t, netreply.PhaseProxy, e.Phase)
				assert.Contains(t, err.Error(), s.Addr, "which proxy")
				assert.Zero(t, r.StatusCode(), "the target has said nothing")
			}
			got := r.ProxyResponse()
			require.Equal(t, c.body, got != nil)
			if c.body {
				assert.True(t, strings.HasPrefix(string(got.Body), "sorry"))
				assert.LessOrEqual(t, len(got.Body), 64<<10)
				assert.GreaterOrEqual(t, got.StatusCode, 400)
				assert.NotEmpty(t, got.Reason)
			}
		})
	}
	for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPSProxy, netreply.Socks5Proxy} {
		for _, u := range []string{"http://target.test/", "https://target.test/"} {
			get := func(p *netreply.Proxy, dial func(context.Context, string, string) (net.Conn, error)) error {
				config := netreply.Config{Proxy: p, DialContext: dial}
				if dial != nil { // it hangs
					config.ConnectTimeout = 200 * time.Millisecond
				}
				m := newManager(t, config)
				return m.Get(t.Context(), newRequest(t, u)).Wait(deadline(t))
			}
			err := get(proxyAt(kind, closed), nil)
			assert.ErrorIs(t, err, netreply.ProxyConnectionRefusedError, "%v %s", kind, u)
			err = get(&netreply.Proxy{Type: kind, Host: "no-such-proxy.invalid"}, nil)
			assert.ErrorIs(t, err, netreply.ProxyNotFoundError, "%v %s", kind, u)
			err = get(&netreply.Proxy{Type: kind, Host: "slow.test"}, func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			assert.ErrorIs(t, err, netreply.ProxyTimeoutError, "%v %s", kind, u)
			var pe *netreply.ProxyError
			assert.ErrorAs(t, err, &pe)
		}
	}
	plain := testserver.NewRaw(t, nil, say("HTTP/1.1 200 OK\r\n\r\n"))
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPSProxy, plain.Addr)})
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "https://target.test/")).Wait(deadline(t)), netreply.UnknownProxyError, "a proxy without TLS")
	stranger := testserver.NewProxy(t, "127.0.0.1:1", &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}})
	m = newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPSProxy, stranger.Addr)})
	for _, u := range []string{"http://target.test/", "https://target.test/"} {
		req := newRequest(t, u)
		req.IgnoreAllSSLErrors = true
		r := m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.UnknownProxyError, "ignoring flaws of the server does not ignore those of the proxy")
		assert.NotContains(t, signalNames(t, r), "flaws")
		var ce *netreply.CertificateError
		require.ErrorAs(t, r.Err(), &ce)
		assert.Equal(t, netreply.SSLHostNameMismatch, ce.Errors[0].Code)
		assert.Equal(t, netreply.SSLSelfSignedCertificate, ce.Errors[1].Code)
	}
	asked := stranger.Requests()
	assert.Empty(t, asked)
	trusting := proxyAt(netreply.HTTPSProxy, stranger.Addr)
	trusting.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
	m = newManager(t, netreply.Config{Proxy: trusting})
	m.Get(t.Context(), newRequest(t, "https://target.test/")).Wait(deadline(t))
	asked = stranger.Requests()
	assert.Equal(t, []string{"CONNECT target.test:443"}, asked)
}
