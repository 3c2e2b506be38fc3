package netreply_test

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/netreplytest"
)

// TestCacheOnDisk: a Manager answers from what another one has stored, and fetches again what
// turns out to be damaged.
func TestCacheOnDisk(t *testing.T) {
	for _, size := range []int{5, 50_000, 500_000} {
		dir := t.TempDir()
		body := strings.Repeat("x", size)
		requests := 0
		s := netreplytest.NewServer(t, netreplytest.HTTP)
		s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			fresh(body)(w, r)
		}))
		get := func(fromCache bool) {
			t.Helper()
			disk, err := httpcache.OpenDisk(dir, httpcache.Limits{})
			require.NoError(t, err)
			defer disk.Close()
			c := s.Config()
			c.Cache = httpcache.New(disk)
			m, err := netreply.NewManager(c)
			require.NoError(t, err)
			defer m.Close()
			before := requests
			_, got := fetched(t, m, s.Request("/"))
			assert.Equal(t, body, got)
			assert.Equal(t, fromCache, before == requests)
		}
		get(false)
		get(true)
		require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".body") {
				return err
			}
			return os.WriteFile(name, make([]byte, size+4), 0o600)
		}))
		get(false)
		get(true)
	}
}

// TestNoStoreIsNotOnDisk: of a response that must not be stored, because it or its request says so,
// nothing is on the disk, neither while it is received nor afterwards.
func TestNoStoreIsNotOnDisk(t *testing.T) {
	const secret = "nobody may find this on the disk"
	for name, row := range map[string]struct {
		control string // of the response
		change  func(q *netreply.Request)
	}{
		"response":   {"no-store, max-age=60", nil},
		"request":    {"max-age=60", func(q *netreply.Request) { q.Headers.Add("Cache-Control", "no-store") }},
		"manual":     {"max-age=60", func(q *netreply.Request) { q.CacheSaveControl = netreply.LoadManual }},
		"understood": {"must-understand, no-store, max-age=60", func(q *netreply.Request) { q.Headers.Add("Cache-Control", "no-store") }},
	} {
		t.Run(name, func(t *testing.T) {
			dir, temporary := t.TempDir(), t.TempDir()
			t.Setenv("TMPDIR", temporary)
			disk, err := httpcache.OpenDisk(dir, httpcache.Limits{})
			require.NoError(t, err)
			defer disk.Close()
			half, rest := make(chan struct{}), make(chan struct{})
			s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", row.control)
				w.Header().Set("X-Secret", secret)
				io.WriteString(w, strings.Repeat(secret, 10_000))
				w.(http.Flusher).Flush()
				close(half)
				<-rest
			}, func(c *netreply.Config) { c.Cache = httpcache.New(disk) })
			q := s.Request("/")
			if row.change != nil {
				row.change(q)
			}
			r := m.Get(t.Context(), q)
			<-half
			got := make([]byte, 10_000*len(secret))
			_, err = io.ReadFull(r, got)
			require.NoError(t, err)
			check := func() {
				t.Helper()
				for _, place := range []string{dir, temporary} {
					require.NoError(t, filepath.WalkDir(place, func(name string, d fs.DirEntry, err error) error {
						if err != nil || !d.Type().IsRegular() {
							return err
						}
						b, err := os.ReadFile(name)
						assert.NotContains(t, string(b), secret, name)
						assert.NotContains(t, name, ".body")
						return err
					}))
				}
			}
			check()
			close(rest)
			_, err = r.ReadAll()
			require.NoError(t, err)
			check()
		})
	}
}
