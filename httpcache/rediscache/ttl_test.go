package rediscache_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/netreplytest"
)

// cached is a server and a Manager whose cache is in Redis.
func cached(t testing.TB, store httpcache.Store, h http.HandlerFunc) (*netreplytest.Server, *netreply.Manager) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", h)
	c := s.Config()
	c.Cache = httpcache.New(store)
	m, err := netreply.NewManager(c)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return s, m
}

func fetch(t testing.TB, m *netreply.Manager, q *netreply.Request) (r *netreply.Reply, body string) {
	r = m.Get(t.Context(), q)
	b, err := r.ReadAll()
	require.NoError(t, err)
	return r, string(b)
}

// TestUsefulness: an entry is kept for as long as it is of use, at most Options.TTL: until it is
// stale, if it cannot be validated, and may not be used stale.
func TestUsefulness(t *testing.T) {
	server := startServer(t)
	c := server.client(t)
	for _, row := range []struct {
		fields string
		want   time.Duration
	}{
		{"Cache-Control: max-age=600", 10 * time.Minute},
		{"Cache-Control: max-age=600, stale-while-revalidate=60", 11 * time.Minute},
		{"Cache-Control: max-age=600, stale-if-error=1200", 30 * time.Minute},
		{"Cache-Control: max-age=600, must-revalidate, stale-if-error=1200", 10 * time.Minute},
		{"Cache-Control: max-age=31536000", time.Hour},
		{"Cache-Control: max-age=600\nETag: \"a\"", time.Hour},
		{"Cache-Control: max-age=600\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT", time.Hour},
		{"Cache-Control: max-age=600\nAge: 300", 5 * time.Minute},
	} {
		t.Run(row.fields, func(t *testing.T) {
			require.NoError(t, c.FlushAll(bg).Err())
			o := patient()
			o.TTL, o.Grace = time.Hour, time.Minute
			s, m := cached(t, server.open(t, o), func(w http.ResponseWriter, _ *http.Request) {
				for line := range strings.Lines(row.fields) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
					w.Header().Set(name, value)
				}
				w.Write(content(1, 600_000))
			})
			fetch(t, m, s.Request("/"))
			all, err := c.Keys(bg, "*").Result()
			require.NoError(t, err)
			require.Len(t, all, 1+3, "an index and the parts")
			for _, name := range all {
				ttl, err := c.PTTL(bg, name).Result()
				require.NoError(t, err)
				want := row.want
				if !strings.HasSuffix(name, "}") {
					want += o.Grace
				}
				assert.InDelta(t, want.Seconds(), ttl.Seconds(), 30, name)
			}
			r, _ := fetch(t, m, s.Request("/"))
			assert.True(t, r.CacheStatus().Hit)
		})
	}
}

// TestUsefulVariants: the entries of a key stay although one that is of less use was stored or
// updated last.
func TestUsefulVariants(t *testing.T) {
	server := startServer(t)
	c := server.client(t)
	o := patient()
	o.TTL = time.Hour
	s, m := cached(t, server.open(t, o), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "N")
		w.Header().Set("Cache-Control", "max-age="+r.Header.Get("N"))
		io.WriteString(w, r.Header.Get("N"))
	})
	for _, n := range []string{"1000", "10"} {
		q := s.Request("/")
		q.Headers.Add("N", n)
		fetch(t, m, q)
	}
	all, err := c.Keys(bg, "*}").Result()
	require.NoError(t, err)
	require.Len(t, all, 1)
	ttl, err := c.PTTL(bg, all[0]).Result()
	require.NoError(t, err)
	assert.InDelta(t, 1000, ttl.Seconds(), 30)
}
