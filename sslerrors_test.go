package netreply_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/netreplytest"
)

// untrusted is a server with an untrusted certificate, and its requests.
type untrusted struct {
	*fixture
	served, resumed atomic.Int64
	clients         sync.Map // addresses of connections with a request
}

// connections is the number of connections with a request.
func (s *untrusted) connections() (n int) {
	s.clients.Range(func(_, _ any) bool { n++; return true })
	return n
}

// eachUntrusted runs a test with an untrusted server over each protocol, and a Manager that
// does not trust it.
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
			b, _ := io.ReadAll(c.R) // also makes a handshake
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

// TestSSLErrorsLateAnswer: after an answer that takes longer than a handshake, the reply
// continues on another connection, and repeats neither question nor signals.
func TestSSLErrorsLateAnswer(t *testing.T) {
	for _, kind := range []netreplytest.Kind{netreplytest.HTTPS, netreplytest.HTTP2} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := netreplytest.NewServer(t, kind)
				s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})
				s.Fail(netreplytest.UnknownIssuerCertificate())
				c := s.Config()
				c.Ask, c.TLSTimeout = netreply.AskSSLErrors, time.Second
				m := newManager(t, c)
				r := m.Post(t.Context(), s.Request("/"), netreply.ReaderBody(io.LimitReader(rand.Reader, 10)))
				q := <-r.SSLErrors()
				select {
				case <-r.Finished():
					t.Error("it did not wait for the answer")
				case <-time.After(time.Minute):
				}
				q.Ignore()
				body, err := r.ReadAll()
				require.NoError(t, err)
				assert.Equal(t, "hello", string(body))
				assert.Equal(t, 2, s.Connections())
				assert.Equal(t, []string{"connecting", "flaws", "encrypted"}, signalNames(t, r)[:3], "no signal or question is repeated")
			})
		})
	}
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
			r.IgnoreAllSSLErrors = true // the list takes precedence (rule T2)
			r.IgnoreSSLErrors = []netreply.SSLError{{Code: netreply.SSLCertificateExpired, Certificate: s.Certificate()}}
			return r
		}
		for round := range 3 {
			for _, make := range []func() *netreply.Request{lenient, listed} {
				r := s.m.Get(t.Context(), make())
				require.NoError(t, r.Wait(deadline(t)))
				if round > 0 && signalNames(t, r)[0] == "connecting" {
					assert.True(t, r.SSLConfiguration().DidResume, "requests with equal ignored errors share sessions")
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
