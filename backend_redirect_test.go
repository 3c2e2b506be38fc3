package netreply_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// gotRequest is a request as a server or a Backend has got it.
type gotRequest struct {
	method, body string
	header       http.Header
}

// recorder is a server of HTTP that records requests and answers them.
func recorder(t *testing.T, answer http.HandlerFunc) (*httptest.Server, <-chan gotRequest) {
	got := make(chan gotRequest, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- gotRequest{r.Method, string(b), r.Header}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s, got
}

// secretRequest is a request with every kind of secret.
func secretRequest(t *testing.T, address string) *netreply.Request {
	req := newRequest(t, address)
	req.Headers = netreply.NewHeaders("Authorization", "Basic c2VjcmV0", "Cookie", "secret=1", "X-Key", "secret", "X-Plain", "1",
		"Content-Language", "en", "Content-Type", "text/plain")
	req.SecretHeaders = []string{"X-Key"}
	req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
		return netreply.Token{Value: "secret"}, nil
	})
	cert := selfSigned(t, "client")
	req.SSLConfiguration = &netreply.SSLConfiguration{
		Certificates: []tls.Certificate{cert},
		TLS:          &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	return req
}

// TestBackendRedirectToHTTP: the reply goes on at a server of HTTP, with the body as the status
// says, and without the secrets of the first origin.
func TestBackendRedirectToHTTP(t *testing.T) {
	s, got := recorder(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from HTTP") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, read := range map[string]bool{"unread": false, "read": true} {
			t.Run(fmt.Sprint(status, name), func(t *testing.T) {
				m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					if read {
						b, err := io.ReadAll(q.Body)
						assert.NoError(t, err)
						assert.Equal(t, "payload", string(b))
					}
					assert.Equal(t, "secret", q.Headers.Get("X-Key"))
					q.Headers.Set("X-Mine", "not sent")
					return w.Redirect(s.URL+"/there", status)
				})
				r := m.Post(deadline(t), secretRequest(t, "test://user:secret@host/x"), netreply.StringBody("payload"))
				b, err := r.ReadAll()
				require.NoError(t, err)
				assert.Equal(t, "from HTTP", string(b))
				assert.Equal(t, s.URL+"/there", r.URL().String())
				assert.Equal(t, 200, r.StatusCode())
				end := <-got
				keeps := status == 307 || status == 308
				assert.Equal(t, keeps, end.method == "POST", end.method)
				assert.Equal(t, keeps, end.body == "payload")
				assert.Equal(t, end.method, r.Method())
				for _, name := range []string{"Content-Language", "Content-Type"} {
					assert.Equal(t, keeps, end.header.Get(name) != "", name)
				}
				assert.Equal(t, "1", end.header.Get("X-Plain"))
				assert.Empty(t, end.header.Get("X-Mine"))
				for name, values := range end.header {
					assert.NotContains(t, strings.Join(values, ";"), "ecret", name)
				}
				assert.Empty(t, end.header.Get("Authorization"))
				assert.Empty(t, end.header.Get("X-Key"))
			})
		}
	}
}

// TestBackendRedirectSecrets: within the scheme secrets are kept on the same origin, and go to no
// other, also not on a way that stays at the other origin, until it comes back.
func TestBackendRedirectSecrets(t *testing.T) {
	type seen struct{ field, bearer, password, cert, ownTLS bool }
	none := func(s seen) bool { return s == seen{} }
	var hops []string
	var list []seen
	var cfg *netreply.SSLConfiguration
	look := func(q *netreply.BackendRequest) {
		hops = append(hops, q.URL.Host)
		s := seen{q.Headers.Get("X-Key") != "" || q.Headers.Get("Authorization") != "" || q.Headers.Get("Cookie") != "" ||
			q.Request.Headers.Get("X-Key") != "", q.Request.Bearer != nil, q.Request.URL.User != nil, false, false}
		for _, c := range []*netreply.SSLConfiguration{cfg, q.Request.SSLConfiguration} {
			s.cert = s.cert || len(c.Certificates) > 0
			s.ownTLS = s.ownTLS || len(c.TLS.Certificates) > 0
		}
		list = append(list, s)
		assert.Equal(t, "1", q.Headers.Get("X-Plain"))
	}
	m := fullManager(t, fullBackend{
		BackendFunc: func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			look(q)
			switch q.URL.Host + q.URL.Path {
			case "a/":
				return w.Redirect("/same", 307)
			case "a/same":
				return w.Redirect("test://b/", 307)
			case "b/":
				return w.Redirect("/again", 307)
			case "b/again":
				return w.Redirect("test://a/end", 307)
			}
			return nil
		},
		set: func(_ *netreply.BackendRequest, c *netreply.SSLConfiguration) { cfg = c },
	})
	r := m.Post(deadline(t), secretRequest(t, "test://user:secret@a/"), netreply.StringBody("payload"))
	require.NoError(t, r.Wait(deadline(t)))
	require.Equal(t, []string{"a", "a", "b", "b", "a"}, hops)
	all := seen{true, true, true, true, true}
	assert.Equal(t, []seen{all, all}, list[:2])
	assert.True(t, none(list[2]) && none(list[3]), "%v", list)
	assert.Equal(t, seen{false, true, true, true, true}, list[4], "fields do not come back, as in HTTP")
	assert.Len(t, r.Request().SSLConfiguration.TLS.Certificates, 1, "the program's stays as it was")
}

// TestBackendRedirectClientCertificate: an https server that a Backend redirects to gets no client
// certificate.
func TestBackendRedirectClientCertificate(t *testing.T) {
	certs := make(chan int, 1)
	s, cfg := testserver.NewOriginWith(t, testserver.TLS, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { certs <- len(r.TLS.PeerCertificates) }),
		func(s *http.Server) {
			s.TLSConfig = &tls.Config{ClientAuth: tls.RequestClientCert}
		})
	m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error { return w.Redirect(s.URL, 302) })
	req := secretRequest(t, "test://host/x")
	req.SSLConfiguration.TLS.RootCAs = cfg.RootCAs
	r := m.Get(deadline(t), req)
	require.NoError(t, r.Wait(deadline(t)))
	assert.Zero(t, <-certs)
	assert.NotEmpty(t, r.SSLConfiguration().PeerCertificates, "the state is that of HTTP")
	encrypted, _ := netreply.ConnectionEncrypted.Of(r)
	assert.True(t, encrypted)
}

// TestBackendRedirectLimit: hops of both kinds count for MaxRedirects.
func TestBackendRedirectLimit(t *testing.T) {
	s, got := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/on")
		w.WriteHeader(302)
	})
	for limit := 1; limit <= 6; limit++ {
		hops := 0
		m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if hops++; hops < 3 {
				return w.Redirect("test:on", 302)
			}
			return w.Redirect(s.URL, 302)
		})
		req := newRequest(t, "test:x")
		req.MaxRedirects = limit
		r := m.Get(deadline(t), req)
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.TooManyRedirectsError)
		assert.Equal(t, limit+1, hops+len(got), "limit %d", limit)
		assert.Len(t, r.Redirected(), limit)
		var e *netreply.Error
		require.ErrorAs(t, r.Err(), &e)
		assert.Equal(t, limit, e.Hop)
		for range len(got) {
			<-got
		}
	}
}

// TestBackendEndlessRedirects: a Backend that redirects for ever ends with the limit.
func TestBackendEndlessRedirects(t *testing.T) {
	hops := 0
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		hops++
		b, err := io.ReadAll(q.Body)
		assert.NoError(t, err)
		assert.Equal(t, "payload", string(b))
		return w.Redirect("test:on", 307)
	})
	req := newRequest(t, "test:x")
	req.MaxRedirects = 1000
	r := m.Post(deadline(t), req, netreply.StringBody("payload"))
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.TooManyRedirectsError)
	assert.Equal(t, 1001, hops)
}

// TestBackendRedirectRefused: where no policy lets a redirect lead. The reply ends at once, with
// the error that Redirect returns.
func TestBackendRedirectRefused(t *testing.T) {
	for location, want := range map[string]netreply.NetworkError{
		"other:x":              netreply.ProtocolUnknownError,
		"ftp://host/":          netreply.ProtocolUnknownError,
		"unix+http://host/":    netreply.ProtocolUnknownError,
		"file:///etc/passwd":   netreply.ProtocolUnknownError,
		"data:,x":              netreply.ProtocolUnknownError,
		"javascript:x":         netreply.ProtocolUnknownError,
		"http:///no/host":      netreply.ProtocolUnknownError,
		"http://host:99999/":   netreply.ProtocolUnknownError,
		"http://%zz/":          netreply.ProtocolUnknownError,
		"":                     netreply.ProtocolUnknownError,
		"http://a b.invalid/x": netreply.ProtocolUnknownError,
	} {
		t.Run(location, func(t *testing.T) {
			over := make(chan struct{})
			m := newManager(t, netreply.Config{FileAccess: netreply.ReadOnlyFileAccess, Backends: map[string]netreply.Backend{
				"other": netreply.BackendFunc(func(*netreply.BackendRequest, netreply.ReplyWriter) error {
					t.Error("the other Backend was called")
					return nil
				}),
				"test": netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					err := w.Redirect(location, 302)
					assert.ErrorIs(t, err, want)
					_, err = io.WriteString(w, "not visible")
					assert.ErrorIs(t, err, want, "and what follows")
					<-q.Context().Done()
					<-over
					return nil
				}),
			}})
			r := m.Get(deadline(t), newRequest(t, "test://host/x"))
			err := r.Wait(deadline(t))
			close(over)
			assert.ErrorIs(t, err, want)
			assert.Equal(t, "test://host/x", r.URL().String())
			assert.Equal(t, 302, r.StatusCode())
			assert.Zero(t, r.BytesAvailable())
		})
	}
}

// TestHTTPNeverRedirectsToBackend: a server of HTTP cannot lead a reply to a Backend's scheme,
// even on a reply that came from there.
func TestHTTPNeverRedirectsToBackend(t *testing.T) {
	s, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "test://host/secret")
		w.WriteHeader(302)
	})
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NotEqual(t, "/secret", q.URL.Path)
		return w.Redirect(s.URL, 302)
	})
	for _, address := range []string{s.URL, "test://host/first"} {
		for _, policy := range []netreply.RedirectPolicy{netreply.NoLessSafeRedirectPolicy, netreply.UserVerifiedRedirectPolicy} {
			req := newRequest(t, address)
			req.RedirectPolicy = policy
			req.Answer = func(_ context.Context, q netreply.Question) { yes(q) }
			assert.ErrorIs(t, m.Get(deadline(t), req).Wait(deadline(t)), netreply.ProtocolUnknownError)
		}
	}
}

// TestBackendRedirectNotRewindable: a body that was read and cannot be read again is not sent
// again.
func TestBackendRedirectNotRewindable(t *testing.T) {
	s, got := recorder(t, func(http.ResponseWriter, *http.Request) {})
	for _, read := range []bool{false, true} {
		m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if read {
				q.Body.Read(make([]byte, 1))
			}
			return w.Redirect(s.URL, 307)
		})
		req := newRequest(t, "test:x")
		req.DoNotBufferUploadData = true
		r := m.Post(deadline(t), req, netreply.ReaderBody(sequentialReader{strings.NewReader("payload")}))
		err := r.Wait(deadline(t))
		if !read {
			require.NoError(t, err)
			assert.Equal(t, "payload", (<-got).body)
			continue
		}
		require.ErrorIs(t, err, netreply.ContentReSendError)
		assert.Equal(t, "test:x", r.URL().String())
		to, _ := netreply.RedirectionTarget.Of(r)
		assert.Equal(t, s.URL+"/", to.String())
	}
}

// TestBackendRedirectUndecided: a reply that ends while it asks about a redirect keeps its URL.
func TestBackendRedirectUndecided(t *testing.T) {
	refused := make(chan error, 1)
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.Equal(t, "test:x", q.URL.String())
		err := w.Redirect("test:y", 302)
		refused <- err
		return err
	})
	req := newRequest(t, "test:x")
	req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	r := m.Get(deadline(t), req)
	d := <-r.Redirected()
	assert.Equal(t, "test:y", d.URL.String())
	assert.Equal(t, "test:x", d.From.String())
	r.Abort()
	assert.False(t, d.Allow())
	assert.ErrorIs(t, <-refused, netreply.OperationCanceledError)
	assert.Equal(t, "test:x", r.URL().String())
}

// TestBackendRedirectWhileAsking: while Redirect asks, other goroutines cannot change the reply,
// nor when Serve returns meanwhile.
func TestBackendRedirectWhileAsking(t *testing.T) {
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque == "y" {
			_, err := io.WriteString(w, "the end")
			return err
		}
		asking := make(chan struct{})
		go func() {
			close(asking)
			assert.NoError(t, w.Redirect("test:y", 302))
		}()
		<-asking
		for !isAfterRedirect(w.SetURL(&url.URL{Scheme: "other"})) {
		}
		for _, c := range writerCalls() {
			requireUsage(t, c.call(w), c.method, "called after Redirect")
		}
		return nil
	})
	req := newRequest(t, "test:x")
	req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	req.Answer = func(_ context.Context, q netreply.Question) { yes(q) }
	r := m.Get(deadline(t), req)
	b, err := r.ReadAll()
	assert.NoError(t, err)
	assert.Equal(t, "the end", string(b))
	assert.Equal(t, "test:y", r.URL().String())
}

func isAfterRedirect(err error) bool {
	var usage *netreply.UsageError
	return errors.As(err, &usage) && strings.Contains(usage.Reason, "after Redirect")
}

// TestBackendReplacesHTTP: http and https can be served by Backends; HSTS upgrades their URLs, and
// a redirect from one to the other follows the rules of HTTP.
func TestBackendReplacesHTTP(t *testing.T) {
	store := hsts.NewStore()
	store.Learn("safe.test", []string{"max-age=1000"})
	var urls []string
	b := netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		urls = append(urls, q.URL.String()+" "+q.Headers.Get("Authorization"))
		switch q.URL.Path {
		case "/up":
			return w.Redirect("https://"+q.URL.Host+"/end", 302)
		case "/down":
			return w.Redirect("http://"+q.URL.Host+"/end", 302)
		}
		return nil
	})
	m := newManager(t, netreply.Config{HSTS: store, Backends: map[string]netreply.Backend{"http": b, "https": b}})
	get := func(address string) error {
		req := newRequest(t, address)
		req.Headers.Set("Authorization", "secret")
		return m.Get(deadline(t), req).Wait(deadline(t))
	}
	assert.NoError(t, get("http://a.test/up"))
	assert.NoError(t, get("http://safe.test/x"))
	assert.NoError(t, get("https://safe.test/down"))
	assert.ErrorIs(t, get("https://a.test/down"), netreply.InsecureRedirectError)
	assert.Equal(t, []string{"http://a.test/up secret", "https://a.test/end secret", "https://safe.test/x secret", "https://safe.test/down secret",
		"https://safe.test/end secret", "https://a.test/down secret"}, urls)

	_, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"https": b}})
	assert.ErrorContains(t, err, "both http and https")
}

// TestBackendRedirectHSTS: the target of a Backend's redirect is upgraded by HSTS, too.
func TestBackendRedirectHSTS(t *testing.T) {
	store := hsts.NewStore()
	store.Learn("example.com", []string{"max-age=1000"})
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secure") }))
	m := backendManager(t, netreply.Config{HSTS: store, DialContext: dialTo(s.Listener.Addr().String()),
		SSLConfiguration: &netreply.SSLConfiguration{TLS: &tls.Config{RootCAs: cfg.RootCAs}}},
		func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			return w.Redirect("http://example.com/x", 302)
		})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	assert.Equal(t, "secure", readBody(t, r))
	assert.Equal(t, "https://example.com/x", r.URL().String())
}

// TestBackendRedirectGuard: Config.Guard holds for the servers to which a Backend redirects.
func TestBackendRedirectGuard(t *testing.T) {
	s, got := recorder(t, func(http.ResponseWriter, *http.Request) {})
	m := backendManager(t, netreply.Config{Guard: &netreply.AddressGuard{}}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		return w.Redirect(s.URL, 302)
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	var blocked *netreply.BlockedAddressError
	assert.ErrorAs(t, r.Wait(deadline(t)), &blocked)
	assert.Empty(t, got)
}

// TestBackendRedirectCounts: signals that are not lost fit their channels on a way over both kinds
// of hops.
func TestBackendRedirectCounts(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			w.WriteHeader(103)
		}
	}))
	defer s.Close()
	const told = 120
	m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for range told {
			assert.NoError(t, w.InformationalReceived(102, netreply.Headers{}))
		}
		return w.Redirect(s.URL, 302)
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	infos := r.InformationalReceived()
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.ProtocolFailure, "more than 128 for one reply")
	n := 0
	for range infos {
		n++
	}
	assert.Equal(t, 128, n)
}

// TestBackendRedirectStatus: a followed redirect shows nothing of its Backend afterwards.
func TestBackendRedirectStatus(t *testing.T) {
	s, _ := recorder(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	cert := selfSigned(t, "backend")
	m := fullManager(t, fullBackend{
		BackendFunc: func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			err := errors.Join(w.Encrypted(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}),
				w.SetAttribute(netreply.ConnectionEncrypted, true), w.SetRawHeader("X-Backend", "1"), w.SetTrailers(netreply.NewHeaders("X", "1")))
			return errors.Join(err, w.Redirect(s.URL, 302))
		},
		state: func(*netreply.BackendRequest) netreply.SSLState {
			return netreply.SSLState{ConnectionState: tls.ConnectionState{ServerName: "backend"}}
		},
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	require.NoError(t, r.Wait(deadline(t)))
	assert.Equal(t, 204, r.StatusCode())
	assert.False(t, r.HasRawHeader("X-Backend"))
	assert.Empty(t, r.SSLConfiguration().ServerName)
	assert.Empty(t, r.SSLConfiguration().PeerCertificates)
	encrypted, _ := netreply.ConnectionEncrypted.Of(r)
	assert.False(t, encrypted)
	assert.Zero(t, r.Trailers().Len())
}

// TestBackendRedirectKeepsForm: a relative target of a URL without an authority has none
// either.
func TestBackendRedirectKeepsForm(t *testing.T) {
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Path == "/a" {
			return w.Redirect("b", 302)
		}
		_, err := io.WriteString(w, q.URL.String())
		return err
	})
	r := m.Get(t.Context(), newRequest(t, "test:/a"))
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "test:/b", string(body))
	assert.Equal(t, "test:/b", r.URL().String())
}
