package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// impostor is a server that nobody trusts by itself. Its responses stay fresh, and may be
// validated.
func impostor(t *testing.T, clients tls.ClientAuthType) (*httptest.Server, *x509.Certificate, *atomic.Int32) {
	cert := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "impostor"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	var requests atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("ETag", `"a"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		who := "nobody"
		if list := r.TLS.PeerCertificates; len(list) > 0 {
			who = list[0].Subject.CommonName
		}
		io.WriteString(w, "for "+who)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: clients}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, cert.Leaf, &requests
}

// TestCacheKeepsTrustApart: what came from a server that a request has accepted, for whatever
// reason, does not answer requests that do not accept it.
func TestCacheKeepsTrustApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		hits   bool // the same request again is answered from the cache
		accept func(*netreply.Request, *x509.Certificate)
	}{
		{"ignoring all flaws", true, func(q *netreply.Request, _ *x509.Certificate) { q.IgnoreAllSSLErrors = true }},
		{"ignoring these flaws", true, func(q *netreply.Request, c *x509.Certificate) {
			q.IgnoreSSLErrors = []netreply.SSLError{{Code: netreply.SSLSelfSignedCertificate, Certificate: c}}
		}},
		{"VerifyNone", true, func(q *netreply.Request, _ *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
		}},
		{"QueryPeer", true, func(q *netreply.Request, _ *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.QueryPeer}
		}},
		{"InsecureSkipVerify", true, func(q *netreply.Request, _ *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{TLS: &tls.Config{InsecureSkipVerify: true}}
		}},
		{"a function that verifies nothing", true, func(q *netreply.Request, _ *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{TLS: &tls.Config{InsecureSkipVerify: true, VerifyConnection: acceptAll}}
		}},
		{"AddedCAs", true, func(q *netreply.Request, c *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{AddedCAs: []*x509.Certificate{c}}
		}},
		{"RootCAs", true, func(q *netreply.Request, c *x509.Certificate) {
			q.SSLConfiguration = &netreply.SSLConfiguration{RootCAs: poolOf(c)}
		}},
		{"an answer", false, func(q *netreply.Request, _ *x509.Certificate) {
			q.Answer = func(_ context.Context, a netreply.Question) {
				if s, ok := a.(*netreply.SSLErrors); ok {
					s.Ignore()
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, leaf, requests := impostor(t, tls.NoClientCert)
			cache := httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
			m := newManager(t, netreply.Config{Cache: cache})
			accepting := func() *netreply.Request {
				q := newRequest(t, s.URL)
				c.accept(q, leaf)
				return q
			}
			fetched(t, m, accepting())
			assert.EqualValues(t, 1, requests.Load())
			r, _ := fetched(t, m, accepting())
			assert.Equal(t, c.hits, r.CacheStatus().Hit)

			for _, m := range []*netreply.Manager{m, newManager(t, netreply.Config{Cache: cache})} {
				r = m.Get(t.Context(), newRequest(t, s.URL))
				assert.ErrorIs(t, r.Wait(t.Context()), netreply.SslHandshakeFailedError)
				q := newRequest(t, s.URL)
				q.CacheLoadControl = netreply.AlwaysCache
				assert.ErrorIs(t, m.Get(t.Context(), q).Wait(t.Context()), netreply.ContentNotFoundError)
			}
		})
	}
}

func acceptAll(tls.ConnectionState) error { return nil }

func poolOf(list ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}

// TestUnsureValidation: a 304 from a server whose certificate was accepted for one reply does not
// make fresh what was received from the true server.
func TestUnsureValidation(t *testing.T) {
	s, leaf, requests := impostor(t, tls.NoClientCert)
	stranger, _, _ := impostor(t, tls.NoClientCert)
	to := s.Listener.Addr().String()
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{})), SSLConfiguration: &netreply.SSLConfiguration{RootCAs: poolOf(leaf)},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to)
		}})
	_, body := fetched(t, m, newRequest(t, s.URL))
	assert.Equal(t, "for nobody", body)
	before, err := m.Cache().Metadata(t.Context(), newRequest(t, s.URL).URL)
	require.NoError(t, err)
	require.Len(t, before, 1)

	m.ClearConnectionCache()
	to = stranger.Listener.Addr().String()
	q := newRequest(t, s.URL)
	q.Headers.Add("Cache-Control", "no-cache")
	q.Answer = func(_ context.Context, a netreply.Question) {
		if s, ok := a.(*netreply.SSLErrors); ok {
			s.Ignore()
		}
	}
	r, body := fetched(t, m, q)
	assert.Equal(t, "for nobody", body)
	assert.Equal(t, http.StatusNotModified, r.CacheStatus().ForwardStatus)
	assert.EqualValues(t, 1, requests.Load())
	after, err := m.Cache().Metadata(t.Context(), newRequest(t, s.URL).URL)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

// TestCacheKeepsIdentitiesApart: a response to one client certificate is not for another, or for
// none.
func TestCacheKeepsIdentitiesApart(t *testing.T) {
	s, leaf, requests := impostor(t, tls.RequestClientCert)
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{})), SSLConfiguration: &netreply.SSLConfiguration{RootCAs: poolOf(leaf)}})
	alice, bob := selfSigned(t, "alice"), selfSigned(t, "bob")
	chosen := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &bob, nil }
	configurations := []*netreply.SSLConfiguration{
		nil,
		{RootCAs: poolOf(leaf), Certificates: []tls.Certificate{alice}},
		{RootCAs: poolOf(leaf), Certificates: []tls.Certificate{bob}},
		{RootCAs: poolOf(leaf), ClientCertificate: chosen},
	}
	for range 2 {
		for i, c := range configurations {
			q := newRequest(t, s.URL)
			q.SSLConfiguration = c
			_, body := fetched(t, m, q)
			assert.Equal(t, []string{"for nobody", "for alice", "for bob", "for bob"}[i], body)
		}
	}
	assert.EqualValues(t, len(configurations), requests.Load(), "each is answered from the cache the second time")
}

// TestCacheBehindGuard: what a Manager without an AddressGuard has received does not answer one
// that has one, which would not have been allowed to ask.
func TestCacheBehindGuard(t *testing.T) {
	s := httptest.NewServer(fresh("inside"))
	t.Cleanup(s.Close)
	cache := httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	open, guarded := newManager(t, netreply.Config{Cache: cache}), newManager(t, netreply.Config{Cache: cache, Guard: &netreply.AddressGuard{}})
	allowing := newManager(t, netreply.Config{Cache: cache, Guard: &netreply.AddressGuard{Allow: local}})
	for range 2 {
		for _, m := range []*netreply.Manager{open, allowing} {
			_, body := fetched(t, m, newRequest(t, s.URL))
			assert.Equal(t, "inside", body)
		}
		for _, load := range []netreply.CacheLoadControl{netreply.PreferNetwork, netreply.PreferCache} {
			q := newRequest(t, s.URL)
			q.CacheLoadControl = load
			var blocked *netreply.BlockedAddressError
			assert.ErrorAs(t, guarded.Get(t.Context(), q).Wait(t.Context()), &blocked)
		}
	}
}

// TestCacheBehindProxy: what a request's own proxy has sent in place of the server does not
// answer requests that go another way, unless TLS protects it.
func TestCacheBehindProxy(t *testing.T) {
	var direct atomic.Int32
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		direct.Add(1)
		fresh("true")(w, r)
	}))
	t.Cleanup(origin.Close)
	proxy := httptest.NewServer(fresh("forged"))
	t.Cleanup(proxy.Close)
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	addr, err := net.ResolveTCPAddr("tcp", proxy.Listener.Addr().String())
	require.NoError(t, err)
	through := newRequest(t, origin.URL)
	through.Proxy = &netreply.Proxy{Type: netreply.HTTPProxy, Host: "127.0.0.1", Port: uint16(addr.Port)}
	for range 2 {
		_, body := fetched(t, m, through)
		assert.Equal(t, "forged", body)
		_, body = fetched(t, m, newRequest(t, origin.URL))
		assert.Equal(t, "true", body)
	}
	assert.EqualValues(t, 1, direct.Load())
}

// TestCachedDigestNeedsPassword: what one user has received is not for another who knows the name
// but not the password, although all credentials of Digest differ.
func TestCachedDigestNeedsPassword(t *testing.T) {
	d := &digestServer{challenge: `qop="auth"`, user: "bob"}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		d.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		w.WriteHeader(rec.Code)
		io.WriteString(w, "secret")
	})
	ask := func(m *netreply.Manager, password string) (*netreply.Reply, error) {
		q := s.Request("/")
		q.URL.User = url.UserPassword("bob", password)
		r := m.Get(t.Context(), q)
		return r, r.Wait(t.Context())
	}
	_, err := ask(m, "pass")
	require.NoError(t, err)
	r, err := ask(m, "pass")
	require.NoError(t, err)
	assert.True(t, r.CacheStatus().Hit)
	for _, m := range []*netreply.Manager{m, newManager(t, func() netreply.Config { c := s.Config(); c.Cache = m.Cache(); return c }())} {
		r, err = ask(m, "wrong")
		assert.Error(t, err)
		assert.Equal(t, http.StatusUnauthorized, r.StatusCode())
	}
}
