package netreply_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// secureKinds are the protocols over TLS.
var secureKinds = []testserver.Kind{testserver.TLS, testserver.H2}

// selfSigned makes a certificate for a host.
func selfSigned(t testing.TB, host string) tls.Certificate {
	return issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}})
}

// issue makes a certificate, signed by an issuer or self-signed.
func issue(t testing.TB, issuer *tls.Certificate, c *x509.Certificate) tls.Certificate {
	t.Helper()
	return issueUntil(t, issuer, c, time.Now().Add(time.Hour))
}

func issueUntil(t testing.TB, issuer *tls.Certificate, c *x509.Certificate, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	c.NotBefore, c.NotAfter, c.BasicConstraintsValid = time.Now().Add(-time.Hour), end, true
	parent, by := c, any(key)
	if issuer != nil {
		parent, by = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestSSLConfiguration: each field has an effect that the server observes.
func TestSSLConfiguration(t *testing.T) {
	var log bytes.Buffer
	ca := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	mine := issue(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: "me"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.Leaf)
	for _, kind := range secureKinds {
		s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				who = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			fmt.Fprintf(w, "%s|%s|%s|%s|%s", tls.VersionName(r.TLS.Version), tls.CipherSuiteName(r.TLS.CipherSuite), r.TLS.ServerName, r.TLS.NegotiatedProtocol, who)
		}), func(s *http.Server) {
			s.TLSConfig = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, MinVersion: tls.VersionTLS12,
				NextProtos: map[testserver.Kind][]string{testserver.H2: {"h2", "http/1.1"}}[kind]}
		})
		m := newManager(t, netreply.Config{})
		proto := map[testserver.Kind]string{testserver.TLS: "http/1.1", testserver.H2: "h2"}[kind]
		cert := s.Certificate()
		for name, c := range map[string]struct {
			cfg  *netreply.SSLConfiguration
			want string
			code netreply.NetworkError
		}{
			"plain":     {&netreply.SSLConfiguration{}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"added CA":  {&netreply.SSLConfiguration{TLS: &tls.Config{}, AddedCAs: []*x509.Certificate{cert}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"TLS 1.2":   {&netreply.SSLConfiguration{MaxProtocol: tls.VersionTLS12}, "TLS 1.2|TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"cipher":    {&netreply.SSLConfiguration{MaxProtocol: tls.VersionTLS12, Ciphers: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}}, "TLS 1.2|TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384||" + proto + "|nobody", 0},
			"ALPN":      {&netreply.SSLConfiguration{ALPN: []string{"http/1.1"}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||http/1.1|nobody", 0},
			"name":      {&netreply.SSLConfiguration{PeerVerifyName: "example.com"}, "TLS 1.3|TLS_AES_128_GCM_SHA256|example.com|" + proto + "|nobody", 0},
			"bad name":  {&netreply.SSLConfiguration{PeerVerifyName: "other.test"}, "", netreply.SslHandshakeFailedError},
			"key log":   {&netreply.SSLConfiguration{KeyLog: &log}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"client":    {&netreply.SSLConfiguration{Certificates: []tls.Certificate{mine}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|me", 0},
			"pin":       {&netreply.SSLConfiguration{Pins: []netreply.PublicKeyPin{{1}, netreply.PinOf(cert)}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"wrong pin": {&netreply.SSLConfiguration{Pins: []netreply.PublicKeyPin{{1}}}, "", netreply.SslHandshakeFailedError},
			"depth":     {&netreply.SSLConfiguration{PeerVerifyDepth: 1}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
			"on demand": {&netreply.SSLConfiguration{ClientCertificate: func(q *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &mine, q.SupportsCertificate(&mine)
			}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|me", 0},
			"curve": {&netreply.SSLConfiguration{Curves: []tls.CurveID{tls.CurveP521}}, "TLS 1.3|TLS_AES_128_GCM_SHA256||" + proto + "|nobody", 0},
		} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				req := newRequest(t, s.URL)
				req.SSLConfiguration = c.cfg.Clone()
				if req.SSLConfiguration.TLS == nil {
					req.SSLConfiguration.TLS = cfg
				}
				r := m.Get(t.Context(), req)
				got, err := r.ReadAll()
				assert.Equal(t, c.want, string(got))
				if c.code != 0 {
					require.ErrorIs(t, err, c.code)
					return
				}
				require.NoError(t, err)
				state := r.SSLConfiguration()
				assert.True(t, req.SSLConfiguration.Equal(state.Configuration))
				assert.NotSame(t, req.SSLConfiguration, state.Configuration)
				assert.NotEmpty(t, state.VerifiedChains)
				switch name {
				case "key log":
					assert.Contains(t, log.String(), "CLIENT_TRAFFIC_SECRET_0")
				case "curve":
					assert.Equal(t, tls.CurveP521, state.CurveID)
				}
			})
		}
	}
}

// TestPins: ignoring errors does not excuse a missing pin.
func TestPins(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		req := s.request("/")
		req.SSLConfiguration = &netreply.SSLConfiguration{Pins: []netreply.PublicKeyPin{{}}}
		req.IgnoreAllSSLErrors = true
		err := s.m.Get(t.Context(), req).Wait(deadline(t))
		var pin *netreply.PinError
		require.ErrorAs(t, err, &pin)
		assert.True(t, pin.Chain[0].Equal(s.Certificate()))
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
		assert.Zero(t, s.served.Load())
		req.SSLConfiguration = &netreply.SSLConfiguration{Pins: []netreply.PublicKeyPin{netreply.PinOf(s.Certificate())}}
		require.NoError(t, s.m.Get(t.Context(), req).Wait(deadline(t)))
	})
}

// TestSessionTicket: another Manager can resume a session.
func TestSessionTicket(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, kind := range secureKinds {
			t.Run(tls.VersionName(version)+"/"+string(kind), func(t *testing.T) {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.DidResume) }))
				get := func(ticket []byte) (string, []byte) {
					m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg, MinProtocol: version, MaxProtocol: version, SessionTicket: ticket}})
					r := m.Get(t.Context(), newRequest(t, s.URL))
					got, err := r.ReadAll()
					require.NoError(t, err)
					assert.Equal(t, string(got) == "true", r.SSLConfiguration().DidResume)
					assert.NotEmpty(t, r.SSLConfiguration().VerifiedChains, "verified once more")
					return string(got), r.SSLConfiguration().SessionTicket()
				}
				resumed, ticket := get(nil)
				require.Equal(t, "false", resumed)
				require.NotEmpty(t, ticket)
				resumed, _ = get(ticket)
				require.Equal(t, "true", resumed)
			})
		}
	}
}

// TestStaleSession: a session whose certificates are no longer valid, whichever of them, is not
// resumed: the handshake is a full one.
func TestStaleSession(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct{ leaf, issuer time.Duration }{"leaf": {time.Minute, time.Hour}, "issuer": {time.Hour, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			var clock atomic.Int64
			clock.Store(now.UnixNano())
			var certs []tls.Certificate
			roots := x509.NewCertPool()
			for _, end := range []struct{ leaf, issuer time.Duration }{c, {time.Hour, time.Hour}} {
				root := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
				ca := issueUntil(t, &root, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, now.Add(end.issuer))
				leaf := issueUntil(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: "host.test"}, DNSNames: []string{"host.test"}}, now.Add(end.leaf))
				leaf.Certificate = append(leaf.Certificate, ca.Certificate[0])
				certs = append(certs, leaf)
				roots.AddCert(root.Leaf)
			}
			var which atomic.Int32
			s, _ := testserver.NewOriginWith(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.DidResume) }),
				func(s *http.Server) {
					s.ErrorLog = discardLog
					s.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certs[which.Load()], nil }}
				})
			m := newManager(t, netreply.Config{DialContext: dialTo(s.Listener.Addr().String()), SSLConfiguration: &netreply.SSLConfiguration{RootCAs: roots,
				TLS: &tls.Config{Time: func() time.Time { return time.Unix(0, clock.Load()) }}}})
			get := func() string {
				r := m.Get(t.Context(), newRequest(t, "https://host.test/"))
				got, err := r.ReadAll()
				require.NoError(t, err)
				require.NotContains(t, signalNames(t, r), "flaws", "nothing is asked about an old session")
				m.ClearConnectionCache()
				return string(got)
			}
			require.Equal(t, "false", get())
			require.Equal(t, "true", get())
			clock.Store(now.Add(2 * time.Minute).UnixNano())
			which.Store(1)
			require.Equal(t, "false", get())
			require.Equal(t, "true", get())
		})
	}
}

// TestClientCertificateRefusedLate: TLS 1.3 refuses a client certificate after the handshake.
func TestClientCertificateRefusedLate(t *testing.T) {
	for _, kind := range secureKinds {
		s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it got through") }),
			func(s *http.Server) {
				s.TLSConfig = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
				s.ErrorLog = discardLog
			})
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		require.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t)), netreply.SslHandshakeFailedError, kind)
	}
}

func TestSSLConfigurationInvalid(t *testing.T) {
	for field, c := range map[string]*netreply.SSLConfiguration{
		"MinProtocol":     {MinProtocol: 1},
		"MaxProtocol":     {MaxProtocol: 0x9999},
		"PeerVerifyMode":  {PeerVerifyMode: 9},
		"PeerVerifyDepth": {PeerVerifyDepth: -1},
		"AddedCAs":        {AddedCAs: []*x509.Certificate{nil}},
		"Ciphers":         {Ciphers: []uint16{1}},
		"ALPN":            {ALPN: []string{""}},
		"SessionTicket":   {SessionTicket: []byte("no ticket")},
		"Pins":            {Pins: []netreply.PublicKeyPin{{}}, PSK: noDialer{}},
	} {
		var fe *netreply.FieldError
		_, err := netreply.NewManager(netreply.Config{SSLConfiguration: c})
		require.ErrorAs(t, err, &fe)
		assert.Equal(t, "Config.SSLConfiguration."+field, fe.Field)
		m := newManager(t, netreply.Config{})
		req := newRequest(t, "https://127.0.0.1:1/")
		req.SSLConfiguration = c
		require.ErrorAs(t, m.Get(t.Context(), req).Wait(deadline(t)), &fe)
		assert.Equal(t, "Request.SSLConfiguration."+field, fe.Field)
	}
	m := newManager(t, netreply.Config{})
	req := newRequest(t, "https://127.0.0.1:1/")
	req.SSLConfiguration = &netreply.SSLConfiguration{MinProtocol: tls.VersionTLS13, MaxProtocol: tls.VersionTLS12}
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProtocolInvalidOperationError)
}

// noDialer is a PSKDialer that is never called.
type noDialer struct{ netreply.PSKDialer }

// TestNoPSKDialer: a pre-shared key without a PSKDialer fails with an error that says what is
// needed.
func TestNoPSKDialer(t *testing.T) {
	_, err := netreply.NewManager(netreply.Config{Ask: netreply.AskPreSharedKey})
	require.ErrorContains(t, err, "opensslpsk")
	m := newManager(t, netreply.Config{})
	req := newRequest(t, "https://127.0.0.1:1/")
	req.Ask = netreply.AskPreSharedKey
	err = m.Get(t.Context(), req).Wait(deadline(t))
	require.ErrorContains(t, err, "import github.com/netreply/netreply/opensslpsk")
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
}
