package flow_test

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
)

// showCookies sets the cookie in the query, and returns the Cookie field of the request.
func showCookies(w http.ResponseWriter, r *http.Request) {
	if set := r.URL.RawQuery; set != "" {
		w.Header().Set("Set-Cookie", set)
	}
	switch r.URL.Path {
	case "/redirect":
		http.Redirect(w, r, "/", http.StatusFound)
	case "/login":
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	io.WriteString(w, r.Header.Get("Cookie"))
}

// jars are a lineJar and a jar of net/http.
func jars(t *testing.T) map[string]http.CookieJar {
	std, err := cookiejar.New(nil)
	require.NoError(t, err)
	return map[string]http.CookieJar{"cookies": cookies.NewJar(cookies.Options{}), "net/http": std}
}

// TestCookies: the jar's cookies are sent with every request, and received ones with the
// next request: of the next hop, and after a 401 (rules C1 and C10).
func TestCookies(t *testing.T) {
	for name, jar := range jars(t) {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, testserver.Plain, showCookies, func(c *flow.Config) { c.Jar = jar })
			w := func() *watcher {
				return &watcher{password: func(*flow.PasswordQuestion) *auth.Credentials { return &auth.Credentials{User: "u", Password: "p"} }}
			}
			assert.Equal(t, "", s.ok(w(), s.get("/?a=1")).body)
			assert.Equal(t, "a=1", s.ok(w(), s.get("/")).body)
			assert.Equal(t, "a=1; b=2", s.ok(w(), s.get("/redirect?b=2")).body)
			q := s.get("/login?c=3")
			q.AsksPassword = true
			assert.Equal(t, "a=1; b=2; c=3", s.ok(w(), q).body)

			q = s.get("/")
			q.Headers = headers.New("cookie", "b=mine; d=4")
			assert.Equal(t, "b=mine; d=4; a=1; c=3", s.ok(w(), q).body)
			q = s.get("/?e=5")
			q.NoSendCookies = true
			assert.Equal(t, "", s.ok(w(), q).body)
			q = s.get("/?f=6")
			q.NoSaveCookies = true
			assert.Equal(t, "a=1; b=2; c=3; e=5", s.ok(w(), q).body)
			assert.Equal(t, "a=1; b=2; c=3; e=5", s.ok(w(), s.get("/")).body)
		})
	}
}

// TestCookieLines: a lineJar gets unchanged lines, with values that net/http's parser would
// lose.
func TestCookieLines(t *testing.T) {
	jar := cookies.NewJar(cookies.Options{})
	s := newServer(t, testserver.Plain, showCookies, func(c *flow.Config) { c.Jar = jar })
	s.ok(new(watcher), s.get(`/?a="b"c,d`))
	assert.Equal(t, `a="b"c,d`, s.ok(new(watcher), s.get("/")).body)
}

// TestCookiesOfProxy: cookies in a 407 are not stored.
func TestCookiesOfProxy(t *testing.T) {
	jar := cookies.NewJar(cookies.Options{})
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(showCookies))
	proxy := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	proxy.Respond = func(int, *http.Request) string {
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Unknown\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
	}
	c := newClient(t, nil, "", func(c *flow.Config) { c.Jar = jar })
	q := get("http://a.example/")
	q.Proxied = true
	r := c.ok(&watcher{proxies: through(httpProxy(proxy))}, q)
	assert.Equal(t, http.StatusProxyAuthRequired, r.resp.StatusCode)
	assert.Zero(t, jar.Len())
}

// TestCookiesOfSocket: requests to a local socket use no cookies.
func TestCookiesOfSocket(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", name)
	if err != nil {
		t.Skip(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(showCookies)}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	defer func() { s.Close(); <-done }()
	jar := cookies.NewJar(cookies.Options{})
	jar.SetHeader(&url.URL{Scheme: "http", Host: "a.example", Path: "/"}, []string{"a=1"})
	c := newClient(t, nil, "", func(c *flow.Config) { c.Jar = jar })
	q := get("unix+http://a.example/?b=2")
	q.LocalServerName = name
	assert.Equal(t, "", c.ok(new(watcher), q).body)
	assert.Equal(t, 1, jar.Len())
}

// through returns a list of proxies for every URL; nil in it means a direct connection.
func through(list ...*flow.Proxy) func(*url.URL) ([]*flow.Proxy, error) {
	return func(*url.URL) ([]*flow.Proxy, error) { return list, nil }
}

// httpProxy is an HTTP proxy.
func httpProxy(p *testserver.Proxy) *flow.Proxy {
	host, _, _ := strings.Cut(p.Addr, ":")
	return &flow.Proxy{Addr: p.Addr, Host: host, Name: "http://" + p.Addr}
}
