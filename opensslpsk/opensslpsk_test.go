package opensslpsk_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/opensslpsk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte("0123456789abcdef0123456789abcdef")

// server starts OpenSSL's server and returns its URL.
func server(t *testing.T, args ...string) string {
	bin, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on this machine (Debian: openssl)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	var out bytes.Buffer
	cmd := exec.Command(bin, append([]string{"s_server", "-accept", addr, "-www", "-quiet"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("openssl s_server: %s", out.Bytes())
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	return "https://" + addr + "/"
}

func manager(t *testing.T, c netreply.Config) *netreply.Manager {
	if c.SSLConfiguration == nil {
		c.SSLConfiguration = &netreply.SSLConfiguration{PSK: opensslpsk.Dialer{}}
	}
	m, err := netreply.NewManager(c)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func request(t *testing.T, url string) *netreply.Request {
	req, err := netreply.NewRequest(url)
	require.NoError(t, err)
	return req
}

var kinds = map[string][]string{
	"TLS 1.2 PSK":       {"-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256", "-psk_hint", "which one?"},
	"TLS 1.2 DHE-PSK":   {"-tls1_2", "-cipher", "DHE-PSK-AES256-GCM-SHA384", "-psk_hint", "which one?"},
	"TLS 1.2 ECDHE-PSK": {"-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305", "-psk_hint", "which one?"},
	"TLS 1.3":           {"-tls1_3"},
	"any":               {},
}

// TestServer: OpenSSL's server, with all kinds of suites, with the right key, a wrong one
// and none.
func TestServer(t *testing.T) {
	for name, args := range kinds {
		t.Run(name, func(t *testing.T) {
			url := server(t, append([]string{"-nocert", "-psk", hex.EncodeToString(key), "-psk_identity", "me"}, args...)...)
			answer := func(identity string, k []byte) (*netreply.Reply, []byte, error) {
				var hints []string
				m := manager(t, netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) {
					if q, ok := e.(netreply.PreSharedKeyAuthenticationRequired); ok {
						hints = append(hints, string(q.IdentityHint))
						assert.False(t, q.Set([]byte(strings.Repeat("x", q.MaximumIdentityLength+1)), k), "too long")
						assert.Positive(t, q.MaximumPreSharedKeyLength)
						if k != nil {
							assert.True(t, q.Set([]byte(identity), k))
						}
					}
				}})
				r := m.Get(t.Context(), request(t, url))
				got, err := r.ReadAll()
				if strings.HasPrefix(name, "TLS 1.2") && k != nil {
					assert.Equal(t, "which one?", hints[len(hints)-1])
				}
				assert.NotEmpty(t, hints)
				return r, got, err
			}
			r, got, err := answer("me", key)
			require.NoError(t, err)
			assert.Contains(t, string(got), "s_server -accept")
			state := r.SSLConfiguration()
			assert.True(t, state.HandshakeComplete)
			assert.Empty(t, state.PeerCertificates)
			if strings.HasPrefix(name, "TLS 1.2") {
				assert.EqualValues(t, tls.VersionTLS12, state.Version)
			} else {
				assert.EqualValues(t, tls.VersionTLS13, state.Version)
				assert.NotZero(t, state.CipherSuite)
			}
			var events []string
			for e := range r.Events(t.Context()) {
				events = append(events, strings.TrimPrefix(fmt.Sprintf("%T", e), "netreply."))
			}
			assert.Equal(t, []string{"SocketStartedConnecting", "PreSharedKeyAuthenticationRequired"}, events[:2])
			assert.Contains(t, events, "Encrypted")

			_, _, err = answer("me", []byte("a wrong key of the same length!!"))
			require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
			_, _, err = answer("", nil)
			require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
			assert.ErrorContains(t, err, "no pre-shared key")
		})
	}
}

// TestCertificateInstead: a server with a valid certificate instead of a key is refused.
func TestCertificateInstead(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", dir+"/key", "-out", dir+"/cert", "-subj", "/CN=x").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no openssl on this machine (Debian: openssl)")
	}
	require.NoError(t, err, "%s", out)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		url := server(t, "-cert", dir+"/cert", "-key", dir+"/key", version)
		m := manager(t, netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) {
			if q, ok := e.(netreply.PreSharedKeyAuthenticationRequired); ok {
				q.Set([]byte("me"), key)
			}
		}})
		err := m.Get(t.Context(), request(t, url)).Wait(t.Context())
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
	}
}

// TestAsk: the reply waits for the key, within the time limit of the handshake, and can be
// aborted meanwhile.
func TestAsk(t *testing.T) {
	url := server(t, "-nocert", "-psk", hex.EncodeToString(key), "-psk_identity", "me")
	m := manager(t, netreply.Config{Ask: netreply.AskPreSharedKey})
	r := m.Get(t.Context(), request(t, url))
	q := <-r.PreSharedKeyAuthenticationRequired()
	assert.True(t, r.IsRunning())
	assert.True(t, q.Set([]byte("me"), key))
	assert.False(t, q.Cancel())
	require.NoError(t, r.Wait(t.Context()))

	r = m.Get(t.Context(), request(t, url))
	(<-r.PreSharedKeyAuthenticationRequired()).Cancel()
	require.ErrorIs(t, r.Wait(t.Context()), netreply.SslHandshakeFailedError)

	r = m.Get(t.Context(), request(t, url))
	<-r.PreSharedKeyAuthenticationRequired()
	r.Abort()
	require.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
}

// pair is a connection to OpenSSL's server, as a Dialer makes it.
func pair(t *testing.T, url string) net.Conn {
	raw, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/"))
	require.NoError(t, err)
	c, state, err := opensslpsk.Dialer{}.Handshake(t.Context(), raw, netreply.PSKParameters{ServerName: "host.test", ALPN: []string{"http/1.1"},
		Ask: func(a *netreply.PreSharedKeyAuthenticator) error { a.Set([]byte("me"), key); return nil }})
	require.NoError(t, err)
	assert.Equal(t, "http/1.1", state.NegotiatedProtocol)
	return c
}

// TestConn: concurrent reads and writes, deadlines, and Close.
func TestConn(t *testing.T) {
	url := server(t, "-nocert", "-psk", hex.EncodeToString(key), "-psk_identity", "me", "-alpn", "http/1.1", "-rev")
	c := pair(t, url)
	var wg sync.WaitGroup
	lines := 200
	wg.Go(func() {
		for i := range lines {
			_, err := fmt.Fprintf(c, "%0512d\n", i)
			assert.NoError(t, err)
		}
	})
	got := make([]byte, lines*513)
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	wg.Wait()
	first, _, _ := strings.Cut(string(got), "\n")
	assert.Equal(t, strings.Repeat("0", 512), first)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = c.Read(got)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	wg.Go(func() { _, err := c.Read(make([]byte, 1)); assert.Error(t, err) })
	require.NoError(t, c.Close())
	wg.Wait()
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestCancel: a handshake ends with its context, and with an invalid peer.
func TestCancel(t *testing.T) {
	ask := func(a *netreply.PreSharedKeyAuthenticator) error { a.Set([]byte("me"), key); return nil }
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go io.Copy(io.Discard, theirs)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := opensslpsk.Dialer{}.Handshake(ctx, ours, netreply.PSKParameters{Ask: ask})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ours.Close()
	for _, said := range []string{"", "HTTP/1.1 400 Bad Request\r\n\r\n"} {
		ours, theirs := net.Pipe()
		go func() {
			io.ReadAtLeast(theirs, make([]byte, 4096), 1)
			io.WriteString(theirs, said)
			theirs.Close()
		}()
		_, _, err := opensslpsk.Dialer{}.Handshake(t.Context(), ours, netreply.PSKParameters{Ask: ask})
		require.Error(t, err)
		ours.Close()
	}
	_, _, err = opensslpsk.Dialer{}.Handshake(t.Context(), nil, netreply.PSKParameters{Ask: ask, MaxProtocol: tls.VersionTLS10})
	require.ErrorContains(t, err, "MaxProtocol")
	_, _, err = opensslpsk.Dialer{}.Handshake(t.Context(), nil, netreply.PSKParameters{})
	require.ErrorContains(t, err, "Ask")
}
