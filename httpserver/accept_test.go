package httpserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply/httpserver"
)

// from is a connection that says where it comes from.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

// address is an address as listeners have that are not of package net.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// TestAllowDeny: who may connect. Who may not leaves a record.
func TestAllowDeny(t *testing.T) {
	list := func(all ...string) (l []netip.Prefix) {
		for _, p := range all {
			l = append(l, netip.MustParsePrefix(p))
		}
		return l
	}
	tcp := func(a string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a)) }
	for _, c := range []struct {
		allow, deny []netip.Prefix
		addr        net.Addr
		want        bool
	}{
		{nil, nil, tcp("192.0.2.1:1"), true},
		{list("192.0.2.0/24"), nil, tcp("192.0.2.1:1"), true},
		{list("192.0.2.0/24"), nil, tcp("192.0.3.1:1"), false},
		{nil, list("192.0.2.0/24"), tcp("192.0.2.1:1"), false},
		{nil, list("192.0.2.0/24"), tcp("[::ffff:192.0.2.1]:1"), false},
		{nil, list("::ffff:192.0.2.0/120"), tcp("192.0.2.1:1"), false},
		{nil, list("::/0"), tcp("192.0.2.1:1"), true},
		{nil, list("2001:db8::/32"), tcp("[2001:db8:1::1]:1"), false},
		{nil, list("fe80::/10"), tcp("[fe80::1%eth0]:1"), false},
		{list("2001:db8::/32", "192.0.2.1/32"), nil, tcp("[2001:db9::1]:1"), false},
		{list("192.0.2.0/24"), nil, &net.UnixAddr{Name: "x"}, true},
		{nil, list("192.0.2.0/24"), address("192.0.2.1:1"), false},
		{list("192.0.2.0/24"), nil, address("192.0.3.1:1"), false},
		{list("192.0.2.0/24"), nil, address("192.0.2.1:1"), true},
		{list("192.0.2.0/24"), nil, nil, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var logged lines
			s := newServer(t, httpserver.Config{Allow: c.allow, Deny: c.deny, Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
			l := newPipes()
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			client, server := net.Pipe()
			l.conns <- from{server, c.addr}
			io.WriteString(client, h1("GET"))
			got, _ := io.ReadAll(client)
			assert.Equal(t, c.want, len(got) > 0, "%+v", c)
			setting := "Deny"
			if c.allow != nil {
				setting = "Allow"
			}
			if c.want {
				assert.Empty(t, logged.String())
			} else {
				assert.Contains(t, logged.String(), fmt.Sprintf("level=DEBUG msg=\"connection refused\" remote=%s setting=%s\n", c.addr, setting))
			}
			client.Close()
			s.Close()
			assert.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
	for _, bad := range []httpserver.Config{{Allow: []netip.Prefix{{}}}, {Deny: []netip.Prefix{{}}}} {
		_, err := httpserver.NewServer(bad)
		assert.Error(t, err)
	}
}

// certify makes a certificate for a name and writes it and its key.
func certify(t *testing.T, name, certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	if certFile != "" {
		require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	}
	if keyFile != "" {
		require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
}

// TestCertFile: a certificate that is replaced is served from then on, and one that cannot
// be used is not.
func TestCertFile(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_, err := httpserver.NewServer(httpserver.Config{CertFile: certFile, KeyFile: keyFile})
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = httpserver.NewServer(httpserver.Config{CertFile: certFile})
	assert.Error(t, err)
	certify(t, "one.example", certFile, keyFile)
	var logged lines
	base := &tls.Config{MinVersion: tls.VersionTLS13}
	s := newServer(t, httpserver.Config{TLS: base, CertFile: certFile, KeyFile: keyFile, ErrorLog: log.New(&logged, "", 0)})
	assert.Nil(t, base.GetCertificate, "the program's own is not touched")
	addr := listen(t, s)
	serves := func(name string) func() bool {
		return func() bool {
			c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, err)
			defer c.Close()
			state := c.ConnectionState()
			assert.Equal(t, uint16(tls.VersionTLS13), state.Version)
			return state.PeerCertificates[0].VerifyHostname(name) == nil
		}
	}
	assert.True(t, serves("one.example")())
	certify(t, "two.example", certFile, "") // its key is still to come
	require.Eventually(t, func() bool { return serves("one.example")() && logged.String() != "" }, 20*time.Second, 10*time.Millisecond)
	assert.Contains(t, logged.String(), "httpserver: the certificate cannot be loaded anew, the last one stays: ")
	certify(t, "two.example", certFile, keyFile)
	require.Eventually(t, serves("two.example"), 20*time.Second, 10*time.Millisecond)
	require.NoError(t, os.Remove(keyFile))
	assert.True(t, serves("two.example")())
}

// TestHTTP2Config: its settings are what clients are told.
func TestHTTP2Config(t *testing.T) {
	s := newServer(t, httpserver.Config{HTTP2Cleartext: true, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 7, MaxReadFrameSize: 1 << 15}})
	c := send(t, listen(t, s), http2.ClientPreface)
	f := http2.NewFramer(c, c)
	require.NoError(t, f.WriteSettings())
	frame, err := f.ReadFrame()
	require.NoError(t, err)
	if settings, ok := frame.(*http2.SettingsFrame); assert.True(t, ok, "%v", frame) {
		streams, _ := settings.Value(http2.SettingMaxConcurrentStreams)
		size, _ := settings.Value(http2.SettingMaxFrameSize)
		assert.EqualValues(t, 7, streams)
		assert.EqualValues(t, 1<<15, size)
	}
}
