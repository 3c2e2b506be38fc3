package netreplytest_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// faults has every named fault, with the phase in which a reply meets it and with what can be
// read before.
var faults = []struct {
	fault netreplytest.Fault
	code  netreply.NetworkError // where Fault.Code has none
	phase netreply.Phase
	read  int
	kinds []netreplytest.Kind // nil for all
}{
	{netreplytest.Refuse(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.HostNotFound(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.ConnectTimeout(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.HangConnecting(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.Unreachable(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.NoAddress(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.ForbidConnecting(), 0, netreply.PhaseConnect, 0, nil},
	{netreplytest.ExpiredCertificate(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.NotYetValidCertificate(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.WrongHostCertificate(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.UnknownIssuerCertificate(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.SelfSignedCertificate(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.RefuseHandshake(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.StallHandshake(), 0, netreply.PhaseTLS, 0, secure},
	{netreplytest.Close(), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.Reset(), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.Stall(), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.Truncate(100), 0, netreply.PhaseBody, 100, nil},
	{netreplytest.ResetAfter(100_000), 0, netreply.PhaseBody, 100_000, nil},
	{netreplytest.StallAfter(7), 0, netreply.PhaseBody, 7, nil},
	{netreplytest.Garbage(), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.TwoLengths(), 0, netreply.PhaseHeaders, 0, text},
	{netreplytest.DamageChunk(), 0, netreply.PhaseBody, 13, text},
	{netreplytest.DamageCoding(), 0, netreply.PhaseDecode, 0, nil},
	{netreplytest.LargeHead(256 << 10), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.RedirectLoop(), 0, netreply.PhaseHeaders, 0, nil},
	{netreplytest.ResetStream(2), netreply.InternalServerError, netreply.PhaseHeaders, 0, binary},
	{netreplytest.ResetStream(8), netreply.ProtocolFailure, netreply.PhaseHeaders, 0, binary},
	{netreplytest.GoAway(11), netreply.UnknownServerError, netreply.PhaseHeaders, 0, binary},
}

var (
	secure = []netreplytest.Kind{netreplytest.HTTPS, netreplytest.HTTP2}
	text   = []netreplytest.Kind{netreplytest.HTTP, netreplytest.HTTPS}
	binary = []netreplytest.Kind{netreplytest.HTTP2, netreplytest.HTTP2Cleartext}
)

// TestFaults: a Manager reports every fault with its code and phase, in memory in fake time;
// where a kind of server cannot have it, the test fails.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		for _, kind := range netreplytest.Kinds {
			t.Run(fmt.Sprintf("%v/%v", f.fault, kind), func(t *testing.T) {
				if f.kinds != nil && !contains(f.kinds, kind) {
					spy := &spyTB{TB: t}
					spy.run(func() { netreplytest.NewServer(spy, kind).Fail(f.fault) })
					assert.Contains(t, spy.fatal, f.fault.String()+" needs ")
					return
				}
				synctest.Test(t, func(t *testing.T) {
					checkFault(t, netreplytest.NewServer(t, kind), f.fault, f.code, f.phase, f.read)
				})
			})
		}
	}
}

func contains(kinds []netreplytest.Kind, k netreplytest.Kind) bool {
	for _, other := range kinds {
		if other == k {
			return true
		}
	}
	return false
}

func checkFault(t *testing.T, s *netreplytest.Server, f netreplytest.Fault, code netreply.NetworkError, phase netreply.Phase, read int) {
	if code == netreply.NoError {
		code = f.Code()
	}
	s.Fail(f)
	req := s.Request("/")
	req.TransferTimeout = time.Hour
	r := s.Manager().Get(t.Context(), req)
	b, err := io.ReadAll(r)
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, code, e.Code, "%v", err)
	assert.Equal(t, phase, e.Phase, "%v", err)
	assert.Len(t, b, read)
}

// TestFaultsOnPort: the same with real connections, for the faults that need no time.
func TestFaultsOnPort(t *testing.T) {
	for _, f := range faults {
		if f.fault.Code() == netreply.TimeoutError && f.phase != netreply.PhaseConnect || f.fault.String() == "HangConnecting()" {
			continue
		}
		if f.fault.String() == netreplytest.ResetAfter(100_000).String() {
			continue // what has arrived of so many bytes before a TCP reset is left to the system
		}
		for _, kind := range netreplytest.Kinds {
			if f.kinds == nil || contains(f.kinds, kind) {
				t.Run(fmt.Sprintf("%v/%v", f.fault, kind), func(t *testing.T) {
					checkFault(t, netreplytest.NewPortServer(t, kind), f.fault, f.code, f.phase, f.read)
				})
			}
		}
	}
}

// TestCertificateFaults: each flaw is the one that the reply reports, at the time of the
// bubble and at the time of day.
func TestCertificateFaults(t *testing.T) {
	check := func(t *testing.T) {
		for _, c := range []struct {
			fault netreplytest.Fault
			want  netreply.SSLErrorCode
		}{
			{netreplytest.ExpiredCertificate(), netreply.SSLCertificateExpired},
			{netreplytest.NotYetValidCertificate(), netreply.SSLCertificateNotYetValid},
			{netreplytest.WrongHostCertificate(), netreply.SSLHostNameMismatch},
			{netreplytest.UnknownIssuerCertificate(), netreply.SSLUnableToVerifyFirstCertificate},
			{netreplytest.SelfSignedCertificate(), netreply.SSLSelfSignedCertificate},
		} {
			s := netreplytest.NewServer(t, netreplytest.HTTPS)
			s.Next(c.fault, netreplytest.Answer{netreplytest.Body("ok")})
			err := s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context())
			var flawed *netreply.CertificateError
			require.ErrorAs(t, err, &flawed, "%v", c.fault)
			codes := []netreply.SSLErrorCode{}
			for _, e := range flawed.Errors {
				codes = append(codes, e.Code)
			}
			assert.Contains(t, codes, c.want, "%v", c.fault)
			require.NoError(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()), "the next connection")
		}
	}
	t.Run("now", check)
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, check) })
}

// TestAcceptedFlaw: a program can go on in spite of a flaw.
func TestAcceptedFlaw(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("ok")})
	s.Fail(netreplytest.ExpiredCertificate())
	req := s.Request("/")
	req.IgnoreAllSSLErrors = true
	b, err := s.Manager().Get(t.Context(), req).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "ok", string(b))
}

// TestSameFlawedCertificate: a server has the same certificate on each connection, as a program
// that keeps what it has accepted requires.
func TestSameFlawedCertificate(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Fail(netreplytest.UnknownIssuerCertificate())
	var chains [2][]*x509.Certificate
	for i := range chains {
		var flawed *netreply.CertificateError
		require.ErrorAs(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()), &flawed)
		chains[i] = flawed.Chain
	}
	assert.Equal(t, 2, s.Connections())
	assert.NotEmpty(t, chains[0])
	assert.True(t, slices.EqualFunc(chains[0], chains[1], (*x509.Certificate).Equal))
}

// TestFaultInAnswer: a fault happens after the steps before it, at a byte that the test
// chooses, whether the head is already there or not.
func TestFaultInAnswer(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/body", netreplytest.Answer{netreplytest.Body("hel"), netreplytest.After(time.Minute), netreplytest.Body("lo"), netreplytest.Reset()})
			s.Handle("/head", netreplytest.Answer{netreplytest.Status(404), netreplytest.Close()})
			s.Handle("/none", netreplytest.Answer{netreplytest.After(time.Minute), netreplytest.Close()})
			s.Handle("/code", netreplytest.Answer{netreplytest.Body("x"), netreplytest.Fail(netreply.RemoteHostClosedError)})

			start := time.Now()
			b, err := s.Manager().Get(t.Context(), s.Request("/body")).ReadAll()
			require.ErrorIs(t, err, netreply.RemoteHostClosedError)
			assert.Equal(t, "hello", string(b))
			assert.Equal(t, time.Minute, time.Since(start))

			r := s.Manager().Get(t.Context(), s.Request("/head"))
			require.ErrorIs(t, r.Wait(t.Context()), netreply.RemoteHostClosedError)
			assert.Equal(t, 404, r.StatusCode())

			r = s.Manager().Get(t.Context(), s.Request("/none"))
			require.ErrorIs(t, r.Wait(t.Context()), netreply.RemoteHostClosedError)
			assert.Zero(t, r.StatusCode())

			b, err = s.Manager().Get(t.Context(), s.Request("/code")).ReadAll()
			require.ErrorIs(t, err, netreply.RemoteHostClosedError)
			assert.Equal(t, "x", string(b))
		})
	}
}

// TestGoAwayUnprocessed: after GOAWAY with NO_ERROR the request is sent again.
func TestGoAwayUnprocessed(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.GoAway(0), netreplytest.ResetStream(7), netreplytest.Answer{netreplytest.Body("third")})
	b, err := s.Manager().Post(t.Context(), s.Request("/"), netreply.StringBody("x")).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "third", string(b))
	assert.Len(t, s.Requests(), 3)
	assert.Equal(t, 2, s.Connections())
}

// TestScript: answers and faults, of connections too, in the order of the script, and the
// routes afterwards.
func TestScript(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Body("route")})
			s.Next(netreplytest.Answer{netreplytest.Body("one")}, netreplytest.Refuse(), netreplytest.HostNotFound(),
				netreplytest.Fail(netreply.ServiceUnavailableError), netreplytest.Answer{netreplytest.Body("five")})
			var got []string
			for range 7 {
				b, err := s.Manager().Get(t.Context(), s.Request("/")).ReadAll()
				var e *netreply.Error
				if errors.As(err, &e) {
					b = []byte(e.Code.String())
				}
				got = append(got, string(b))
			}
			assert.Equal(t, []string{"one", "ConnectionRefusedError", "HostNotFoundError", "ServiceUnavailableError", "five", "route", "route"}, got)
			assert.Equal(t, 2, s.Connections())
		})
	}
}

// TestMisuse: what cannot work fails the test at the call, in words that say why.
func TestMisuse(t *testing.T) {
	a := func(steps ...netreplytest.Step) netreplytest.Answer { return steps }
	for want, misuse := range map[string]func(netreplytest.TB, *netreplytest.Server){
		`the answer of "/": Refuse() happens before there is a request; use Server.Fail or Server.Next`: func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Handle("/", netreplytest.Refuse())
		},
		"answer 2 of the script: GoAway(1) needs HTTP/2, and the kind is HTTP": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(), netreplytest.GoAway(1))
		},
		"Status stands after Body": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Handle("/", a(netreplytest.Body("x"), netreplytest.Status(404)))
		},
		"Header stands after Body": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Handle("/", a(netreplytest.Body("x"), netreplytest.Header("A", "b")))
		},
		"Informational(200) is no interim status": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Informational(200)))
		},
		"Status(103) is no status of a final response": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Status(103)))
		},
		`Header("A B") is no name of a field`: func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Handle("/", a(netreplytest.Header("A B", "c")))
		},
		`Trailer("A") has a control character in its value`: func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Trailer("A", "b\nc")))
		},
		`Informational: a field("") is no name of a field`: func(tb netreplytest.TB, _ *netreplytest.Server) {
			netreplytest.Reply(tb, netreplytest.Informational(103, "", "b"))
		},
		`Informational: the field "B" has no value`: func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Informational(103, "A", "b", "B")))
		},
		"Early does not stand first": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Status(200), netreplytest.Early()))
		},
		"steps follow Reset(), which ends the answer": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(a(netreplytest.Reset(), netreplytest.Body("x")))
		},
		"a step is nil":       func(_ netreplytest.TB, s *netreplytest.Server) { s.Next(a(nil)) },
		"it is nil":           func(_ netreplytest.TB, s *netreplytest.Server) { s.Next(nil) },
		`the pattern "x y z"`: func(_ netreplytest.TB, s *netreplytest.Server) { s.Handle("x y z", a()) },
		"begin with a slash":  func(_ netreplytest.TB, s *netreplytest.Server) { s.URL("x") },
		"9 is no Kind":        func(tb netreplytest.TB, _ *netreplytest.Server) { netreplytest.NewServer(tb, 9) },
		"must be called before Config": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Manager()
			s.Fail(netreplytest.Fail(netreply.ProxyTimeoutError))
		},
		"is a fault of a proxy": func(_ netreplytest.TB, s *netreplytest.Server) {
			s.Next(netreplytest.Fail(netreply.ProxyTimeoutError))
		},
		"NetworkError(42)": func(_ netreplytest.TB, s *netreplytest.Server) { s.Fail(netreplytest.Fail(42)) },
	} {
		spy := &spyTB{TB: t}
		spy.run(func() { misuse(spy, netreplytest.NewServer(spy, netreplytest.HTTP)) })
		assert.Contains(t, spy.fatal, want)
		assert.True(t, strings.HasPrefix(spy.fatal, "netreplytest: "), spy.fatal)
	}

	// what only the request shows fails the test and the request
	spy := &spyTB{TB: t}
	s := netreplytest.NewServer(spy, netreplytest.HTTP)
	s.Fail(netreplytest.Fail(netreply.ContentReSendError))
	require.Error(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()))
	require.Len(t, spy.errs, 1)
	assert.Contains(t, spy.errs[0], "needs a request with a body, and GET / has none")
}

// TestHTTP2Refused: a client that chooses HTTP/1 at a server of HTTP/2 is served, and cannot
// meet faults of HTTP/2.
func TestHTTP2Refused(t *testing.T) {
	spy := &spyTB{TB: t}
	s := netreplytest.NewServer(spy, netreplytest.HTTP2)
	s.Next(netreplytest.Answer{netreplytest.Body("ok")}, netreplytest.ResetStream(1))
	req := s.Request("/")
	req.HTTP = netreply.HTTP1Only
	b, err := s.Manager().Get(t.Context(), req).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "ok", string(b))
	require.Error(t, s.Manager().Get(t.Context(), req).Wait(t.Context()))
	require.Len(t, spy.errs, 1)
	assert.Contains(t, spy.errs[0], "ResetStream(1) needs HTTP/2, and the client has chosen HTTP/1")
	assert.Equal(t, "HTTP/1.1", s.Requests()[0].Proto)
}

// TestAnswerElsewhere: an Answer and its faults work in other servers of HTTP/1.
func TestAnswerElsewhere(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			netreplytest.Truncate(5).ServeHTTP(w, r)
			return
		}
		netreplytest.Answer{netreplytest.Status(418), netreplytest.Body("tea")}.ServeHTTP(w, r)
	}))
	r := s.Manager().Get(t.Context(), s.Request("/"))
	b, err := r.ReadAll()
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	assert.Equal(t, "tea", string(b))
	b, err = s.Manager().Get(t.Context(), s.Request("/cut")).ReadAll()
	require.ErrorIs(t, err, netreply.RemoteHostClosedError)
	assert.Len(t, b, 5)
}
