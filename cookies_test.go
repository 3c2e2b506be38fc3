package netreply_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
)

// cookieServer sets a cookie named after the path, redirects to the URL in ?to, and returns
// the Cookie field of the request.
func cookieServer(w http.ResponseWriter, r *http.Request) {
	w.Header()["Set-Cookie"] = append(r.URL.Query()["set"], r.URL.Path[1:]+"=1; Path=/")
	if to := r.URL.Query().Get("to"); to != "" {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
		return
	}
	fmt.Fprint(w, r.Header.Get("Cookie"))
}

func readBody(t testing.TB, r *netreply.Reply) string {
	b, err := r.ReadAll()
	require.NoError(t, err)
	return string(b)
}

// TestCookies: a Manager has a jar of its own; cookies of redirects are stored and
// sent on the next hop (rule C10).
func TestCookies(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{}, func(t *testing.T, s *fixture) {
		assert.Equal(t, "", readBody(t, s.m.Get(t.Context(), s.request("/a"))))
		assert.Equal(t, "a=1", readBody(t, s.m.Get(t.Context(), s.request("/b"))))
		assert.Equal(t, "a=1; b=1; c=1", readBody(t, s.m.Get(t.Context(), s.request("/c?to=/d"))))
		odd := url.Values{"set": {`q="x, y"; path=/odd`, "u=ä; path=/odd"}}
		s.m.Get(t.Context(), s.request("/e?"+odd.Encode())).Wait(deadline(t))
		assert.Equal(t, `q="x, y"; u=ä; a=1; b=1; c=1; d=1; e=1`, readBody(t, s.m.Get(t.Context(), s.request("/odd"))))
		jar := s.m.CookieJar().(*cookies.Jar)
		assert.Equal(t, 8, jar.Len())
		jar.Clear()
		assert.Equal(t, "", readBody(t, s.m.Get(t.Context(), s.request("/a"))))
	})
}

// TestCookieControl: rules C1, A13 and D11.
func TestCookieControl(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/a")
		req.CookieSaveControl = netreply.LoadManual
		s.m.Get(t.Context(), req).Wait(deadline(t))
		assert.Zero(t, s.m.CookieJar().(*cookies.Jar).Len())

		req = s.request("/a")
		req.Headers.Set("cookie", "own=1")
		assert.Equal(t, "own=1", readBody(t, s.m.Get(t.Context(), req)), "an empty jar replaces nothing")
		assert.Equal(t, "own=1; a=1", readBody(t, s.m.Get(t.Context(), req)))
		req.CookieLoadControl = netreply.LoadManual
		assert.Equal(t, "own=1", readBody(t, s.m.Get(t.Context(), req)))
		req.URL.RawQuery = "to=/b"
		assert.Equal(t, "own=1", readBody(t, s.m.Get(t.Context(), req)), "to the same origin")

		req.CookieLoadControl = 7
		require.ErrorIs(t, s.m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProtocolInvalidOperationError)
	})
}

// TestCookiesOfAnotherOrigin: neither the caller's Cookie field nor the jar's cookies are sent
// to an origin that they are not for.
func TestCookiesOfAnotherOrigin(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{}, func(t *testing.T, s *fixture) {
		there, _ := url.Parse(s.URL)
		there.Host = "localhost:" + there.Port()
		if s.kind != "h1" { // the certificate is for one name only
			return
		}
		for _, control := range []netreply.LoadControl{netreply.LoadAutomatic, netreply.LoadManual} {
			s.m.CookieJar().(*cookies.Jar).Clear()
			req := s.request("/a?to=" + there.String() + "/b")
			req.Headers.Set("Cookie", "own=1")
			req.CookieLoadControl = control
			assert.Equal(t, "", readBody(t, s.m.Get(t.Context(), req)))
		}
	})
}

func TestCookiesNone(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{CookieJar: cookies.None}, func(t *testing.T, s *fixture) {
		for range 2 {
			assert.Equal(t, "", readBody(t, s.m.Get(t.Context(), s.request("/a"))))
		}
		assert.Equal(t, cookies.None, s.m.CookieJar())
	})
}

// TestAnyCookieJar: Config.CookieJar takes any http.CookieJar.
func TestAnyCookieJar(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{}, func(t *testing.T, s *fixture) {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		m := newManager(t, netreply.Config{CookieJar: jar, SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}})
		m.Get(t.Context(), s.request("/a?to=/b")).Wait(deadline(t))
		assert.Equal(t, "a=1; b=1", readBody(t, m.Get(t.Context(), s.request("/c"))))
	})
}
