package dial

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is a connection whose peer sends fixed bytes.
type scripted struct {
	net.Conn
	r    *bytes.Reader
	sent bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c *scripted) Write(p []byte) (int, error)     { return c.sent.Write(p) }
func (c *scripted) Close() error                    { return nil }
func (c *scripted) SetDeadline(time.Time) error     { return nil }
func (c *scripted) SetReadDeadline(time.Time) error { return nil }
func (c *scripted) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func dialScripted(said []byte, conns *int) *Dialer {
	return &Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
		*conns++
		return &scripted{r: bytes.NewReader(said)}, nil
	}}
}

// FuzzProxy: for any response of a proxy the result is a tunnel or a *ProxyError, after a
// bounded number of connections, and bytes after the response are not lost.
func FuzzProxy(f *testing.F) {
	for _, s := range []string{"", "HTTP/1.1 200 OK\r\n\r\nrest", "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM TlRMTVNTUAACAAAA\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.0 403 No\r\n\r\nsorry",
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x02\x01\x00\x05\x00\x00\x03\x01a\x00\x50", "\x05\xff", "\x05\x02\x01\x01", "\x05\x00\x05\x05\x00\x01"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, said []byte, known bool) {
		for _, kind := range []Kind{Tunnel, SOCKS5} {
			conns := 0
			p := &Proxy{Kind: kind, Addr: "proxy.test:1", Credentials: known, User: "user", Password: "hidden"}
			defer p.Close()
			c, err := dialScripted(said, &conns).Through(t.Context(), p, "target.test:443", nil)
			if conns > maxRounds+1 {
				t.Fatalf("%d connections", conns)
			}
			if err == nil {
				rest, err := io.ReadAll(c)
				if err != nil || !bytes.HasSuffix(said, rest) {
					t.Fatalf("%q, %v after the answer", rest, err)
				}
				continue
			}
			var pe *ProxyError
			if !errors.As(err, &pe) {
				t.Fatalf("%T: %v", err, err)
			}
			if bytes.Contains([]byte(err.Error()), []byte("hidden")) {
				t.Fatal("the password is in the error")
			}
			if i := strings.IndexFunc(err.Error(), unicode.IsControl); i >= 0 {
				t.Fatalf("a control character in %q", err.Error())
			}
		}
	})
}

// TestTunnelEarlyBytes: bytes of the target that came with the proxy's response are read first.
func TestTunnelEarlyBytes(t *testing.T) {
	conns := 0
	c, err := dialScripted([]byte("HTTP/1.1 200 OK\r\n\r\nearly words"), &conns).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:25", nil)
	require.NoError(t, err)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "early words", string(got))
}

// TestProxyRememberedChallenge: the last challenge of the proxy is answered in the first
// CONNECT of the next dial, with the next nonce count (RFC 7616, section 3.4).
func TestProxyRememberedChallenge(t *testing.T) {
	ask := []byte("HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
	p := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p"}
	var last *scripted
	d := &Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
		last = &scripted{r: bytes.NewReader(ask)}
		return last, nil
	}}
	_, err := d.Through(t.Context(), p, "target.test:443", nil)
	require.NoError(t, err)
	assert.Contains(t, last.sent.String(), "nc=00000001")
	assert.Equal(t, 2, bytes.Count(last.sent.Bytes(), []byte("CONNECT target.test:443")))
	ask = []byte("HTTP/1.1 200 OK\r\n\r\n")
	_, err = d.Through(t.Context(), p, "target.test:443", nil)
	require.NoError(t, err)
	assert.Contains(t, last.sent.String(), "nc=00000002")
	assert.Equal(t, 1, bytes.Count(last.sent.Bytes(), []byte("CONNECT")))
}
