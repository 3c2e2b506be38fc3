package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// identityServer returns the identity of its client or a redirect, and counts connections.
func identityServer(t *testing.T, kind testserver.Kind) (*httptest.Server, *tls.Config, *atomic.Int64) {
	conns := new(atomic.Int64)
	s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		who := "nobody"
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprint(w, who)
	}), func(s *http.Server) {
		s.TLSConfig = &tls.Config{ClientAuth: tls.RequestClientCert}
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				conns.Add(1)
			}
		}
	})
	return s, cfg, conns
}

// TestClientCertificateRedirect: a client certificate is for the origin of the request. A
// redirect to another origin does not send it, one back does; the rest of the configuration is
// used everywhere (D11).
func TestClientCertificateRedirect(t *testing.T) {
	ca := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	mine := issue(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: "me"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	for _, kind := range secureKinds {
		home, cfg, _ := identityServer(t, kind)
		away, _, conns := identityServer(t, kind)
		plain, _, _ := identityServer(t, testserver.Plain)
		on := func(base, to string) string { return base + "/?to=" + url.QueryEscape(to) }
		for name, c := range map[string]*netreply.SSLConfiguration{
			"Certificates": {TLS: cfg, Certificates: []tls.Certificate{mine}},
			"on demand": {TLS: cfg, ClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &mine, nil
			}},
			"TLS.Certificates": {TLS: &tls.Config{RootCAs: cfg.RootCAs, Certificates: []tls.Certificate{mine}}},
			"pinned":           {TLS: cfg, Certificates: []tls.Certificate{mine}, Pins: []netreply.PublicKeyPin{netreply.PinOf(home.Certificate())}},
			"flaws ignored":    {Certificates: []tls.Certificate{mine}, PeerVerifyMode: netreply.QueryPeer},
		} {
			for _, ofManager := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s %v", kind, name, ofManager), func(t *testing.T) {
					conns.Store(0)
					m := newManager(t, netreply.Config{})
					if ofManager {
						m = newManager(t, netreply.Config{SSLConfiguration: c})
					}
					get := func(u string) string {
						t.Helper()
						req := newRequest(t, u)
						if !ofManager {
							req.SSLConfiguration = c
						}
						req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
						req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
							if d, ok := e.(netreply.Redirected); ok {
								d.Allow()
							}
						}
						return readBody(t, m.Get(t.Context(), req))
					}
					assert.Equal(t, "me", get(home.URL))
					assert.Equal(t, "me", get(on(home.URL, "/")), "the same origin")
					assert.Equal(t, "nobody", get(on(home.URL, away.URL)))
					assert.Equal(t, "nobody", get(on(home.URL, away.URL)))
					assert.EqualValues(t, 1, conns.Load(), "such connections are used again")
					assert.Equal(t, "me", get(away.URL), "asked for by the program")
					assert.EqualValues(t, 2, conns.Load(), "and never share one")
					assert.Equal(t, "nobody", get(on(home.URL, away.URL)))
					assert.Equal(t, "me", get(on(home.URL, on(away.URL, home.URL))), "and back")
					assert.Equal(t, "nobody", get(on(plain.URL, away.URL)))
					assert.EqualValues(t, 2, conns.Load())
				})
			}
		}
	}
}

// TestClientCertificateAcceptedErrors: accepted certificate errors do not send the client
// certificate to another origin either.
func TestClientCertificateAcceptedErrors(t *testing.T) {
	mine := selfSigned(t, "me")
	home, _, _ := identityServer(t, testserver.TLS)
	away, _, _ := identityServer(t, testserver.TLS)
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{Certificates: []tls.Certificate{mine}},
		OnSignal: func(_ *netreply.Reply, e netreply.Event) {
			if q, ok := e.(netreply.SSLErrorsOccurred); ok {
				q.Ignore()
			}
		}})
	assert.Equal(t, "nobody", readBody(t, m.Get(t.Context(), newRequest(t, home.URL+"/?to="+url.QueryEscape(away.URL)))))
	back := away.URL + "/?to=" + url.QueryEscape(home.URL)
	assert.NotEqual(t, "nobody", readBody(t, m.Get(t.Context(), newRequest(t, home.URL+"/?to="+url.QueryEscape(back)))))
}

// TestClientCertificateUpgrade: https of the same host is the same origin as its http.
func TestClientCertificateUpgrade(t *testing.T) {
	secure, cfg, _ := identityServer(t, testserver.TLS)
	plain, _, _ := identityServer(t, testserver.Plain)
	ca := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	mine := issue(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: "me"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg, Certificates: []tls.Certificate{mine}},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := plain
			if _, port, _ := net.SplitHostPort(addr); port == "443" {
				to = secure
			}
			return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
		}})
	assert.Equal(t, "me", readBody(t, m.Get(t.Context(), newRequest(t, "http://example.com/?to=https://example.com/"))))
	assert.Equal(t, "nobody", readBody(t, m.Get(t.Context(), newRequest(t, "http://example.com/?to=https://www.example.com/"))))
}

// countingPSK refuses every handshake and counts them.
type countingPSK struct{ n *atomic.Int64 }

func (d countingPSK) Handshake(context.Context, net.Conn, netreply.PSKParameters) (net.Conn, tls.ConnectionState, error) {
	d.n.Add(1)
	return nil, tls.ConnectionState{}, net.ErrClosed
}

// TestPSKRedirect: a pre-shared key is for the origin of the request, too.
func TestPSKRedirect(t *testing.T) {
	away, cfg, _ := identityServer(t, testserver.TLS)
	home, _, _ := identityServer(t, testserver.Plain)
	var n atomic.Int64
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg, PSK: countingPSK{&n}}})
	assert.Equal(t, "nobody", readBody(t, m.Get(t.Context(), newRequest(t, home.URL+"/?to="+url.QueryEscape(away.URL)))))
	assert.Zero(t, n.Load())
	require.Error(t, m.Get(t.Context(), newRequest(t, away.URL)).Wait(deadline(t)))
	assert.NotZero(t, n.Load())
}
