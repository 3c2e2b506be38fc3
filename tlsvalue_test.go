package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// countingOrigin is a server that counts its opened and its open connections.
func countingOrigin(t *testing.T, kind testserver.Kind) (url string, cert *x509.Certificate, opened, open *atomic.Int64) {
	opened, open = new(atomic.Int64), new(atomic.Int64)
	s, _ := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.DidResume) }), func(s *http.Server) {
		s.ErrorLog = discardLog
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				opened.Add(1)
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
	})
	return s.URL, s.Certificate(), opened, open
}

// TestEqualConfigurationsShare: requests with separate but equal configurations share
// connections and sessions.
func TestEqualConfigurationsShare(t *testing.T) {
	for _, kind := range secureKinds {
		t.Run(string(kind), func(t *testing.T) {
			url, cert, opened, _ := countingOrigin(t, kind)
			m := newManager(t, netreply.Config{})
			mine := issue(t, nil, &x509.Certificate{})
			fetch := func(change func(*netreply.SSLConfiguration)) *netreply.Reply {
				roots := x509.NewCertPool()
				roots.AddCert(cert)
				req := newRequest(t, url)
				req.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: roots, MinProtocol: tls.VersionTLS12, TLS: &tls.Config{Time: nil},
					Certificates: []tls.Certificate{{Certificate: mine.Certificate, PrivateKey: mine.PrivateKey}}}
				if change != nil {
					change(req.SSLConfiguration)
				}
				r := m.Fetch(t.Context(), "GET", req, nil)
				require.NoError(t, r.Err())
				return r
			}
			var last *netreply.Reply
			for range 5 {
				last = fetch(nil)
				assert.False(t, last.SSLConfiguration().DidResume)
			}
			assert.EqualValues(t, 1, opened.Load())
			m.ClearConnectionCache()
			assert.True(t, fetch(nil).SSLConfiguration().DidResume)
			assert.EqualValues(t, 2, opened.Load())

			used := last.SSLConfiguration().Configuration
			again := newRequest(t, url)
			again.SSLConfiguration = used
			require.NoError(t, m.Fetch(t.Context(), "GET", again, nil).Err())
			assert.EqualValues(t, 2, opened.Load(), "the configuration of a reply is equal, too")
			used.PeerVerifyName = "other.test"
			fetch(nil) // it had returned a copy

			n := opened.Load()
			for _, change := range []func(*netreply.SSLConfiguration){
				func(c *netreply.SSLConfiguration) { c.MaxProtocol = tls.VersionTLS13 },
				func(c *netreply.SSLConfiguration) { c.Certificates = nil },
				func(c *netreply.SSLConfiguration) { c.TLS = nil },
				func(c *netreply.SSLConfiguration) { c.TLS.NextProtos = []string{"http/1.1"} },
				func(c *netreply.SSLConfiguration) { c.Pins = []netreply.PublicKeyPin{netreply.PinOf(cert)} },
				func(c *netreply.SSLConfiguration) {
					c.TLS.VerifyConnection = func(tls.ConnectionState) error { return nil }
				},
			} {
				assert.False(t, fetch(change).SSLConfiguration().DidResume)
				n++
				assert.Equal(t, n, opened.Load())
			}
		})
	}
}

// TestManagersConfigurationIsShared: a configuration that is equal to the Manager's shares
// its connections.
func TestManagersConfigurationIsShared(t *testing.T) {
	url, cert, opened, _ := countingOrigin(t, testserver.TLS)
	config := func() *netreply.SSLConfiguration {
		return &netreply.SSLConfiguration{TLS: &tls.Config{}, RootCAs: certPool(cert)}
	}
	c := config()
	m := newManager(t, netreply.Config{SSLConfiguration: c})
	c.RootCAs, c.PeerVerifyName = nil, "other.test" // it was copied
	for _, c := range []*netreply.SSLConfiguration{nil, config()} {
		req := newRequest(t, url)
		req.SSLConfiguration = c
		require.NoError(t, m.Fetch(t.Context(), "GET", req, nil).Err())
	}
	assert.EqualValues(t, 1, opened.Load())
}

// TestConfigurationOfSending: a request uses its configuration at the time of sending, also
// after a redirect and after a wait.
func TestConfigurationOfSending(t *testing.T) {
	url, cert, _, _ := countingOrigin(t, testserver.TLS)
	for name, c := range map[string]struct {
		at, later func(*netreply.SSLConfiguration)
		code      netreply.NetworkError
	}{
		"roots replaced": {func(c *netreply.SSLConfiguration) { c.RootCAs = certPool(cert) }, func(c *netreply.SSLConfiguration) { c.RootCAs = x509.NewCertPool() }, 0},
		"root added": {func(c *netreply.SSLConfiguration) { c.RootCAs = x509.NewCertPool() },
			func(c *netreply.SSLConfiguration) { c.RootCAs.AddCert(cert) }, netreply.SslHandshakeFailedError},
		"TLS.RootCAs": {func(c *netreply.SSLConfiguration) { c.TLS.RootCAs = x509.NewCertPool() },
			func(c *netreply.SSLConfiguration) { c.TLS.RootCAs.AddCert(cert) }, netreply.SslHandshakeFailedError},
		"CA in place": {func(c *netreply.SSLConfiguration) {
			c.RootCAs, c.AddedCAs = x509.NewCertPool(), []*x509.Certificate{issue(t, nil, &x509.Certificate{}).Leaf}
		}, func(c *netreply.SSLConfiguration) { c.AddedCAs[0] = cert }, netreply.SslHandshakeFailedError},
		"lenient later": {func(c *netreply.SSLConfiguration) {}, func(c *netreply.SSLConfiguration) { c.PeerVerifyMode = netreply.VerifyNone }, netreply.SslHandshakeFailedError},
		"InsecureSkipVerify later": {func(c *netreply.SSLConfiguration) {}, func(c *netreply.SSLConfiguration) { c.TLS.InsecureSkipVerify = true },
			netreply.SslHandshakeFailedError},
		"strict later": {func(c *netreply.SSLConfiguration) { c.TLS.InsecureSkipVerify = true }, func(c *netreply.SSLConfiguration) { c.TLS.InsecureSkipVerify = false }, 0},
		"pin in place": {func(c *netreply.SSLConfiguration) {
			c.RootCAs, c.Pins = certPool(cert), []netreply.PublicKeyPin{netreply.PinOf(cert)}
		}, func(c *netreply.SSLConfiguration) { c.Pins[0] = netreply.PublicKeyPin{} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			changed := make(chan bool)
			m := newManager(t, netreply.Config{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				<-changed
				return new(net.Dialer).DialContext(ctx, network, addr)
			}})
			config := &netreply.SSLConfiguration{TLS: &tls.Config{}}
			c.at(config)
			req := newRequest(t, url)
			req.SSLConfiguration = config
			r := m.Get(t.Context(), req)
			c.later(config)
			close(changed)
			err := r.Wait(deadline(t))
			if c.code == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.code)
			}
		})
	}
}

// TestLeniencyIsNotShared: connections and sessions of a lenient configuration are not used
// for a strict one, even if that is the same variable after a change.
func TestLeniencyIsNotShared(t *testing.T) {
	for _, kind := range secureKinds {
		url, cert, opened, _ := countingOrigin(t, kind)
		for name, lenient := range map[string]func(*netreply.SSLConfiguration){
			"InsecureSkipVerify": func(c *netreply.SSLConfiguration) { c.TLS.InsecureSkipVerify = true },
			"VerifyNone":         func(c *netreply.SSLConfiguration) { c.PeerVerifyMode = netreply.VerifyNone },
			"QueryPeer":          func(c *netreply.SSLConfiguration) { c.PeerVerifyMode = netreply.QueryPeer },
			"trusted":            func(c *netreply.SSLConfiguration) { c.AddedCAs = []*x509.Certificate{cert} },
			"trusted by TLS":     func(c *netreply.SSLConfiguration) { c.TLS.RootCAs, c.RootCAs = certPool(cert), nil },
			"trusted pool":       func(c *netreply.SSLConfiguration) { c.RootCAs.AddCert(cert) },
		} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				m := newManager(t, netreply.Config{})
				strict := func() *netreply.SSLConfiguration {
					return &netreply.SSLConfiguration{TLS: &tls.Config{}, RootCAs: x509.NewCertPool()}
				}
				fetch := func(c *netreply.SSLConfiguration) error {
					req := newRequest(t, url)
					req.SSLConfiguration = c
					return m.Fetch(t.Context(), "GET", req, nil).Err()
				}
				c := strict()
				require.ErrorIs(t, fetch(c), netreply.SslHandshakeFailedError)
				lenient(c)
				before := opened.Load()
				require.NoError(t, fetch(c))
				require.NoError(t, fetch(c))
				require.EqualValues(t, before+1, opened.Load())
				require.ErrorIs(t, fetch(strict()), netreply.SslHandshakeFailedError)
				*c = *strict()
				require.ErrorIs(t, fetch(c), netreply.SslHandshakeFailedError)
			})
		}
	}
}

// TestManyConfigurations: the connections of dropped configurations are closed.
func TestManyConfigurations(t *testing.T) {
	const known, more = 256, 10 // see SSLConfiguration
	url, cert, opened, open := countingOrigin(t, testserver.TLS)
	m := newManager(t, netreply.Config{})
	for i := range known + more {
		req := newRequest(t, url)
		req.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: certPool(cert), TLS: &tls.Config{}, PeerVerifyDepth: i + 1}
		require.NoError(t, m.Fetch(t.Context(), "GET", req, nil).Err())
	}
	assert.EqualValues(t, known+more, opened.Load())
	require.Eventually(t, func() bool { return open.Load() < known }, 20*time.Second, 5*time.Millisecond)
	req := newRequest(t, url)
	req.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: certPool(cert), TLS: &tls.Config{}, PeerVerifyDepth: known + more}
	require.NoError(t, m.Fetch(t.Context(), "GET", req, nil).Err())
	assert.EqualValues(t, known+more, opened.Load(), "the last ones are kept")
}
