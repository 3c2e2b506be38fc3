package netreply_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
)

// TestCookieMerge: the jar's cookies are added to the caller's Cookie field; of one name, the
// caller's is sent (rule C1).
func TestCookieMerge(t *testing.T) {
	eachProtocol(t, cookieServer, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []struct {
			jar  []string
			own  []string
			want string
		}{
			{[]string{"a=1", "b=2"}, nil, "a=1; b=2"},
			{[]string{"a=1", "b=2"}, []string{"own=3"}, "own=3; a=1; b=2"},
			{[]string{"a=1", "b=2"}, []string{"b=3"}, "b=3; a=1"},
			{[]string{"a=1", "b=2"}, []string{"b=3; a=4"}, "b=3; a=4"},
			{[]string{"a=1", "b=2"}, []string{"c=5; b = 3;"}, "c=5; b = 3; a=1"},
			{[]string{"a=1"}, []string{"A=2"}, "A=2; a=1"},
			{[]string{"a=1; path=/x", "a=2; path=/"}, []string{"own=3"}, "own=3; a=1; a=2"},
			{[]string{"a=1; path=/x", "a=2; path=/"}, []string{"a=3"}, "a=3"},
			{[]string{`a="x=y"`}, []string{"own=a=b"}, `own=a=b; a="x=y"`},
			{[]string{"a=1"}, []string{"a"}, "a; a=1"}, // a value without a name
			{[]string{"a=1"}, []string{""}, "a=1"},
			{[]string{"a=1"}, []string{" ; "}, "a=1"},
			{nil, []string{"own=3; own=4"}, "own=3; own=4"},
		} {
			jar := s.m.CookieJar().(*cookies.Jar)
			jar.Clear()
			req := s.request("/x/y")
			jar.SetHeader(req.URL, c.jar)
			for _, v := range c.own {
				req.Headers.Add("Cookie", v)
			}
			req.CookieSaveControl = netreply.LoadManual
			assert.Equal(t, c.want, readBody(t, s.m.Get(t.Context(), req)), "%q and %q", c.jar, c.own)
			req.CookieLoadControl = netreply.LoadManual
			want := strings.Join(c.own, "; ")
			if s.kind == "h2" || s.kind == "h2c" || want == " ; " { // HTTP/2 sends pairs; an empty field is not sent
				continue
			}
			assert.Equal(t, want, readBody(t, s.m.Get(t.Context(), req)), "%q only", c.own)
		}
	})
}

// TestCookieMergeOnHops: each hop to the origin merges again: new cookies are sent, and are
// not added to the caller's.
func TestCookieMergeOnHops(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/1":
			w.Header()["Set-Cookie"] = []string{"jar=1; path=/", "mine=jar's; path=/"}
			http.Redirect(w, r, "/2", http.StatusFound)
		case "/2":
			w.Header()["Set-Cookie"] = []string{"jar=2; path=/"}
			http.Redirect(w, r, "/3", http.StatusTemporaryRedirect)
		default:
			w.Write([]byte(r.Header.Get("Cookie")))
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/1")
		req.Headers.Set("Cookie", "mine=own")
		assert.Equal(t, "mine=own; jar=2", readBody(t, s.m.Get(t.Context(), req)))
		assert.Equal(t, "mine=own", req.Headers.Get("Cookie"), "the request stays")
		req.Headers.Del("Cookie")
		assert.Equal(t, "jar=2; mine=jar's", readBody(t, s.m.Get(t.Context(), req)))
		req.CookieLoadControl = netreply.LoadManual
		req.Headers.Set("Cookie", "mine=own")
		r := s.m.Get(t.Context(), req)
		require.Equal(t, "mine=own", readBody(t, r))
	})
}
