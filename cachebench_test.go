package netreply_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/testserver"
)

// cacheable is a small response that stays fresh, like small but for the field that says so.
var cacheable = smallWith("max-age=31536000")

func smallWith(cacheControl string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1024\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\nCache-Control: " + cacheControl + "\r\n\r\n" + string(make([]byte, 1024))
}

// atOnce is a Backend whose reply has a body of known length and nothing else.
func atOnce(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
	w.SetRawHeader("Content-Length", "1024")
	_, err := w.Write(zeroes[:])
	return err
}

var zeroes [1024]byte

// bareGet is a Get of 1024 bytes from a Backend: what is left of one without a network, a cache and
// a response head.
func bareGet(tb testing.TB) func() *netreply.Reply {
	m := newManager(tb, netreply.Config{Backends: map[string]netreply.Backend{"bare": netreply.BackendFunc(atOnce)}})
	req := newRequest(tb, "bare://host.test/small")
	return func() *netreply.Reply { return m.Get(context.Background(), req) }
}

// hits are Gets that a cache answers, by its store.
func hits(tb testing.TB) map[string]func() *netreply.Reply {
	s := fixed(tb, cacheable)
	disk, err := httpcache.OpenDisk(tb.TempDir(), httpcache.Limits{})
	require.NoError(tb, err)
	tb.Cleanup(func() { disk.Close() })
	all := map[string]func() *netreply.Reply{}
	for name, store := range map[string]httpcache.Store{"memory": httpcache.NewMemory(httpcache.Limits{}), "disk": disk} {
		m := newManager(tb, netreply.Config{Cache: httpcache.New(store)})
		req := newRequest(tb, s.URL()+"/small")
		all[name] = func() *netreply.Reply { return m.Get(context.Background(), req) }
		readSmall(tb, all[name])
		r := all[name]()
		require.NoError(tb, r.Wait(tb.Context()))
		require.True(tb, r.CacheStatus().Hit)
	}
	return all
}

func readSmall(tb testing.TB, get func() *netreply.Reply) {
	if body, err := get().ReadAll(); err != nil || len(body) != 1024 {
		tb.Fatal(len(body), err)
	}
}

// BenchmarkCacheHit: a Get that the cache answers beside a bare one.
func BenchmarkCacheHit(b *testing.B) {
	all := hits(b)
	all["none"] = bareGet(b)
	for _, name := range []string{"none", "memory", "disk"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readSmall(b, all[name])
			}
		})
	}
}

// misses are Gets of URLs that are not stored, without a cache and with one, by what the response
// says: "no-store", or that it may be stored.
func misses(tb testing.TB) map[string]func() *netreply.Reply {
	all := map[string]func() *netreply.Reply{}
	for what, answer := range map[string]string{"storable": cacheable, "no-store": smallWith("no-store")} {
		s := fixed(tb, answer)
		for name, cache := range map[string]*httpcache.Cache{"none": nil, "memory": httpcache.New(httpcache.NewMemory(httpcache.Limits{}))} {
			m := newManager(tb, netreply.Config{Cache: cache})
			req, n := newRequest(tb, s.URL()+"/"), 0
			all[what+"/"+name] = func() *netreply.Reply {
				u := *req.URL
				u.Path = "/" + strconv.Itoa(n)
				req.URL = &u
				n++
				return m.Get(context.Background(), req)
			}
		}
	}
	return all
}

// BenchmarkCacheMiss: a Get that the cache does not answer beside one without a cache.
func BenchmarkCacheMiss(b *testing.B) {
	all := misses(b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readSmall(b, all[name])
			}
		})
	}
}

// BenchmarkCachePaired runs the Gets of BenchmarkCacheHit and BenchmarkCacheMiss with a cache and
// without one in turns, a few each time, and gives what the cache adds to the time of one. Of the
// times of the turns the lower quartile counts, because other programs only ever add to them.
func BenchmarkCachePaired(b *testing.B) {
	const batch = 50
	misses, hits := misses(b), hits(b)
	none := bareGet(b)
	for _, pair := range []struct {
		name          string
		without, with func() *netreply.Reply
	}{
		{"hit/memory", none, hits["memory"]},
		{"hit/disk", none, hits["disk"]},
		{"miss/no-store", misses["no-store/none"], misses["no-store/memory"]},
		{"miss/storable", misses["storable/none"], misses["storable/memory"]},
	} {
		b.Run(pair.name, func(b *testing.B) {
			var took [2][]time.Duration
			for turn := 0; b.Loop(); turn++ {
				for i := range 2 {
					i = (i + turn) % 2 // the order counts, too
					began := time.Now()
					for range batch {
						readSmall(b, []func() *netreply.Reply{pair.without, pair.with}[i])
					}
					took[i] = append(took[i], time.Since(began))
				}
			}
			quartile := func(t []time.Duration) float64 {
				slices.Sort(t)
				return float64(t[len(t)/4]) / batch
			}
			without, with := quartile(took[0]), quartile(took[1])
			b.ReportMetric(without, "without-ns")
			b.ReportMetric(with, "with-ns")
			b.ReportMetric(with-without, "added-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCacheBody reads a stored body of 1 GiB, in the memory of a few chunks.
func BenchmarkCacheBody(b *testing.B) {
	const size = 1 << 30
	s, _ := testserver.NewOrigin(b, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Header().Set("Cache-Control", "max-age=31536000")
		io.CopyN(w, zeros{}, size)
	}))
	disk, err := httpcache.OpenDisk(b.TempDir(), httpcache.Limits{Size: 2 << 30})
	require.NoError(b, err)
	b.Cleanup(func() { disk.Close() })
	for name, store := range map[string]httpcache.Store{"memory": httpcache.NewMemory(httpcache.Limits{Size: 2 << 30}), "disk": disk} {
		m := newManager(b, netreply.Config{ReadBufferSize: 1 << 20, Cache: httpcache.New(store)})
		req := newRequest(b, s.URL)
		for how, read := range map[string]func(*netreply.Reply) (int64, error){
			"WriteTo": func(r *netreply.Reply) (int64, error) { return r.WriteTo(io.Discard) },
			"Read": func(r *netreply.Reply) (int64, error) {
				return io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 64<<10))
			},
		} {
			get := func() *netreply.Reply {
				r := m.Get(context.Background(), req)
				n, err := read(r)
				require.NoError(b, err)
				require.EqualValues(b, size, n)
				return r
			}
			get()
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					assert.True(b, get().CacheStatus().Hit)
				}
			})
		}
	}
}

// BenchmarkCacheEntries: a hit among few and among many entries.
func BenchmarkCacheEntries(b *testing.B) {
	s := fixed(b, cacheable)
	for _, entries := range []int{100, 100_000} {
		store := httpcache.NewMemory(httpcache.Limits{Size: 1 << 30})
		m := newManager(b, netreply.Config{Cache: httpcache.New(store)})
		req := newRequest(b, s.URL()+"/small")
		get := func() *netreply.Reply { return m.Get(context.Background(), req) }
		readSmall(b, get)
		var meta []byte
		for _, e := range store.All(b.Context()) {
			meta = e.Meta()
		}
		for n := range entries {
			w, err := store.Create(b.Context(), s.URL()+"/"+strconv.Itoa(n), httpcache.Variant{Size: 1024})
			require.NoError(b, err)
			w.Write(zeroes[:])
			require.NoError(b, w.Commit(meta))
			w.Close()
		}
		b.Run(strconv.Itoa(entries), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readSmall(b, get)
			}
		})
	}
}
