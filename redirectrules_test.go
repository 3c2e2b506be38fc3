package netreply_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// TestRedirectWithoutLocation: a 3xx without a Location is a normal response (rule E20), as is
// 305 (rule R10).
func TestRedirectWithoutLocation(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		if status == 305 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.Header().Set("Range", "bytes=0-42")
		w.WriteHeader(status)
		io.WriteString(w, "body")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, status := range []int{301, 302, 303, 305, 307, 308} {
			r := s.m.Post(t.Context(), s.request(fmt.Sprintf("/%d", status)), netreply.StringBody("data"))
			assert.Equal(t, "body", readBody(t, r))
			assert.Equal(t, status, r.StatusCode())
			assert.Equal(t, "POST", r.Method())
			assert.Equal(t, "bytes=0-42", r.RawHeader("Range"))
			assert.NotContains(t, signalNames(t, r), "redirected")
			_, ok := netreply.RedirectionTarget.Of(r)
			assert.False(t, ok)
		}
	})
}

// TestRedirectRefused: a Location that cannot be followed fails the reply before any signal
// or request; URL is unchanged, and the error contains the value.
func TestRedirectRefused(t *testing.T) {
	for _, c := range []struct {
		locations string
		code      netreply.NetworkError
		says      string
	}{
		{"Location: ftp://files.test/x", netreply.ProtocolUnknownError, `invalid scheme of Location "ftp": redirects are followed to http and https only`},
		{"Location: http://user:secret@127.0.0.1:99999/", netreply.ProtocolUnknownError, `invalid port of Location "99999": not a number from 1 to 65535`},
		{"Location: http://user:secret@127.0.0.1:9a/", netreply.ProtocolUnknownError, "invalid Location: not a URL"},
		{"Location: http://127.0.0.1:0/", netreply.ProtocolUnknownError, `invalid port of Location "0"`},
		{"Location: http:///x", netreply.ProtocolUnknownError, "invalid host of Location: missing"},
		{"Location: http://:80/", netreply.ProtocolUnknownError, "invalid host of Location: missing"},
		{"Location:", netreply.ProtocolUnknownError, "invalid Location: empty"},
		{"Location: /a\r\nLocation: /b", netreply.ProtocolFailure, "invalid Location: several that differ"},
		{"Location: /a\r\nlocation: http://b.test/", netreply.ProtocolFailure, "invalid Location: several that differ"},
	} {
		s := testserver.NewRaw(t, nil, func(conn *testserver.Conn) {
			for {
				if _, ok := conn.Head(); !ok {
					return
				}
				conn.Say("HTTP/1.1 302 Found\r\n" + c.locations + "\r\nContent-Length: 3\r\n\r\nout")
			}
		})
		r := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL()+"/x#f"))
		err := r.Wait(deadline(t))
		require.ErrorIs(t, err, c.code, c.locations)
		require.ErrorContains(t, err, c.says)
		assert.NotContains(t, err.Error(), "secret")
		assert.Equal(t, "connecting sent head "+c.code.String()+" down finished", strings.Join(signalNames(t, r), " "), c.locations)
		assert.Equal(t, s.URL()+"/x#f", r.URL().String())
		assert.Equal(t, 302, r.StatusCode())
		_, ok := netreply.RedirectionTarget.Of(r)
		assert.Equal(t, strings.Contains(c.locations, "ftp:"), ok, "D10, where there is a target")
	}
}

// TestRedirectSameLocations: two equal Location fields are not ambiguous.
func TestRedirectSameLocations(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(conn *testserver.Conn) {
		for {
			req, ok := conn.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/x" {
				conn.Say("HTTP/1.1 302 Found\r\nLocation: /y\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")
			} else {
				conn.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	assert.Equal(t, "ok", readBody(t, newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL()+"/x"))))
}

// TestRedirectPolicyText: the error explains the refusal, and names the policy that allows
// it.
func TestRedirectPolicyText(t *testing.T) {
	to, _ := testserver.NewOrigin(t, testserver.Plain, http.NotFoundHandler())
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.RedirectHandler(to.URL, http.StatusFound))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	err := m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.InsecureRedirectError)
	require.ErrorContains(t, err, "from https to http, which only UserVerifiedRedirectPolicy can allow")
	req := newRequest(t, s.URL)
	req.RedirectPolicy = netreply.SameOriginRedirectPolicy
	require.ErrorContains(t, m.Get(t.Context(), req).Wait(deadline(t)), "from "+s.URL+" to "+to.URL)
	req.MaxRedirects = -1
	require.ErrorContains(t, m.Get(t.Context(), req).Wait(deadline(t)), "Request.MaxRedirects")
}

// TestRedirectContentFields: fields that describe the body are removed with it (R13).
func TestRedirectContentFields(t *testing.T) {
	got := make(chan http.Header, 1)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/end" {
			got <- r.Header
			return
		}
		w.Header().Set("Location", "/end")
		w.WriteHeader(303)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/")
		fields := []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Content-Digest", "Digest", "Repr-Digest", "Trailer"}
		for _, name := range fields {
			req.Headers.Set(name, "x")
		}
		req.Headers.Set("X-Mine", "1")
		require.NoError(t, s.m.Post(t.Context(), req, netreply.StringBody("data")).Wait(deadline(t)))
		h := <-got
		for _, name := range fields {
			assert.Empty(t, h.Values(name), name)
		}
		assert.Equal(t, "1", h.Get("X-Mine"))
	})
}

// TestRedirectUser: user and password of the first URL are used for its whole origin, and
// nowhere else (rule R18).
func TestRedirectUser(t *testing.T) {
	var foreign []string
	other := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			foreign = append(foreign, req.Header.Get("Authorization"))
			if req.URL.Path == "/back" {
				c.Say("HTTP/1.1 302 F\r\nLocation: " + req.URL.Query().Get("to") + "\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			c.Say("HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := &basicServer{}
	origin, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		s.ServeHTTP(w, r)
	}))
	host := strings.TrimPrefix(origin.URL, "http://")
	get := func(to string) (string, error) {
		m := newManager(t, netreply.Config{})
		b, err := m.Get(t.Context(), newRequest(t, "http://user:pass@"+host+"/?to="+to)).ReadAll()
		return string(b), err
	}
	for _, to := range []string{"/r/", "//" + host + "/r/", origin.URL + "/r/", "http://other:wrong@" + host + "/r/", other.URL() + "/back?to=" + origin.URL + "/r/"} {
		b, err := get(to)
		require.NoError(t, err, to)
		assert.Equal(t, "in", b, to)
	}
	_, err := get(other.URL() + "/r/")
	require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
	for _, line := range foreign {
		assert.Empty(t, line)
	}
}

// TestRedirectLocationUser: user information in a Location is used for that reply, and for no
// other request.
func TestRedirectLocationUser(t *testing.T) {
	s := &basicServer{}
	victim, _ := testserver.NewOrigin(t, testserver.Plain, s)
	host := strings.TrimPrefix(victim.URL, "http://")
	evil, _ := testserver.NewOrigin(t, testserver.Plain, http.RedirectHandler("http://user:pass@"+host+"/r/", http.StatusFound))
	m := newManager(t, netreply.Config{})
	assert.Equal(t, "in", readBody(t, m.Get(t.Context(), newRequest(t, evil.URL))))
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, victim.URL+"/r/")).Wait(deadline(t)), netreply.AuthenticationRequiredError)
}

// upgrading is a site that redirects http to https, both at their default ports, and a
// Manager for it; got receives the requests over TLS.
func upgrading(t *testing.T, c netreply.Config) (*netreply.Manager, chan *http.Request) {
	got := make(chan *http.Request, 4)
	secure, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/r/" && r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(401)
			return
		}
		got <- r
	}))
	plain, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://"+r.Host+r.URL.Path)
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	cfg.ServerName = "example.com"
	c.SSLConfiguration = &netreply.SSLConfiguration{TLS: cfg}
	c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := plain
		if strings.HasSuffix(addr, ":443") {
			to = secure
		}
		return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
	}
	return newManager(t, c), got
}

// TestRedirectUpgrade: a redirect from http to https of the same host keeps the credentials
// (D11): fields, tokens, the URL's password, Config.Credentials.
func TestRedirectUpgrade(t *testing.T) {
	m, got := upgrading(t, netreply.Config{Credentials: []netreply.Credential{{Origin: "http://stored.test", User: "a", Password: "b"}}})
	req := newRequest(t, "http://site.test/x")
	req.SecretHeaders = []string{"X-Key"}
	req.Headers = netreply.NewHeaders("Authorization", "Bearer x", "Cookie", "a=b", "X-Key", "k")
	require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
	r := <-got
	assert.Equal(t, "Bearer x", r.Header.Get("Authorization"))
	assert.Equal(t, "a=b", r.Header.Get("Cookie"))
	assert.Equal(t, "k", r.Header.Get("X-Key"))

	req = newRequest(t, "http://site.test/x")
	req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "t"}, nil })
	require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
	assert.Equal(t, "Bearer t", (<-got).Header.Get("Authorization"))

	for _, url := range []string{"http://a:b@site.test/r/", "http://stored.test/r/"} {
		require.NoError(t, m.Get(t.Context(), newRequest(t, url)).Wait(deadline(t)))
		user, pass, _ := (<-got).BasicAuth()
		assert.Equal(t, "a:b", user+":"+pass)
	}
}

// TestRedirectUpgradeByHSTS: a host whose HSTS policy is learned during redirects keeps its
// credentials, at any port (RFC 6797, section 8.3).
func TestRedirectUpgradeByHSTS(t *testing.T) {
	store := hsts.NewStore()
	got := make(chan string, 1)
	secure, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	plain, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		store.Learn("example.com", []string{"max-age=1000"})
		http.Redirect(w, r, "/secure", http.StatusFound)
	}))
	m := newManager(t, netreply.Config{HSTS: store, SSLConfiguration: &netreply.SSLConfiguration{TLS: &tls.Config{RootCAs: cfg.RootCAs}},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := plain
			if store.Known("example.com") {
				to = secure
			}
			return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
		}})
	for _, byToken := range []bool{false, true} {
		store.Clear()
		req := newRequest(t, "http://example.com:8080/")
		if byToken {
			req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "x"}, nil })
		} else {
			req.Headers.Set("Authorization", "Bearer x")
		}
		r := m.Get(t.Context(), req)
		require.NoError(t, r.Wait(deadline(t)))
		assert.Equal(t, "https://example.com:8080/secure", r.URL().String())
		assert.Equal(t, "Bearer x", <-got)
	}
}
