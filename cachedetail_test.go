package netreply_test

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// TestCacheStatusDetail: why a response is not stored, a stale one is used, or none.
func TestCacheStatusDetail(t *testing.T) {
	type ask func(q *netreply.Request)
	load := func(c netreply.CacheLoadControl) ask { return func(q *netreply.Request) { q.CacheLoadControl = c } }
	field := func(value string) ask { return func(q *netreply.Request) { q.Headers.Add("Cache-Control", value) } }
	notStored := func(q *netreply.Request) { q.CacheSaveControl = netreply.LoadManual }
	const stale = "max-age=1"
	old := "Sun, 06 Nov 1994 08:49:37 GMT"
	for _, c := range []struct {
		fields string // of the responses
		status int
		store  string // what of the store fails
		first  bool   // the first request is it
		ask    ask
		fails  int // status of the second response; -1: there is none
		detail string
		text   string // of the error
	}{
		{fields: "Cache-Control: max-age=9", first: true},
		{fields: "Cache-Control: no-store", first: true, detail: "no-store"},
		{fields: "Cache-Control: max-age=9", first: true, ask: field("no-store"), detail: "request-no-store"},
		{fields: "Cache-Control: max-age=9", first: true, ask: notStored, detail: "save-control"},
		{fields: "Cache-Control: max-age=9", first: true, status: 429, detail: "status"},
		{fields: "Cache-Control: max-age=9, must-understand", first: true, status: 299, detail: "not-understood"},
		{fields: "Vary: *", first: true, detail: "vary"},
		{fields: "X: y", first: true, status: 403, detail: "not-cacheable"},
		{fields: "Cache-Control: max-age=9", first: true, store: "refuse", detail: "store-refused"},
		{fields: "Cache-Control: max-age=9", first: true, store: "Create", detail: "store-error"},
		{fields: "Last-Modified: " + old, first: true, detail: "heuristic"},
		{fields: "Last-Modified: " + old, detail: "heuristic"},
		{fields: "Cache-Control: max-age=99"},
		{fields: "Cache-Control: max-age=1, stale-while-revalidate=100", detail: "stale-while-revalidate"},
		{fields: "Cache-Control: " + stale, ask: load(netreply.PreferCache), detail: "prefer-cache"},
		{fields: "Cache-Control: " + stale, ask: load(netreply.AlwaysCache), detail: "always-cache"},
		{fields: "Cache-Control: " + stale, ask: field("max-stale"), detail: "max-stale"},
		{fields: "Cache-Control: " + stale, fails: 503, detail: "stale-if-error"},
		{fields: "Cache-Control: max-age=1, stale-if-error=99", fails: -1, detail: "unreachable"},

		{first: true, ask: field("only-if-cached"), status: 504, detail: "only-if-cached:uri-miss"},
		{fields: "Cache-Control: " + stale, ask: field("only-if-cached"), status: 504, detail: "only-if-cached:stale"},
		{first: true, ask: load(netreply.AlwaysCache), detail: "always-cache:uri-miss", text: "nothing is stored for the URL"},
		{fields: "Cache-Control: max-age=1, must-revalidate", ask: load(netreply.AlwaysCache), detail: "always-cache:must-validate", text: "what is stored must be validated first"},
		{fields: "Cache-Control: no-cache", ask: load(netreply.AlwaysCache), detail: "always-cache:must-validate", text: "what is stored must be validated first"},
		{fields: "Cache-Control: max-age=99|Vary: X", ask: func(q *netreply.Request) {
			q.CacheLoadControl = netreply.AlwaysCache
			q.Headers.Add("X", "1")
		}, detail: "always-cache:vary-miss", text: "what is stored is for requests with other header fields"},
	} {
		t.Run(c.fields+" "+c.detail, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: c.store}
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					if n++; n > 1 && c.fails < 0 {
						panic(http.ErrAbortHandler)
					}
					w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
					for f := range strings.SplitSeq(c.fields, "|") {
						if name, value, ok := strings.Cut(f, ": "); ok {
							w.Header().Set(name, value)
						}
					}
					if n > 1 && c.fails > 0 {
						w.WriteHeader(c.fails)
					} else if c.first && c.status != 0 {
						w.WriteHeader(c.status)
					}
					io.WriteString(w, "body")
				}, func(cfg *netreply.Config) { cfg.Cache = httpcache.New(store) })
				if !c.first {
					fetched(t, m, s.Request("/"))
					time.Sleep(3 * time.Second)
				}
				q := s.Request("/")
				if c.ask != nil {
					c.ask(q)
				}
				r := m.Get(t.Context(), q)
				err := r.Wait(t.Context())
				synctest.Wait()
				assert.Equal(t, c.detail, r.CacheStatus().Detail)
				if c.text != "" {
					assert.ErrorIs(t, err, netreply.ContentNotFoundError)
					assert.ErrorContains(t, err, c.text)
					assert.Equal(t, "netreply; detail="+c.detail, r.CacheStatus().String())
				}
				if strings.HasPrefix(c.detail, "only-if-cached") {
					assert.Equal(t, 504, r.StatusCode())
					from, set := netreply.SourceIsFromCache.Of(r)
					assert.False(t, from || set, "it comes from no cache")
				}
			})
		})
	}
}

// TestAlwaysCacheCannotAnswer: the error says what is missing.
func TestAlwaysCacheCannotAnswer(t *testing.T) {
	body := numbered(100_000)
	s, m := cachedServer(t, rangedBody{body: body, etag: `"a"`, ranges: true}.ServeHTTP)
	part := s.Request("/")
	part.Headers.Add("Range", "bytes=0-9")
	fetched(t, m, part)
	q := s.Request("/")
	q.CacheLoadControl = netreply.AlwaysCache
	r := m.Get(t.Context(), q)
	assert.ErrorContains(t, r.Wait(t.Context()), "only a part of the body is stored")
	assert.Equal(t, "always-cache:partial", r.CacheStatus().Detail)
	several := s.Request("/")
	several.Headers.Add("Range", "bytes=20-29,40-49")
	r, _ = fetched(t, m, several)
	assert.Equal(t, "content-range", r.CacheStatus().Detail)
	r = m.Head(t.Context(), q)
	assert.ErrorContains(t, r.Wait(t.Context()), "AlwaysCache does not answer HEAD")
	assert.Equal(t, "always-cache:head", r.CacheStatus().Detail)
	r = newManager(t, netreply.Config{}).Get(t.Context(), q)
	assert.ErrorContains(t, r.Wait(t.Context()), "the Manager has no cache")
	assert.Equal(t, "always-cache:no-cache", r.CacheStatus().Detail)
}

// TestDamagedBodyUnderAlwaysCache: the error names the file and the place.
func TestDamagedBodyUnderAlwaysCache(t *testing.T) {
	dir := t.TempDir()
	disk, err := httpcache.OpenDisk(dir, httpcache.Limits{})
	require.NoError(t, err)
	defer disk.Close()
	s, m := cachedServer(t, rangedBody{body: numbered(1 << 20), etag: `"a"`, ranges: true}.ServeHTTP, func(c *netreply.Config) { c.Cache = httpcache.New(disk) })
	for _, load := range []netreply.CacheLoadControl{netreply.AlwaysCache, netreply.PreferNetwork} {
		fetched(t, m, s.Request("/"))
		var file string
		require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".body") {
				return err
			}
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			b[600_000] ^= 1
			file = name
			return os.WriteFile(name, b, 0o600)
		}))
		q := s.Request("/")
		q.CacheLoadControl = load
		r := m.Get(t.Context(), q)
		_, err := r.ReadAll()
		if load == netreply.AlwaysCache {
			assert.ErrorIs(t, err, httpcache.ErrDamaged)
			assert.ErrorIs(t, err, netreply.UnknownContentError)
			assert.Regexp(t, `the stored body is damaged at byte 589824 \(`+regexp.QuoteMeta(file)+`.*\), and AlwaysCache forbids fetching the rest$`, err.Error())
			continue
		}
		assert.NoError(t, err)
		assert.Equal(t, "rest-fetched", r.CacheStatus().Detail)
	}
}
