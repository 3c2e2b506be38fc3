package netreply_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// TestWatchedStore: what fails in a store is told, and fails no request.
func TestWatchedStore(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<14)
	for _, fails := range []string{"Lookup", "Create", "Write", "Commit", "Open", "ReadAt", "Remove", ""} {
		t.Run(fails, func(t *testing.T) {
			store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: fails, limit: 100_000}
			var mu sync.Mutex
			told := map[string]bool{}
			s, m := cachedServer(t, rangedBody{body: large, etag: `"a"`, ranges: true}.ServeHTTP, func(c *netreply.Config) {
				c.Cache = httpcache.New(httpcache.Watch(store, func(operation string, err error) {
					mu.Lock()
					defer mu.Unlock()
					told[operation] = true
					assert.ErrorIs(t, err, errStore)
				}))
			})
			for range 2 {
				_, body := fetched(t, m, s.Request("/"))
				assert.True(t, large == body)
			}
			m.Post(t.Context(), s.Request("/"), nil).ReadAll()
			want := map[string]bool{}
			if fails != "" {
				want[strings.TrimSuffix(fails, "At")] = true
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, want, told)
		})
	}
}
