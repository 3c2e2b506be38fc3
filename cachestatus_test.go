package netreply_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestCacheStatusField: the Cache-Status field of a RoundTripper (RFC 9211).
func TestCacheStatusField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Foo")
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("ETag", `"a"`)
			switch {
			case r.Header.Get("Fail") != "":
				w.WriteHeader(503)
			case r.Header.Get("If-None-Match") == `"a"`:
				w.WriteHeader(304)
			case r.Header.Get("Upstream") != "":
				w.Header().Set("Cache-Control", "no-store")
				w.Header().Set("Cache-Status", "Origin; hit")
				fallthrough
			default:
				io.WriteString(w, "text")
			}
		})
		named := m.RoundTripper(netreply.RoundTripperOptions{CacheStatus: "a.example"})
		send := func(rt http.RoundTripper, method, fields string) []string {
			r, err := http.NewRequest(method, s.Request("/").URL.String(), nil)
			require.NoError(t, err)
			if name, value, ok := strings.Cut(fields, ": "); ok {
				r.Header.Set(name, value)
			}
			resp, err := rt.RoundTrip(r)
			bodyOf(t, resp, err)
			return resp.Header["Cache-Status"]
		}
		for _, c := range []struct {
			method, fields string
			wait           time.Duration // before
			want           []string
		}{
			{"GET", "Cache-Control: only-if-cached", 0, nil},
			{"GET", "", 0, []string{"a.example; fwd=uri-miss; ttl=60; stored"}},
			{"GET", "", 10 * time.Second, []string{"a.example; hit; ttl=50"}},
			{"HEAD", "", 0, []string{"a.example; hit; ttl=50"}},
			{"GET", "Foo: 1", 0, []string{"a.example; fwd=vary-miss; fwd-status=304; ttl=60; stored"}},
			{"GET", "Cache-Control: no-cache", 0, []string{"a.example; fwd=request; fwd-status=304; ttl=60"}},
			{"GET", "", time.Minute, []string{"a.example; fwd=stale; fwd-status=304; ttl=60"}},
			{"GET", "Fail: 1", 61 * time.Second, []string{"a.example; fwd=stale; fwd-status=503; ttl=-1; detail=stale-if-error"}},
			{"GET", "Range: bytes=0-0,2-2", 0, []string{"a.example; fwd=stale; ttl=60; stored"}},
			{"POST", "", 0, []string{"a.example; fwd=method"}},
			{"GET", "Upstream: 1", 0, []string{"Origin; hit", "a.example; fwd=uri-miss; detail=no-store"}},
		} {
			time.Sleep(c.wait)
			assert.Equal(t, c.want, send(named, c.method, c.fields), "%s %s", c.method, c.fields)
		}
		assert.Nil(t, send(m.RoundTripper(netreply.RoundTripperOptions{}), "GET", ""), "only by option")
		quoted := m.RoundTripper(netreply.RoundTripperOptions{CacheStatus: "a cache"})
		assert.Equal(t, []string{`"a cache"; hit; ttl=60`}, send(quoted, "GET", ""))
	})
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {}, func(c *netreply.Config) { c.Cache = nil })
	resp, err := m.RoundTripper(netreply.RoundTripperOptions{CacheStatus: "a"}).RoundTrip(func() *http.Request {
		r, err := http.NewRequest("GET", s.Request("/").URL.String(), nil)
		require.NoError(t, err)
		return r
	}())
	bodyOf(t, resp, err)
	assert.Nil(t, resp.Header["Cache-Status"], "without a cache")
}
