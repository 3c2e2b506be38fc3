package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestVerifyModes: QueryPeer reports errors and continues, VerifyNone continues without
// reporting, whatever else is ignored (rules T8 and S34).
func TestVerifyModes(t *testing.T) {
	for mode, reports := range map[netreply.PeerVerifyMode]bool{netreply.VerifyNone: false, netreply.QueryPeer: true} {
		eachUntrusted(t, netreply.Config{Ask: netreply.AskSSLErrors}, func(t *testing.T, s *untrusted) {
			cfg := &netreply.SSLConfiguration{PeerVerifyMode: mode, RootCAs: x509.NewCertPool(), PeerVerifyName: "other.test"}
			for name, set := range map[string]func(*netreply.Request){
				"nothing ignored": func(*netreply.Request) {},
				"all ignored":     func(q *netreply.Request) { q.IgnoreAllSSLErrors = true },
				"other ignored": func(q *netreply.Request) {
					q.IgnoreSSLErrors = []netreply.SSLError{{Code: netreply.SSLCertificateExpired, Certificate: s.Certificate()}}
				},
			} {
				for range 2 { // the second on a resumed session
					s.m.ClearConnectionCache()
					q := s.request("/")
					q.SSLConfiguration = cfg
					set(q)
					r := s.m.Get(t.Context(), q)
					require.NoError(t, r.Wait(deadline(t)), name)
					assert.Empty(t, r.SSLConfiguration().VerifiedChains)
					got := signalNames(t, r)
					if !reports {
						assert.Equal(t, []string{"connecting", "encrypted", "sent"}, got[:3], name)
						continue
					}
					assert.Equal(t, []string{"connecting", "flaws", "encrypted"}, got[:3], name)
					e := <-r.SSLErrors()
					assert.True(t, e.Ignored)
					assert.False(t, e.Reject())
					assert.Equal(t, "other.test", e.Host)
					require.Len(t, e.Errors, 2)
					assert.Equal(t, netreply.SSLHostNameMismatch, e.Errors[0].Code)
					assert.Equal(t, netreply.SSLSelfSignedCertificate, e.Errors[1].Code)
				}
			}
		})
	}
}

// TestVerifyNoneManager: the Manager emits no signal, either.
func TestVerifyNoneManager(t *testing.T) {
	eachUntrusted(t, netreply.Config{}, func(t *testing.T, s *untrusted) {
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone, PeerVerifyName: "other.test"}})
		ctx, cancel := context.WithCancel(deadline(t))
		defer cancel()
		events := m.Events(ctx)
		require.NoError(t, m.Get(t.Context(), s.request("/")).Wait(deadline(t)))
		for _, e := range events {
			assert.NotEqual(t, "flaws", signalName(e))
			if signalName(e) == "finished" {
				cancel()
			}
		}
	})
}

// TestHostMismatchNames: the error has the required host and the names in the certificate:
// the first ones if there are many, shortened, and without control characters.
func TestHostMismatchNames(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("%s%d.example", strings.Repeat("x", 10), i)
	}
	for name, c := range map[string]struct {
		dns  []string
		ips  []net.IP
		want string
	}{
		"two":     {dns: []string{"a.example", "b.example"}, want: "certificate is for a.example, b.example; wanted c.example"},
		"address": {dns: []string{"a.example"}, ips: []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}, want: "certificate is for a.example, 192.0.2.1, 2001:db8::1; wanted c.example"},
		"none":    {want: "certificate is for no host; wanted c.example"},
		"many":    {dns: many, want: "certificate is for xxxxxxxxxx0.example, xxxxxxxxxx1.example, xxxxxxxxxx2.example, xxxxxxxxxx3.example, xxxxxxxxxx4.example, 2995 more; wanted c.example"},
		"long":    {dns: []string{strings.Repeat("y", 500)}, want: "certificate is for " + strings.Repeat("y", 64) + "...; wanted c.example"},
		"strange": {dns: []string{"a\x1b[31m\r\nb\x00\x7f.example"}, want: "certificate is for a?[31m??b??.example; wanted c.example"},
	} {
		t.Run(name, func(t *testing.T) {
			own := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: c.dns, IPAddresses: c.ips})
			roots := x509.NewCertPool()
			roots.AddCert(own.Leaf)
			for _, kind := range secureKinds {
				s, _ := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it got through") }),
					func(s *http.Server) {
						s.TLSConfig, s.ErrorLog = &tls.Config{Certificates: []tls.Certificate{own}}, discardLog
					})
				m := newManager(t, netreply.Config{DialContext: dialTo(s.Listener.Addr().String()), SSLConfiguration: &netreply.SSLConfiguration{RootCAs: roots}})
				r := m.Get(t.Context(), newRequest(t, "https://c.example/"))
				err := r.Wait(deadline(t))
				require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
				var ce *netreply.CertificateError
				require.ErrorAs(t, err, &ce)
				assert.Equal(t, "The "+c.want, ce.Error())
				assert.Equal(t, "SSL handshake failed: The "+c.want, r.ErrorString())
				for _, text := range []string{err.Error(), ce.Errors[0].Error()} {
					assert.Less(t, len(text), 600)
					assert.NotContains(t, strings.Map(func(r rune) rune {
						if unicode.IsControl(r) {
							return '!'
						}
						return r
					}, text), "!")
				}
			}
		})
	}
}

// TestIgnoreSSLErrorsCost: on a kept connection, a request that ignores SSL errors costs the
// same as any other, and hashes no certificate.
func TestIgnoreSSLErrorsCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	cert := issue(t, nil, leafTemplate("host.test"))
	s := testserver.NewRaw(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(c *testserver.Conn) {
		buf := make([]byte, 4096)
		say := []byte(small)
		for n := 0; ; {
			k, err := c.R.Read(buf[n:])
			if err != nil {
				return
			}
			if n += k; strings.HasSuffix(string(buf[:n]), "\r\n\r\n") {
				n = 0
				c.Write(say)
			}
		}
	})
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{RootCAs: x509.NewCertPool()}})
	count := func(list []netreply.SSLError, all bool) float64 {
		q := newRequest(t, "https://"+s.Addr)
		q.IgnoreSSLErrors, q.IgnoreAllSSLErrors = list, all
		return testing.AllocsPerRun(300, func() {
			r := m.Get(context.Background(), q)
			if n, err := io.Copy(io.Discard, r); err != nil || n != 1024 {
				t.Error(n, err)
			}
		})
	}
	list := []netreply.SSLError{{Code: netreply.SSLSelfSignedCertificate, Certificate: cert.Leaf}}
	for range 99 {
		list = append(list, netreply.SSLError{Code: netreply.SSLCertificateExpired, Certificate: cert.Leaf})
	}
	all, one, hundred := count(nil, true), count(list[:1], false), count(list, false)
	t.Logf("all: %.0f allocations, one: %.0f, a hundred: %.0f", all, one, hundred)
	assert.LessOrEqual(t, one, all+2, "the request's copy of the list")
	assert.LessOrEqual(t, hundred, all+2)
}
