package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// numbered is a body in which every place is different.
func numbered(n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%d;", b.Len())
	}
	return b.String()[:n]
}

// rangedBody is a handler that serves a body with validators, and ranges of it if it has them.
type rangedBody struct {
	body, etag, modified string
	coding               string
	ranges               bool
}

func (s rangedBody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "max-age=3600")
	h.Set("Content-Type", "text/plain")
	if s.etag != "" {
		h.Set("ETag", s.etag)
	}
	if s.modified != "" {
		h.Set("Last-Modified", s.modified)
	}
	if s.coding != "" {
		h.Set("Content-Encoding", s.coding)
	}
	if s.ranges {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.body))
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(s.body)))
	io.WriteString(w, s.body)
}

// TestLostRest: when the store loses a body while it is read, its rest is fetched, from where it
// breaks off if the server can do that. Bytes of another body are never put behind it.
func TestLostRest(t *testing.T) {
	const size, limit = 300_000, 100_000
	body := numbered(size)
	other := body[:size-1] + "x"
	early := "x" + body[1:]
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	random := strings.Builder{} // so that what is packed is large, too
	for i := range 120_000 {
		fmt.Fprintf(&random, "%x", i*i*7919%65_521)
	}
	io.WriteString(z, random.String())
	z.Close()
	old := "Sun, 06 Nov 1994 08:49:37 GMT"
	for _, row := range []struct {
		name       string
		then, now  rangedBody
		ask        func(q *netreply.Request)
		want       string // "" for an error
		conditions string // Range and If-Range of the second request
		requests   int
	}{
		{"ranges", rangedBody{body: body, etag: `"a"`, ranges: true}, rangedBody{body: body, etag: `"a"`, ranges: true}, nil, body, `bytes=L-299999 "a"`, 2},
		{"date", rangedBody{body: body, modified: old, ranges: true}, rangedBody{body: body, modified: old, ranges: true}, nil, body, "", 2},
		{"no ranges", rangedBody{body: body, etag: `"a"`}, rangedBody{body: body, etag: `"a"`}, nil, body, `bytes=L-299999 "a"`, 2},
		{"no validator", rangedBody{body: body}, rangedBody{body: body}, nil, body, " ", 2},
		{"weak validator", rangedBody{body: body, etag: `W/"a"`}, rangedBody{body: body, etag: `W/"a"`}, nil, body, " ", 2},
		{"part of it", rangedBody{body: body, etag: `"a"`, ranges: true}, rangedBody{body: body, etag: `"a"`, ranges: true},
			func(q *netreply.Request) { q.Headers.Add("Range", "bytes=50000-249999") }, body[50_000:250_000], `bytes=L-249999 "a"`, 2},
		{"part of it, no ranges", rangedBody{body: body, etag: `"a"`}, rangedBody{body: body, etag: `"a"`},
			func(q *netreply.Request) { q.Headers.Add("Range", "bytes=50000-249999") }, body[50_000:250_000], `bytes=L-249999 "a"`, 2},
		{"condition of the program", rangedBody{body: body, etag: `"a"`, ranges: true}, rangedBody{body: body, etag: `"a"`, ranges: true},
			func(q *netreply.Request) { q.Headers.Add("If-None-Match", `"b"`) }, body, `bytes=L-299999 "a"`, 2},
		{"gzip", rangedBody{body: packed.String(), etag: `"z"`, coding: "gzip", ranges: true}, rangedBody{body: packed.String(), etag: `"z"`, coding: "gzip", ranges: true},
			nil, random.String(), fmt.Sprintf(`bytes=L-%d "z"`, packed.Len()-1), 2},

		{"changed", rangedBody{body: body, etag: `"a"`, ranges: true}, rangedBody{body: body, etag: `"b"`, ranges: true}, nil, "", `bytes=L-299999 "a"`, 2},
		{"changed, no validator", rangedBody{body: body}, rangedBody{body: early}, nil, "", " ", 2},
		{"longer, no validator", rangedBody{body: body}, rangedBody{body: body + "x"}, nil, "", " ", 2},
		{"changed, weak validator", rangedBody{body: body, etag: `W/"a"`}, rangedBody{body: body, etag: `W/"b"`}, nil, "", " ", 2},
		{"other coding", rangedBody{body: body}, rangedBody{body: body, coding: "x"}, nil, "", " ", 2},
		{"validator lost", rangedBody{body: body, etag: `"a"`}, rangedBody{body: other}, nil, "", `bytes=L-299999 "a"`, 2},
		{"only the cache", rangedBody{body: body, etag: `"a"`}, rangedBody{body: body, etag: `"a"`},
			func(q *netreply.Request) { q.CacheLoadControl = netreply.AlwaysCache }, "", "", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Greater(t, len(row.then.body), limit+64<<10)
			store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: "ReadAt", limit: limit}
			var mu sync.Mutex
			var seen []http.Header
			s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, r.Header.Clone())
				n := len(seen)
				mu.Unlock()
				if n == 1 {
					row.then.ServeHTTP(w, r)
				} else {
					row.now.ServeHTTP(w, r)
				}
			}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
			fetched(t, m, s.Request("/"))
			q := s.Request("/")
			if row.ask != nil {
				row.ask(q)
			}
			r := m.Get(t.Context(), q)
			got, err := r.ReadAll()
			assert.Equal(t, row.requests, len(seen))
			assert.True(t, r.CacheStatus().Hit)
			if row.want != "" {
				require.NoError(t, err)
				assert.True(t, row.want == string(got), "%d bytes", len(got))
			} else {
				assert.ErrorIs(t, err, netreply.UnknownContentError)
				assert.ErrorContains(t, err, errStore.Error())
				assert.True(t, strings.HasPrefix(body, string(got)))
				assert.Greater(t, len(got), 30_000)
			}
			if row.conditions != "" {
				assert.Regexp(t, "^"+strings.ReplaceAll(row.conditions, "L", "100000")+"$", seen[1].Get("Range")+" "+seen[1].Get("If-Range"))
				if !q.Headers.Has("Range") {
					assert.Equal(t, seen[0].Get("Accept-Encoding"), seen[1].Get("Accept-Encoding"))
				}
				assert.Empty(t, seen[1].Get("If-None-Match"))
			}
		})
	}
}

// TestLostRestEnds: the request for the rest ends with the reply, and with its time limits.
func TestLostRestEnds(t *testing.T) {
	for _, end := range []string{"abort", "close", "silence", "no server"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := numbered(300_000)
				store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: "ReadAt", limit: 100_000}
				n := 0
				gone := make(chan struct{})
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					if n++; n > 1 {
						if end == "no server" {
							panic(http.ErrAbortHandler)
						}
						<-r.Context().Done()
						close(gone)
						return
					}
					rangedBody{body: body, etag: `"a"`, ranges: true}.ServeHTTP(w, r)
				}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
				fetched(t, m, s.Request("/"))
				q := s.Request("/")
				q.TransferTimeout = time.Minute
				r := m.Get(t.Context(), q)
				synctest.Wait()
				switch end {
				case "abort":
					r.Abort()
					assert.ErrorIs(t, r.Wait(t.Context()), netreply.OperationCanceledError)
				case "close":
					assert.NoError(t, m.Close())
					assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
				case "silence":
					assert.ErrorIs(t, r.Wait(t.Context()), netreply.TimeoutError)
				case "no server":
					err := r.Wait(t.Context())
					assert.ErrorIs(t, err, netreply.UnknownContentError)
					assert.Greater(t, n, 1)
					return
				}
				<-gone
			})
		})
	}
}

// TestDamagedBlock: a damaged block in the middle of a file costs a request for the rest; the
// entry is dropped, and the next reply stores the body again.
func TestDamagedBlock(t *testing.T) {
	body := numbered(1 << 20)
	dir := t.TempDir()
	disk, err := httpcache.OpenDisk(dir, httpcache.Limits{})
	require.NoError(t, err)
	defer disk.Close()
	var ranges []string
	handler := rangedBody{body: body, etag: `"a"`, ranges: true}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		handler.ServeHTTP(w, r)
	}, func(c *netreply.Config) { c.Cache = httpcache.New(disk) })
	damage := func() {
		require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".body") {
				return err
			}
			b, err := os.ReadFile(name)
			b[600_000] ^= 1
			require.NoError(t, err)
			return os.WriteFile(name, b, 0o600)
		}))
	}
	get := func() string {
		_, got := fetched(t, m, s.Request("/"))
		return got
	}
	assert.True(t, body == get())
	damage()
	assert.True(t, body == get())
	assert.Equal(t, []string{"", fmt.Sprintf("bytes=%d-%d", 600_000/65_536*65_536, 1<<20-1)}, ranges)
	assert.True(t, body == get())
	assert.Equal(t, "", ranges[2], "the damaged entry was dropped")
	assert.True(t, body == get())
	assert.Len(t, ranges, 3)

	damage()
	handler.etag = `"b"`
	got, err := m.Get(t.Context(), s.Request("/")).ReadAll()
	require.ErrorIs(t, err, netreply.UnknownContentError)
	require.ErrorIs(t, err, httpcache.ErrDamaged)
	assert.True(t, body[:600_000/65_536*65_536] == string(got))
	assert.True(t, body == get())
}

// TestFullStoreWhileShared: many requests share what turns out to be too large for the store.
func TestFullStoreWhileShared(t *testing.T) {
	body := numbered(2 << 20)
	for _, etag := range []string{`"a"`, ""} {
		for name, store := range map[string]httpcache.Store{
			"Memory": httpcache.NewMemory(httpcache.Limits{Size: 1 << 20}),
			"Disk":   openDiskFor(t, httpcache.Limits{Size: 1 << 20}),
		} {
			t.Run(name+etag, func(t *testing.T) {
				started := make(chan struct{}, 100)
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Range") != "" {
						rangedBody{body: body, etag: etag, ranges: true}.ServeHTTP(w, r)
						return
					}
					maxAge(w.Header())
					w.Header().Set("Content-Type", "text/plain")
					if etag != "" {
						w.Header().Set("ETag", etag)
					}
					started <- struct{}{}
					for b := body; b != ""; b = b[min(len(b), 10_000):] {
						io.WriteString(w, b[:min(len(b), 10_000)])
						w.(http.Flusher).Flush()
					}
				}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
				var all sync.WaitGroup
				for n := range 8 {
					all.Go(func() {
						q := s.Request("/")
						if n%2 == 0 {
							q.ReadBufferSize = 50_000
						}
						got, err := m.Get(context.Background(), q).ReadAll()
						assert.NoError(t, err)
						assert.True(t, body == string(got), "%d bytes", len(got))
					})
				}
				all.Wait()
				assert.NotEmpty(t, started)
			})
		}
	}
}

func openDiskFor(t *testing.T, l httpcache.Limits) *httpcache.Disk {
	d, err := httpcache.OpenDisk(t.TempDir(), l)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}
