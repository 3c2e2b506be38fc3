package netreply_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/netreplytest"
)

// chaosServer serves resources whose bodies tell their URL and version, so that a test sees
// when bytes of two responses are mixed. Each behaves in another way.
type chaosServer struct{ versions [8]atomic.Int64 }

func (s *chaosServer) body(n int, version int64) string {
	line := fmt.Sprintf("%d/%d;", n, version)
	return strings.Repeat(line, 20+n*n*n*40)
}

func (s *chaosServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	version := s.versions[n].Load()
	if rand.N(4) == 0 {
		version = s.versions[n].Add(1)
	}
	h := w.Header()
	tag := fmt.Sprintf(`"%d"`, version)
	h.Set("ETag", tag)
	h.Set("Cache-Control", []string{"max-age=3600", "max-age=1", "max-age=3600, immutable", "max-age=3600", "no-cache", "no-store", "max-age=0, stale-while-revalidate=9", "max-age=3600"}[n])
	if rand.N(30) == 0 {
		h.Set("Vary", "N")
	}
	switch {
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(304)
		return
	case rand.N(20) == 0:
		panic(http.ErrAbortHandler)
	case rand.N(20) == 0:
		w.WriteHeader(503)
		return
	}
	body := s.body(n, version)
	if rng := r.Header.Get("Range"); rng != "" && (r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == tag) {
		var from int
		if _, err := fmt.Sscanf(rng, "bytes=%d-", &from); err == nil && from < len(body) {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
			body = body[from:]
			h.Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(206)
			s.write(w, body)
			return
		}
	}
	if rand.N(2) == 0 {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	s.write(w, body)
}

func (s *chaosServer) write(w http.ResponseWriter, body string) {
	cut := rand.N(len(body))
	io.WriteString(w, body[:cut])
	w.(http.Flusher).Flush()
	if rand.N(20) == 0 {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, body[cut:])
}

// check reports whether a body is one version of a resource, from a position on.
func (s *chaosServer) check(n, from int, body string) error {
	tail := body[strings.LastIndex(strings.TrimSuffix(body, ";"), ";")+1:]
	var m int
	var version int64
	if _, err := fmt.Sscanf(tail, "%d/%d;", &m, &version); err != nil || m != n {
		return fmt.Errorf("%d: ends with %.50q", n, tail)
	}
	if whole := s.body(n, version); from > len(whole) || whole[from:] != body {
		return fmt.Errorf("%d: %d bytes from %d on are not those of version %d", n, len(body), from, version)
	}
	return nil
}

// TestCacheChaos: whatever happens to requests that share fetches and parts, a body that is read to
// its end is one version of its resource, whole.
func TestCacheChaos(t *testing.T) {
	disk, err := httpcache.OpenDisk(t.TempDir(), httpcache.Limits{Size: 400 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, disk.Close()) })
	for _, row := range []struct {
		name  string
		kind  netreplytest.Kind
		store httpcache.Store
	}{
		{"HTTP", netreplytest.HTTP, httpcache.NewMemory(httpcache.Limits{Size: 400 << 10})},
		{"HTTP2", netreplytest.HTTP2, httpcache.NewMemory(httpcache.Limits{Size: 400 << 10})},
		{"disk", netreplytest.HTTP, disk},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var c chaosServer
			s := netreplytest.NewServer(t, row.kind)
			s.Handle("/", &c)
			cfg := s.Config()
			cfg.Cache = httpcache.New(row.store)
			cfg.ConnectionsPerHost = 16
			m := newManager(t, cfg)
			var asked, read, hits, collapsed atomic.Int64
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for range 100 {
						n, from := int(asked.Add(1)/12)%len(c.versions), 0 // several ask for the same
						q := s.Request("/" + strconv.Itoa(n))
						q.Headers.Add("N", strconv.Itoa(rand.N(2)))
						q.ReadBufferSize = int64(rand.N(3) * 5000)
						q.CacheLoadControl = netreply.CacheLoadControl(rand.N(5))
						if rand.N(5) == 0 {
							from = rand.N(20)
							q.Headers.Add("Range", fmt.Sprintf("bytes=%d-", from))
						}
						if rand.N(10) == 0 {
							m.Post(t.Context(), q, nil).ReadAll()
							continue
						}
						ctx, cancel := context.WithCancel(t.Context())
						r := m.Get(ctx, q)
						switch rand.N(6) {
						case 0:
							time.AfterFunc(time.Duration(rand.N(3000))*time.Microsecond, cancel)
						case 1:
							io.CopyN(io.Discard, r, int64(rand.N(1000)))
							r.Close()
						case 2:
							r.Abort()
						}
						var all strings.Builder
						_, err := io.Copy(&all, r)
						cancel()
						if st := r.CacheStatus(); st.Hit {
							hits.Add(1)
						} else if st.Collapsed {
							collapsed.Add(1)
						}
						if err != nil || r.StatusCode() != 200 && r.StatusCode() != 206 {
							continue
						}
						read.Add(1)
						if r.StatusCode() == 200 {
							from = 0
						}
						if err := c.check(n, from, all.String()); err != nil {
							t.Error(err, r.StatusCode(), r.CacheStatus())
						}
					}
				})
			}
			wg.Wait()
			assert.Greater(t, read.Load(), int64(300))
			assert.Positive(t, hits.Load())
			assert.Positive(t, collapsed.Load())
			t.Log(read.Load(), "read,", hits.Load(), "hits,", collapsed.Load(), "shared")
		})
	}
}
