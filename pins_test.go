package netreply_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// careless are all settings that accept an unverified chain. errors are the flaws of the
// server.
var careless = map[string]func(q *netreply.Request, errors []netreply.SSLError){
	"VerifyNone": func(q *netreply.Request, _ []netreply.SSLError) {
		q.SSLConfiguration.PeerVerifyMode = netreply.VerifyNone
	},
	"QueryPeer": func(q *netreply.Request, _ []netreply.SSLError) {
		q.SSLConfiguration.PeerVerifyMode = netreply.QueryPeer
	},
	"IgnoreAllSSLErrors": func(q *netreply.Request, _ []netreply.SSLError) {
		q.IgnoreAllSSLErrors = true
	},
	"IgnoreSSLErrors":    func(q *netreply.Request, errors []netreply.SSLError) { q.IgnoreSSLErrors = errors },
	"InsecureSkipVerify": func(q *netreply.Request, _ []netreply.SSLError) { q.SSLConfiguration.TLS.InsecureSkipVerify = true },
	"SSLErrors.Ignore": func(q *netreply.Request, _ []netreply.SSLError) {
		q.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if e, ok := e.(netreply.SSLErrorsOccurred); ok {
				e.Ignore()
			}
		}
	},
}

// sending returns a certificate with additional ones that the server sends.
func sending(leaf tls.Certificate, others ...tls.Certificate) tls.Certificate {
	leaf.Certificate = slices.Clone(leaf.Certificate)
	for _, o := range others {
		leaf.Certificate = append(leaf.Certificate, o.Certificate[0])
	}
	return leaf
}

func leafTemplate(host string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
}

// TestPinsWithoutVerifiedChain: without verification, a pin matches the server's own key or the
// key of an issuer that signed for it, not other certificates that were sent.
func TestPinsWithoutVerifiedChain(t *testing.T) {
	root := issue(t, nil, caTemplate("root"))
	ca := issue(t, &root, caTemplate("ca"))
	real := issue(t, &ca, leafTemplate("real.test"))
	own := issue(t, nil, leafTemplate("host.test"))
	// names ca as its issuer, but is self-signed
	forger := tls.Certificate{Leaf: &x509.Certificate{RawSubject: ca.Leaf.RawSubject, Subject: ca.Leaf.Subject, SubjectKeyId: ca.Leaf.SubjectKeyId},
		PrivateKey: own.PrivateKey}
	forged := issue(t, &forger, leafTemplate("host.test"))
	grandchild := issue(t, &real, leafTemplate("host.test")) // of a certificate that is not a CA
	other := issue(t, nil, caTemplate("ca"))
	for name, c := range map[string]struct {
		shows  tls.Certificate
		pinned tls.Certificate
		good   bool
	}{
		"own":                         {own, own, true},
		"own, another sent along":     {sending(own, real), own, true},
		"of a pinned CA":              {sending(real, ca), ca, true},
		"of the CA of a CA":           {sending(real, ca, root), root, true},
		"in any order":                {sending(real, root, ca), root, true},
		"one of the same name before": {sending(real, other, ca), ca, true},
		"pinned leaf sent along":      {sending(own, real), real, false},
		"pinned CA sent along":        {sending(own, ca), ca, false},
		"pinned chain sent along":     {sending(own, real, ca, root), root, false},
		"forged":                      {sending(forged, ca), ca, false},
		"forged, and the root":        {sending(forged, ca, root), root, false},
		"signed by a leaf":            {sending(grandchild, real, ca), ca, false},
		"signed by a leaf, pinned":    {sending(grandchild, real, ca), real, false},
		"CA not sent":                 {real, ca, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range secureKinds {
				var served atomic.Int64
				s, _ := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					served.Add(1)
					io.WriteString(w, "hello")
				}), func(s *http.Server) {
					s.TLSConfig, s.ErrorLog = &tls.Config{Certificates: []tls.Certificate{c.shows}}, discardLog
				})
				m := newManager(t, netreply.Config{})
				request := func() *netreply.Request {
					q := newRequest(t, s.URL)
					q.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: x509.NewCertPool(), TLS: &tls.Config{}}
					return q
				}
				var flaws *netreply.CertificateError
				require.ErrorAs(t, m.Get(t.Context(), request()).Wait(deadline(t)), &flaws)
				for how, set := range careless {
					served.Store(0)
					q := request()
					q.SSLConfiguration.Pins = []netreply.PublicKeyPin{{}, netreply.PinOf(c.pinned.Leaf)}
					set(q, flaws.Errors)
					for i := range 2 { // the second on a resumed session
						r := m.Get(t.Context(), q)
						body, err := r.ReadAll()
						if c.good {
							require.NoError(t, err, "%s over %s", how, kind)
							require.Equal(t, "hello", string(body))
							if i > 0 && how != "SSLErrors.Ignore" {
								assert.True(t, r.SSLConfiguration().DidResume, "%s over %s", how, kind)
							}
						} else {
							var pin *netreply.PinError
							require.ErrorAs(t, err, &pin, "%s over %s", how, kind)
							assert.Len(t, pin.Chain, len(c.shows.Certificate))
							require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
						}
						m.ClearConnectionCache()
					}
					assert.Equal(t, c.good, served.Load() > 0, "%s over %s", how, kind)
				}
			}
		})
	}
}

// TestPinsHSTS: for a host with an HSTS policy a matching pin does not excuse certificate
// errors.
func TestPinsHSTS(t *testing.T) {
	store := hsts.NewStore()
	store.Add(hsts.Policy{Host: "host.test", Expires: time.Now().Add(time.Hour)})
	own, foreign := issue(t, nil, leafTemplate("host.test")), issue(t, nil, caTemplate("ca"))
	for _, kind := range secureKinds {
		s, _ := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it got through") }),
			func(s *http.Server) {
				s.TLSConfig, s.ErrorLog = &tls.Config{Certificates: []tls.Certificate{sending(own, foreign)}}, discardLog
			})
		m := newManager(t, netreply.Config{HSTS: store, DialContext: dialTo(s.Listener.Addr().String())})
		for how, set := range careless {
			for _, pinned := range []tls.Certificate{own, foreign} {
				q := newRequest(t, "https://host.test/")
				q.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: x509.NewCertPool(), TLS: &tls.Config{},
					Pins: []netreply.PublicKeyPin{netreply.PinOf(pinned.Leaf)}}
				set(q, nil)
				var flaws *netreply.CertificateError
				require.ErrorAs(t, m.Get(t.Context(), q).Wait(deadline(t)), &flaws, how)
			}
		}
	}
}

// TestPinsVerified: a pin matches any certificate of a verified chain, also a root that was not
// sent; not other certificates that were sent.
func TestPinsVerified(t *testing.T) {
	root := issue(t, nil, caTemplate("root"))
	ca := issue(t, &root, caTemplate("ca"))
	leaf := issue(t, &ca, leafTemplate("host.test"))
	foreign := issue(t, nil, caTemplate("foreign"))
	roots := x509.NewCertPool()
	roots.AddCert(root.Leaf)
	for _, kind := range secureKinds {
		s, _ := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }),
			func(s *http.Server) {
				s.TLSConfig, s.ErrorLog = &tls.Config{Certificates: []tls.Certificate{sending(leaf, ca, foreign)}}, discardLog
			})
		m := newManager(t, netreply.Config{})
		for _, name := range []string{"", "other.test"} { // the second with a flaw to ignore
			for want, certs := range map[bool][]tls.Certificate{true: {leaf, ca, root}, false: {foreign}} {
				for _, pinned := range certs {
					q := newRequest(t, s.URL)
					q.IgnoreAllSSLErrors = true
					q.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: roots, PeerVerifyName: name,
						Pins: []netreply.PublicKeyPin{netreply.PinOf(pinned.Leaf)}}
					err := m.Get(t.Context(), q).Wait(deadline(t))
					assert.Equal(t, want, err == nil, "%s pinned, wanted %q: %v", pinned.Leaf.Subject, name, err)
				}
			}
		}
	}
}
