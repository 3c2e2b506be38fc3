package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

const soakRequests = 10_000

// wayKey is the context key of the kind of requests on a connection.
type wayKey struct{}

// TestSoakProfiles: many requests of all kinds with one Manager: strict and lenient, with
// questions, with client certificates and through proxies. Each names its kind, and the
// servers check that a connection carries only one kind.
func TestSoakProfiles(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 10,000 requests")
	}
	ca := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
	client := func(name string) tls.Certificate {
		return issue(t, &ca, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	var wrong atomic.Int64
	check := func(w http.ResponseWriter, r *http.Request) {
		way := r.Header.Get("X-Way")
		first, loaded := r.Context().Value(wayKey{}).(*sync.Map).LoadOrStore("way", way)
		if loaded && first != way {
			wrong.Add(1)
			t.Errorf("a request of %q came on a connection of %q", way, first)
		}
		who := "nobody"
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		if want := r.Header.Get("X-Who"); want != who {
			wrong.Add(1)
			t.Errorf("%q has shown the certificate of %q", want, who)
		}
		io.WriteString(w, way)
	}
	server := func(kind testserver.Kind, own ...tls.Certificate) (string, *tls.Config) {
		s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(check), func(s *http.Server) {
			s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				return context.WithValue(ctx, wayKey{}, new(sync.Map))
			}
			s.TLSConfig = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: own}
			s.ErrorLog = discardLog
		})
		return s.URL, cfg
	}
	var flawed, trusted []string
	roots := x509.NewCertPool()
	for _, kind := range secureKinds {
		url, _ := server(kind, selfSigned(t, "127.0.0.1"))
		flawed = append(flawed, url)
		url, cfg := server(kind)
		trusted = append(trusted, url)
		roots = cfg.RootCAs // httptest's, the same for all
	}
	target := func(url string) string { return url[len("https://"):] }
	var tunnels []*netreply.Proxy
	for _, url := range trusted {
		px := testserver.NewProxy(t, target(url), nil)
		px.RequireLogin("a", "b")
		for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
			p := proxyAt(kind, px.Addr)
			p.User, p.Password = "a", "b"
			tunnels = append(tunnels, p)
		}
	}
	plain := &netreply.SSLConfiguration{RootCAs: roots}
	me, you := plain.Clone(), plain.Clone()
	me.Certificates, you.Certificates = []tls.Certificate{client("me")}, []tls.Certificate{client("you")}
	m := newManager(t, netreply.Config{SSLConfiguration: plain})
	var sent, refused atomic.Int64
	one := func(i int) {
		n := i % 2
		req, way, who, fails := (*netreply.Request)(nil), "", "nobody", false
		switch kind := rand.IntN(100); {
		case kind < 30:
			req, way = newRequest(t, trusted[n]), "strict"
		case kind < 45:
			req, way = newRequest(t, trusted[n]), "me"
			req.SSLConfiguration, who = me, "me"
		case kind < 60:
			req, way = newRequest(t, trusted[n]), "you"
			req.SSLConfiguration, who = you, "you"
		case kind < 70:
			req, way = newRequest(t, flawed[n]), "lenient"
			req.IgnoreAllSSLErrors = true
		case kind < 75: // with a question: for this reply only
			req, way = newRequest(t, flawed[n]), fmt.Sprint("asked ", i)
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if e, ok := e.(netreply.SSLErrorsOccurred); ok {
					e.Ignore()
				}
			}
		case kind < 80:
			req, way, fails = newRequest(t, flawed[n]), "strict", true
		default:
			p := tunnels[n*2+rand.IntN(2)]
			req, way = newRequest(t, trusted[n]), fmt.Sprint("through ", p)
			req.Proxy = p
			if kind >= 90 {
				req.SSLConfiguration, who = me, "me"
				way += " as me"
			}
		}
		if n == 1 && rand.IntN(4) == 0 {
			req.HTTP = netreply.HTTP1Only
			way += " by HTTP/1"
		}
		req.Headers.Set("X-Way", way)
		req.Headers.Set("X-Who", who)
		r := m.Get(t.Context(), req)
		got, err := r.ReadAll()
		if fails {
			assert.ErrorIs(t, err, netreply.SslHandshakeFailedError)
			refused.Add(1)
			return
		}
		assert.NoError(t, err)
		assert.Equal(t, way, string(got))
		sent.Add(1)
		if rand.IntN(200) == 0 {
			m.ClearConnectionCache()
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := next.Add(1); i <= soakRequests && wrong.Load() == 0; i = next.Add(1) {
				one(int(i))
			}
		})
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
	assert.EqualValues(t, soakRequests, sent.Load()+refused.Load())
	assert.Positive(t, refused.Load())
}
