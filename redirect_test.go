package netreply_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// hops answers /n with a redirect to /n-1, and /0 with a description of the request.
func hops(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if n > 0 {
			w.Header().Set("X-Hop", r.URL.Path)
			w.Header().Set("Location", fmt.Sprintf("/%d", n-1))
			w.WriteHeader(status)
			io.WriteString(w, "moved")
			return
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Content-Type"), body)
	}
}

// TestRedirectMethods: rules R10, R13 and R14.
func TestRedirectMethods(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		eachProtocol(t, hops(status), netreply.Config{}, func(t *testing.T, s *fixture) {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
				req := s.request("/2")
				req.Headers.Set("Content-Type", "text/x")
				r := s.m.Send(t.Context(), method, req, netreply.StringBody("data"))
				body, err := r.ReadAll()
				require.NoError(t, err)
				want := "GET  "
				if status >= 307 {
					want = method + " text/x data"
				}
				assert.Equal(t, want, string(body), "%d %s", status, method)
				assert.Equal(t, strings.Fields(want)[0], r.Method())
				assert.False(t, r.HasRawHeader("X-Hop"), "rule R23")
				_, ok := netreply.RedirectionTarget.Of(r)
				assert.False(t, ok)
				n := 0
				for d := range r.Redirected() {
					assert.False(t, d.Allow(), "decided already")
					assert.Equal(t, status, d.StatusCode)
					n++
				}
				assert.Equal(t, 2, n)
			}
		})
	}
}

// TestRedirectPolicies: rules R2 to R5, R12 and R20, D10 and D13.
func TestRedirectPolicies(t *testing.T) {
	secure, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(302)
			return
		}
		io.WriteString(w, "there")
	}))
	plain, _ := testserver.NewOrigin(t, testserver.Plain, secure.Config.Handler)
	for _, r := range []struct {
		name   string
		policy netreply.RedirectPolicy
		max    int
		from   string
		to     string
		code   netreply.NetworkError
		target string // RedirectionTarget
	}{
		{name: "up", from: plain.URL, to: secure.URL + "/"},
		{name: "down", from: secure.URL, to: plain.URL + "/", code: netreply.InsecureRedirectError, target: plain.URL + "/"},
		{name: "manual", policy: netreply.ManualRedirectPolicy, from: plain.URL, to: "rel?x=y", target: "rel?x=y"},
		{name: "same", policy: netreply.SameOriginRedirectPolicy, from: plain.URL, to: "/x"},
		{name: "same, other port", policy: netreply.SameOriginRedirectPolicy, from: plain.URL, to: "http://127.0.0.1:1/", code: netreply.InsecureRedirectError, target: "http://127.0.0.1:1/"},
		{name: "none allowed", max: -1, from: plain.URL, to: "/x", code: netreply.TooManyRedirectsError, target: plain.URL + "/x"},
		{name: "other scheme", from: plain.URL, to: "ftp://x/", code: netreply.ProtocolUnknownError, target: "ftp://x/"},
		{name: "data", from: plain.URL, to: "data:,x", code: netreply.ProtocolUnknownError, target: "data:,x"},
		{name: "unparsable", from: plain.URL, to: "http://[x/", code: netreply.ProtocolUnknownError},
		{name: "no such host", from: plain.URL, to: "http://no.invalid/", code: netreply.HostNotFoundError},
	} {
		t.Run(r.name, func(t *testing.T) {
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			req := newRequest(t, r.from+"/?to="+strings.ReplaceAll(r.to, "&", "%26"))
			req.RedirectPolicy, req.MaxRedirects = r.policy, r.max
			reply := m.Get(t.Context(), req)
			err := reply.Wait(deadline(t))
			if r.code != 0 {
				require.ErrorIs(t, err, r.code)
			} else {
				require.NoError(t, err)
			}
			target, ok := netreply.RedirectionTarget.Of(reply)
			assert.Equal(t, r.target != "", ok)
			if ok {
				assert.Equal(t, r.target, target.String())
				assert.Equal(t, 302, reply.StatusCode())
				assert.Equal(t, req.URL.String(), reply.URL().String(), "D13")
			}
		})
	}
}

func TestTooManyRedirects(t *testing.T) {
	eachProtocol(t, hops(302), netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/5")
		req.MaxRedirects = 3
		r := s.m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(t.Context()), netreply.TooManyRedirectsError)
		n := 0
		for range r.Redirected() {
			n++
		}
		assert.Equal(t, 3, n, "rule R20")
		assert.Equal(t, "/2", r.URL().Path)
		var e *netreply.Error
		require.ErrorAs(t, r.Err(), &e)
		assert.Equal(t, 3, e.Hop)

		req.MaxRedirects = 5
		require.NoError(t, s.m.Get(t.Context(), req).Wait(t.Context()))
	})
}

// TestUserVerified: rule R6.
func TestUserVerified(t *testing.T) {
	eachProtocol(t, hops(302), netreply.Config{RedirectPolicy: netreply.UserVerifiedRedirectPolicy}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/2"))
		n := 0
		for d := range r.Redirected() {
			assert.True(t, r.IsRunning())
			assert.Equal(t, 302, r.StatusCode())
			assert.True(t, r.HasRawHeader("X-Hop"), "rule R21")
			assert.True(t, d.Allow())
			assert.False(t, d.Deny())
			n++
		}
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, 2, n)

		r = s.m.Get(t.Context(), s.request("/2"))
		d := <-r.Redirected()
		assert.True(t, d.Deny())
		require.ErrorIs(t, r.Wait(t.Context()), netreply.OperationCanceledError)
		target, ok := netreply.RedirectionTarget.Of(r)
		require.True(t, ok, "D10")
		assert.Equal(t, "/1", target.Path)
		assert.Equal(t, "/2", r.URL().Path, "D13")

		r = s.m.Get(t.Context(), s.request("/2"))
		<-r.Redirected()
		r.Abort()
		require.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
		assert.Equal(t, 302, r.StatusCode(), "rule S69")
	})
}

// TestRedirectSecrets: secret fields stay with their origin (D11).
func TestRedirectSecrets(t *testing.T) {
	var got http.Header
	var host string
	other, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host }))
	first, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/same" {
			got, host = r.Header, r.Host
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	}))
	m := newManager(t, netreply.Config{})
	for _, r := range []struct {
		to   string
		keep bool
	}{{"/same", true}, {other.URL, false}} {
		req := newRequest(t, strings.Replace(first.URL, "http://", "http://user:secret@", 1)+"/?to="+r.to)
		req.Headers = netreply.NewHeaders("Authorization", "Bearer t", "Cookie", "a=b", "Proxy-Authorization", "x", "Host", "named.example", "X-Mine", "1")
		reply := m.Get(t.Context(), req)
		require.NoError(t, reply.Wait(t.Context()))
		for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
			assert.Equal(t, r.keep, got.Get(name) != "", "%s to %s", name, r.to)
		}
		assert.Equal(t, r.keep, host == "named.example")
		assert.Equal(t, "1", got.Get("X-Mine"))
	}
	req := newRequest(t, strings.Replace(first.URL, "http://", "http://user:secret@", 1)+"/?to=http://127.0.0.1:1/")
	req.RedirectPolicy = netreply.SameOriginRedirectPolicy
	err := m.Get(t.Context(), req).Wait(t.Context())
	require.ErrorIs(t, err, netreply.InsecureRedirectError)
	assert.NotContains(t, fmt.Sprintf("%v %+v %q", err, err, err.(*netreply.Error).URL), "secret", "D8")
}

// TestRedirectURL: a relative target keeps the user of the URL (rule R18), a
// denied one leaves the URL as it was (D13).
func TestRedirectURL(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, hops(302))
	m := newManager(t, netreply.Config{})
	base := strings.Replace(s.URL, "http://", "http://user:pw@", 1)
	r := m.Get(t.Context(), newRequest(t, base+"/1#f"))
	require.NoError(t, r.Wait(t.Context()))
	assert.Equal(t, base+"/0#f", r.URL().String(), "rule R11")

	req := newRequest(t, base+"/1#f")
	req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	r = m.Get(t.Context(), req)
	(<-r.Redirected()).Deny()
	require.ErrorIs(t, r.Wait(t.Context()), netreply.OperationCanceledError)
	assert.Equal(t, base+"/1#f", r.URL().String())
}

// TestRedirectBody: a redirect that needs a body that cannot be sent again is not announced
// (rule R15).
func TestRedirectBody(t *testing.T) {
	eachProtocol(t, hops(307), netreply.Config{}, func(t *testing.T, s *fixture) {
		sequential := func() io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", 50_000))) }
		r := s.m.Post(t.Context(), s.request("/2"), netreply.ReaderBody(sequential()))
		body, err := r.ReadAll()
		require.NoError(t, err, "buffered, it can be sent again (rule L3)")
		assert.Len(t, string(body), len("POST  ")+50_000)

		req := s.request("/2")
		req.DoNotBufferUploadData = true
		r = s.m.Post(t.Context(), req, netreply.ReaderBody(sequential()))
		require.ErrorIs(t, r.Wait(t.Context()), netreply.ContentReSendError)
		assert.NotContains(t, signalNames(t, r), "redirected")

		opened := 0
		r = s.m.Post(t.Context(), req, netreply.SourceBody(-1, func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(sequential()), nil
		}))
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, 3, opened)
	})
}

// TestRedirectStatusStays: if the next hop has no head, only the status of the redirect
// stays available (rules R22 and R23).
func TestRedirectStatusStays(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 302 Over there\r\nLocation: http://" + testserver.Refusing(t) + "/\r\nContent-Length: 0\r\n\r\n")
	})
	r := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL()))
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.ConnectionRefusedError)
	assert.Equal(t, 302, r.StatusCode())
	reason, _ := netreply.HTTPReasonPhrase.Of(r)
	assert.Equal(t, "Over there", reason)
	assert.Zero(t, r.Headers().Len())
}
