package httpserver_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// A Config's TLS stays as it is: Servers can share it.
func TestTLSIsNotChanged(t *testing.T) {
	source := httptest.NewTLSServer(http.NotFoundHandler())
	source.Close()
	config := &tls.Config{Certificates: source.TLS.Certificates}
	for range 2 {
		server, err := httpserver.NewServer(httpserver.Config{TLS: config, ErrorLog: log.New(io.Discard, "", 0)})
		require.NoError(t, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		require.NoError(t, err)
		require.Equal(t, "h2", c.ConnectionState().NegotiatedProtocol)
		c.Close()
		server.Close()
		<-served
	}
	require.Empty(t, config.NextProtos)
}
