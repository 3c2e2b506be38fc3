package netreply_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/netreplytest"
)

// TestRemovalFails: what was to be removed while the store could not do that is not used, neither
// meanwhile nor when the store works again.
func TestRemovalFails(t *testing.T) {
	for _, cause := range []string{"POST", "Clear-Site-Data"} {
		t.Run(cause, func(t *testing.T) {
			store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{})}
			version := 1
			s := netreplytest.NewServer(t, netreplytest.HTTPS)
			c := s.Config()
			c.Cache = httpcache.New(store)
			m := newManager(t, c)
			s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					version++
					if cause != "POST" {
						w.Header().Set("Clear-Site-Data", `"cache"`)
					}
					return
				}
				fresh(fmt.Sprint(r.URL.Path, version))(w, r)
			}))
			get := func(path, want string, hit bool) {
				t.Helper()
				r, body := fetched(t, m, s.Request(path))
				assert.Equal(t, path+want, body)
				assert.Equal(t, hit, r.CacheStatus().Hit)
			}
			get("/", "1", false)
			get("/other", "1", false)
			get("/", "1", true)

			store.fails = "Remove"
			path := "/"
			if cause != "POST" {
				path = "/clear"
			}
			_, err := m.Post(t.Context(), s.Request(path), nil).ReadAll()
			require.NoError(t, err)
			get("/", "2", false)
			get("/", "2", false) // it cannot be told from what was to be removed
			store.fails = ""
			get("/", "2", false)
			get("/", "2", true)
			if cause == "POST" {
				get("/other", "1", true)
			} else {
				get("/other", "2", false)
			}
			get("/other", map[string]string{"POST": "1", "Clear-Site-Data": "2"}[cause], true)
		})
	}
}

// TestManyRemovalsFail: however many fail, nothing of them is used.
func TestManyRemovalsFail(t *testing.T) {
	store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{})}
	version := 1
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fresh(fmt.Sprint(version))(w, r)
		}
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	const n = 1100
	for i := range n {
		fetched(t, m, s.Request(fmt.Sprint("/", i)))
	}
	store.fails = "Remove"
	for i := range n {
		_, err := m.Post(t.Context(), s.Request(fmt.Sprint("/", i)), nil).ReadAll()
		require.NoError(t, err)
	}
	store.fails = ""
	version = 2
	for i := range n {
		r, body := fetched(t, m, s.Request(fmt.Sprint("/", i)))
		assert.Equal(t, "2", body)
		assert.False(t, r.CacheStatus().Hit)
	}
}

// TestRemovalAfterCommitFails: a response that is outdated while it is stored is not used if the
// store does not remove it.
func TestRemovalAfterCommitFails(t *testing.T) {
	store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{})}
	version := 1
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			version++
			return
		}
		fresh(fmt.Sprint(version))(w, r)
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	store.committing = func() {
		store.committing = nil
		_, err := m.Post(t.Context(), s.Request("/"), nil).ReadAll()
		assert.NoError(t, err)
		store.fails = "Remove"
	}
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "1", body)
	assert.EqualValues(t, 1, store.failed.Load())
	store.fails = ""
	for range 2 {
		_, body = fetched(t, m, s.Request("/"))
		assert.Equal(t, "2", body)
	}
}
