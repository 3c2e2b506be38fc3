package httpserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestConfigWithoutEffect: settings that another one makes useless are refused, by their
// names.
func TestConfigWithoutEffect(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, "one.example", certFile, keyFile)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	certified := &tls.Config{Certificates: []tls.Certificate{cert}}
	some := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for want, c := range map[string]httpserver.Config{
		"Deny has no effect beside Allow":                             {Allow: some, Deny: some},
		"HTTP2Cleartext has no effect beside TLS and CertFile":        {TLS: certified, HTTP2Cleartext: true},
		"HTTP2 has no effect without TLS, CertFile or HTTP2Cleartext": {HTTP2: &http.HTTP2Config{}},
		"TLS has certificates, which have no effect beside CertFile":  {TLS: certified, CertFile: certFile, KeyFile: keyFile},
		"TLS has no certificate, and there is no CertFile":            {TLS: &tls.Config{}},
		"CertFile and Config.KeyFile need each other":                 {CertFile: certFile},
	} {
		_, err := httpserver.NewServer(c)
		assert.EqualError(t, err, "httpserver: Config."+want)
	}
	_, err = httpserver.NewServer(httpserver.Config{CertFile: certFile, KeyFile: keyFile, HTTP2Cleartext: true})
	assert.Error(t, err)
	for _, c := range []httpserver.Config{
		{TLS: certified, HTTP2: &http.HTTP2Config{}},
		{TLS: &tls.Config{MinVersion: tls.VersionTLS13}, CertFile: certFile, KeyFile: keyFile, HTTP2: &http.HTTP2Config{}},
		{HTTP2Cleartext: true, HTTP2: &http.HTTP2Config{}},
		{TLS: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return certified, nil }}},
		{Deny: some}, {Allow: some},
	} {
		_, err := httpserver.NewServer(c)
		assert.NoError(t, err)
	}
}

// TestConnectionLimitsLeaveRecords: which of them has closed a connection.
func TestConnectionLimitsLeaveRecords(t *testing.T) {
	for setting, c := range map[string]httpserver.Config{"MaxConnections": {MaxConnections: 1}, "MaxConnectionsPerHost": {MaxConnectionsPerHost: 1}} {
		synctest.Test(t, func(t *testing.T) {
			var logged lines
			c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			s := newServer(t, c)
			l := newPipes()
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			dial := func() net.Conn {
				client, server := net.Pipe()
				l.conns <- from{server, address("192.0.2.1:1")}
				return client
			}
			first := dial()
			second := dial()
			_, err := io.ReadAll(second)
			assert.NoError(t, err)
			assert.Contains(t, logged.String(), fmt.Sprintf("level=DEBUG msg=\"connection refused\" remote=192.0.2.1:1 setting=%s\n", setting))
			first.Close()
			s.Close()
			assert.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
}

// TestNothingToCall: a function that is nil is found where it is given.
func TestNothingToCall(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	for want, f := range map[string]func(){
		`httpserver: Handle "GET /a": the function is nil`:     func() { s.Handle("GET /a", nil) },
		`httpserver: Route "GET /b": the function is nil`:      func() { s.Route("GET /b", nil) },
		`httpserver: HandleHTTP "GET /c": the function is nil`: func() { s.HandleHTTP("GET /c", nil) },
		`httpserver: HandleHTTP "GET /d": the function is nil`: func() { s.HandleHTTP("GET /d", http.HandlerFunc(nil)) },
		`httpserver: AfterRequest: the function is nil`:        func() { s.AfterRequest(nil) },
		`httpserver: Finished: the function is nil`:            func() { s.Finished(nil) },
		`httpserver: HandlerFunc: the function is nil`:         func() { httpserver.HandlerFunc(nil) },
		`httpserver: Use: middleware 1 is nil, or returns nil`: func() { newServer(t, httpserver.Config{}).Use(named("a"), nil) },
		`httpserver: Use: middleware 0 is nil, or returns nil`: func() {
			newServer(t, httpserver.Config{}).Use(func(http.Handler) http.Handler { return nil })
		},
	} {
		assert.PanicsWithValue(t, want, f)
	}
	s.SetMissingHandler(nil)
	assert.Equal(t, 404, asked(s, "GET", "/a", nil).Code)
}
