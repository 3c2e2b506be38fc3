package netreply_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestErrorsOfNetHTTP: errors that programs know from net/http are in the chain.
func TestErrorsOfNetHTTP(t *testing.T) {
	t.Run("certificate", func(t *testing.T) {
		s, _ := testserver.NewOriginWith(t, testserver.TLS, http.NotFoundHandler(), func(s *http.Server) { s.ErrorLog = discardLog })
		_, err := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL)).ReadAll()
		var untrusted *tls.CertificateVerificationError
		require.ErrorAs(t, err, &untrusted)
		assert.Equal(t, []*x509.Certificate{s.Certificate()}, untrusted.UnverifiedCertificates)
		assert.ErrorAs(t, untrusted.Err, new(x509.UnknownAuthorityError))
	})
	t.Run("certificate, by a RoundTripper", func(t *testing.T) {
		s, _ := testserver.NewOriginWith(t, testserver.TLS, http.NotFoundHandler(), func(s *http.Server) { s.ErrorLog = discardLog })
		client := &http.Client{Transport: newManager(t, netreply.Config{}).RoundTripper(netreply.RoundTripperOptions{})}
		_, err := client.Get(s.URL)
		var failed *url.Error
		require.ErrorAs(t, err, &failed)
		require.IsType(t, &tls.CertificateVerificationError{}, failed.Err)
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
		assert.ErrorAs(t, err, new(*netreply.CertificateError))
		assert.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	})
	t.Run("HTTP instead of TLS", func(t *testing.T) {
		s, _ := testserver.NewOriginWith(t, testserver.Plain, http.NotFoundHandler(), func(s *http.Server) { s.ErrorLog = discardLog })
		_, err := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, strings.Replace(s.URL, "http:", "https:", 1))).ReadAll()
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
		require.ErrorIs(t, err, http.ErrSchemeMismatch)
		assert.ErrorAs(t, err, new(tls.RecordHeaderError))
	})
	t.Run("something else instead of TLS", func(t *testing.T) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Say("220 mail.test ESMTP\r\n")
			io.Copy(io.Discard, c)
		})
		_, err := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, "https://"+s.Addr)).ReadAll()
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
		assert.NotErrorIs(t, err, http.ErrSchemeMismatch)
	})
	t.Run("scheme", func(t *testing.T) {
		_, err := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, "gopher://127.0.0.1/")).ReadAll()
		require.ErrorIs(t, err, netreply.ProtocolUnknownError)
		assert.ErrorContains(t, err, "unsupported protocol scheme")
	})
}
