package netreply_test

import (
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
