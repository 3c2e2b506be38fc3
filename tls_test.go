package netreply_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// secureKinds are the protocols over TLS.
var secureKinds = []testserver.Kind{testserver.TLS, testserver.H2}

// untrusted is a server whose certificate nobody trusts, and what was asked of it.
type untrusted struct {
	*fixture
	served, resumed atomic.Int64
	clients         sync.Map // addresses of connections that brought a request
}

// connections is how many brought a request.
func (s *untrusted) connections() (n int) {
	s.clients.Range(func(_, _ any) bool { n++; return true })
	return n
}

// eachUntrusted runs a test against one over each protocol, with a Manager that does not
// trust it.
func eachUntrusted(t *testing.T, c netreply.Config, f func(*testing.T, *untrusted)) {
	for _, kind := range secureKinds {
		t.Run(string(kind), func(t *testing.T) {
			fl := &untrusted{}
			s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fl.served.Add(1)
				fl.clients.Store(r.RemoteAddr, true)
				io.WriteString(w, "hello")
			}), func(s *http.Server) {
				s.TLSConfig = &tls.Config{VerifyConnection: func(state tls.ConnectionState) error {
					if state.DidResume {
						fl.resumed.Add(1)
					}
					return nil
				}}
				s.ErrorLog = discardLog
			})
			c.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: x509.NewCertPool()}
			fl.fixture = &fixture{Server: s, m: newManager(t, c), kind: kind, cfg: cfg, t: t}
			f(t, fl)
		})
	}
}

func TestSSLErrorsRefused(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		r := s.m.Get(t.Context(), s.request("/"))
		err := r.Wait(deadline(t))
		require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
		assert.Equal(t, []string{"connecting", "flaws", "SslHandshakeFailedError", "down", "finished"}, signalNames(t, r))
		var ce *netreply.CertificateError
		require.ErrorAs(t, err, &ce)
		require.Len(t, ce.Errors, 1)
		assert.Equal(t, netreply.SSLSelfSignedCertificate, ce.Errors[0].Code)
		assert.Equal(t, "SSL handshake failed: The certificate is self-signed, and untrusted", r.ErrorString())
		assert.True(t, ce.Errors[0].Certificate.Equal(s.Certificate()))
		var unknown x509.UnknownAuthorityError
		assert.ErrorAs(t, err, &unknown, "crypto/x509's own error is there, too")
		q := <-r.SSLErrors()
		assert.False(t, q.Ignore(), "it is decided")
		assert.Equal(t, "127.0.0.1", q.Host)
		assert.True(t, r.SSLConfiguration().PeerCertificates[0].Equal(s.Certificate()), "the chain stays readable")
		assert.Zero(t, s.served.Load())
	})
}

func TestSSLErrorsDecision(t *testing.T) {
	eachUntrusted(t, netreply.Config{Ask: netreply.AskSSLErrors}, func(t *testing.T, s *untrusted) {
		ask := func(answer func(*netreply.SSLErrors)) *netreply.Reply {
			r := s.m.Get(t.Context(), s.request("/secret"))
			q := <-r.SSLErrors()
			assert.False(t, q.Ignored)
			assert.True(t, r.IsRunning())
			assert.Zero(t, r.SSLConfiguration().Version, "nothing is agreed on")
			assert.True(t, r.SSLConfiguration().PeerCertificates[0].Equal(s.Certificate()))
			answer(q)
			r.Wait(deadline(t))
			return r
		}
		r := ask(func(q *netreply.SSLErrors) { assert.True(t, q.Reject()); assert.False(t, q.Ignore()) })
		require.ErrorIs(t, r.Err(), netreply.SslHandshakeFailedError)
		require.Zero(t, s.served.Load())
		r = ask(func(q *netreply.SSLErrors) { q.IgnoreOnly(netreply.SSLError{Code: netreply.SSLSelfSignedCertificate}) })
		require.ErrorIs(t, r.Err(), netreply.SslHandshakeFailedError, "it is about a certificate (rule T5)")
		require.Zero(t, s.served.Load())

		r = ask(func(q *netreply.SSLErrors) { assert.True(t, q.Ignore()) })
		require.NoError(t, r.Err())
		assert.Equal(t, []string{"connecting", "flaws", "encrypted", "sent", "head", "ready", "down", "finished"}, signalNames(t, r))
		assert.Empty(t, r.SSLConfiguration().VerifiedChains)
		assert.EqualValues(t, 1, s.served.Load())
		r = ask(func(q *netreply.SSLErrors) { assert.True(t, q.IgnoreOnly(q.Errors...)) })
		require.NoError(t, r.Err())
		assert.Equal(t, 2, s.connections(), "the connection of the reply before was for that one")
		assert.Zero(t, s.resumed.Load(), "its session, too")
	})
}

// TestSSLErrorsNothingSent: while the question is open, and after a refusal, no byte of the
// request and no client certificate is sent.
func TestSSLErrorsNothingSent(t *testing.T) {
	ca := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	mine := issue(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: "me"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		got := make(chan int, 1)
		s := testserver.NewRaw(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}, MaxVersion: version,
			ClientAuth: tls.RequestClientCert}, func(c *testserver.Conn) {
			b, _ := io.ReadAll(c.R) // shakes hands as well
			got <- len(b) + len(c.Conn.(*tls.Conn).ConnectionState().PeerCertificates)
		})
		m := newManager(t, netreply.Config{Ask: netreply.AskSSLErrors, SSLConfiguration: &netreply.SSLConfiguration{Certificates: []tls.Certificate{mine}}})
		r := m.Post(t.Context(), newRequest(t, "https://"+s.Addr+"/secret?token"), netreply.StringBody("secret"))
		q := <-r.SSLErrors()
		select {
		case <-got:
			t.Error("the handshake is over before the answer")
		case <-time.After(50 * time.Millisecond):
		}
		q.Reject()
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.SslHandshakeFailedError)
		assert.Zero(t, <-got)
	}
}

// TestSSLErrorsLateAnswer: an answer may take longer than a handshake; the reply then goes on over
// another connection, and asks and signals nothing twice.
func TestSSLErrorsLateAnswer(t *testing.T) {
	eachUntrusted(t, netreply.Config{Ask: netreply.AskSSLErrors, TLSTimeout: 50 * time.Millisecond}, func(t *testing.T, s *untrusted) {
		r := s.m.Post(t.Context(), s.request("/"), netreply.ReaderBody(io.LimitReader(rand.Reader, 10)))
		q := <-r.SSLErrors()
		select { // longer than the handshake may take
		case <-r.Finished():
			t.Error("it did not wait for the answer")
		case <-time.After(200 * time.Millisecond):
		}
		q.Ignore()
		require.NoError(t, r.Wait(deadline(t)))
		assert.Equal(t, []string{"connecting", "flaws", "encrypted"}, signalNames(t, r)[:3], "nothing is told or asked twice")
	})
}

// TestSSLErrorsAbort: a reply can be aborted while it asks.
func TestSSLErrorsAbort(t *testing.T) {
	eachUntrusted(t, netreply.Config{Ask: netreply.AskSSLErrors}, func(t *testing.T, s *untrusted) {
		r := s.m.Get(t.Context(), s.request("/"))
		q := <-r.SSLErrors()
		r.Abort()
		assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
		s.m.Close()
		assert.False(t, q.Ignore())
		assert.Zero(t, s.served.Load())
	})
}

// TestSSLErrorsOfManyReplies: each of many replies decides for itself.
func TestSSLErrorsOfManyReplies(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		var all []*netreply.Reply
		for i := range 20 {
			req := s.request(fmt.Sprintf("/%d", i))
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if e, ok := e.(netreply.SSLErrorsOccurred); ok && i%2 == 0 {
					e.Ignore()
				}
			}
			all = append(all, s.m.Get(t.Context(), req))
		}
		for i, r := range all {
			if err := r.Wait(deadline(t)); i%2 == 0 {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, netreply.SslHandshakeFailedError)
			}
		}
		assert.EqualValues(t, 10, s.served.Load())
	})
}

// TestSSLErrorsIsolation: no reply uses a connection or session on which another reply has
// ignored errors (D20).
func TestSSLErrorsIsolation(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		lenient := func() *netreply.Request { r := s.request("/"); r.IgnoreAllSSLErrors = true; return r }
		listed := func() *netreply.Request {
			r := s.request("/")
			r.IgnoreSSLErrors = []netreply.SSLError{{Code: netreply.SSLSelfSignedCertificate, Certificate: s.Certificate()}}
			return r
		}
		wrong := func() *netreply.Request {
			r := s.request("/")
			r.IgnoreAllSSLErrors = true // the list counts (rule T2)
			r.IgnoreSSLErrors = []netreply.SSLError{{Code: netreply.SSLCertificateExpired, Certificate: s.Certificate()}}
			return r
		}
		for round := range 3 {
			for _, make := range []func() *netreply.Request{lenient, listed} {
				r := s.m.Get(t.Context(), make())
				require.NoError(t, r.Wait(deadline(t)))
				if round > 0 && signalNames(t, r)[0] == "connecting" {
					assert.True(t, r.SSLConfiguration().DidResume, "those who ignore the same share their sessions")
				}
			}
			for _, req := range []*netreply.Request{s.request("/"), wrong()} {
				before := s.served.Load()
				r := s.m.Get(t.Context(), req)
				require.ErrorIs(t, r.Wait(deadline(t)), netreply.SslHandshakeFailedError)
				require.Equal(t, before, s.served.Load())
			}
			s.m.ClearConnectionCache()
		}
		r := s.m.Get(t.Context(), lenient())
		require.NoError(t, r.Wait(deadline(t)))
		n := s.connections()
		r = s.m.Get(t.Context(), lenient())
		require.NoError(t, r.Wait(deadline(t)))
		assert.Equal(t, n, s.connections(), "and their connections")
		assert.Equal(t, "sent", signalNames(t, r)[0])
		assert.Nil(t, r.SSLConfiguration().SessionTicket(), "which is nothing to give away")
	})
}

// TestSSLErrorsRedirect: an accepted certificate stays accepted for the rest of the reply;
// another certificate does not.
func TestSSLErrorsRedirect(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		from, _ := testserver.NewOriginWith(t, s.kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/twice" {
				http.Redirect(w, r, "/once", http.StatusFound)
				return
			}
			http.Redirect(w, r, s.URL, http.StatusFound)
		}), func(h *http.Server) {
			h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}}
		})
		asked := 0
		req := newRequest(t, from.URL+"/twice")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if e, ok := e.(netreply.SSLErrorsOccurred); ok {
				asked++
				e.Ignore()
			}
		}
		r := s.m.Get(t.Context(), req)
		require.NoError(t, r.Wait(deadline(t)))
		assert.Equal(t, 2, asked, "once for each certificate: %v", signalNames(t, r))
	})
}

// TestSSLErrorsHSTS: errors cannot be ignored for a host with an HSTS policy (rules T6 and
// K10).
func TestSSLErrorsHSTS(t *testing.T) {
	store := hsts.NewStore()
	store.Add(hsts.Policy{Host: "strict.test", Expires: time.Now().Add(time.Hour)})
	eachUntrusted(t, netreply.Config{HSTS: store, Ask: netreply.AskSSLErrors}, func(t *testing.T, s *untrusted) {
		s.m = newManager(t, netreply.Config{HSTS: store, Ask: netreply.AskSSLErrors, DialContext: dialTo(s.Listener.Addr().String())})
		for name, set := range map[string]func(*netreply.Request){
			"asked": func(*netreply.Request) {},
			"all":   func(r *netreply.Request) { r.IgnoreAllSSLErrors = true },
			"unverified": func(r *netreply.Request) {
				r.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
			},
			"careless": func(r *netreply.Request) {
				r.SSLConfiguration = &netreply.SSLConfiguration{TLS: &tls.Config{InsecureSkipVerify: true}}
			},
		} {
			req := newRequest(t, "https://strict.test/")
			set(req)
			r := s.m.Get(t.Context(), req)
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.SslHandshakeFailedError, name)
			q := <-r.SSLErrors()
			assert.True(t, q.Final)
			assert.False(t, q.Ignore())
		}
		assert.Zero(t, s.served.Load())
	})
}

// selfSigned makes a certificate for a host.
func selfSigned(t testing.TB, host string) tls.Certificate {
	return issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}})
}

// issue makes a certificate, by an issuer or by itself.
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

// TestSSLConfiguration: each field has an effect that the server sees.
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

// TestPins: ignored errors do not make up for a missing key.
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

// TestSessionTicket: a session can be resumed by another Manager.
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

func TestSSLErrorNames(t *testing.T) {
	for c := netreply.SSLUnspecifiedError; c <= netreply.SSLOcspStatusUnknown; c++ {
		assert.NotContains(t, c.String(), "SSLErrorCode")
		assert.NotEmpty(t, netreply.SSLError{Code: c}.Error())
	}
	assert.Equal(t, "SSLErrorCode(99)", netreply.SSLErrorCode(99).String())
	assert.Equal(t, "SSLErrorCode(-2)", netreply.SSLError{Code: -2}.Error())
	assert.Equal(t, "HostNameMismatch", netreply.SSLHostNameMismatch.String())
	assert.True(t, errors.Is(netreply.SSLError{Code: 9}, netreply.SSLError{Code: 9}))
}
