package rediscache_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

// TestSecrets: what Redis has of a request are the names of its fields and, of the URL, what is
// no password.
func TestSecrets(t *testing.T) {
	server := startServer(t)
	c := server.client(t)
	s, m := cached(t, server.open(t, patient()), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Vary", "Cookie, Authorization, X-Key")
		w.Header().Set("Cache-Control", "max-age=60")
		w.Write(content(1, 600_000))
	})
	q := s.Request("/")
	q.Headers.Add("Authorization", "Bearer secret1")
	q.Headers.Add("Cookie", "id=secret2")
	q.Headers.Add("X-Key", "secret3")
	q.CachePartition = "partition"
	withPassword := s.Request("/")
	u := *withPassword.URL
	withPassword.URL = &u
	u.User = url.UserPassword("user", "secret4")
	fetch(t, m, q)
	fetch(t, m, withPassword)
	all, err := c.Keys(bg, "*").Result()
	require.NoError(t, err)
	require.Len(t, all, 2*(1+3))
	for _, name := range all {
		assert.NotContains(t, name, s.URL("/"), "names are hashes")
		value, err := c.Dump(bg, name).Result()
		require.NoError(t, err)
		plain, err := c.HGetAll(bg, name).Result()
		if err == nil {
			for field, v := range plain {
				value += field + v
			}
		}
		assert.NotContains(t, value, "secret")
	}
}

// TestWrongTypes: keys of other kinds under names of a Store are no entries, and no obstacle.
func TestWrongTypes(t *testing.T) {
	server := startServer(t)
	c := server.client(t)
	for _, kind := range []struct {
		name string
		set  func(key string) error
	}{
		{"string", func(key string) error { return c.Set(bg, key, "x", 0).Err() }},
		{"list", func(key string) error { return c.RPush(bg, key, "x").Err() }},
		{"hash", func(key string) error { return c.HSet(bg, key, "a", "", "key", "x").Err() }},
		{"set", func(key string) error { return c.SAdd(bg, key, "x").Err() }},
	} {
		for _, size := range []int{1000, 3 << 20} {
			t.Run(kind.name, func(t *testing.T) {
				require.NoError(t, c.FlushAll(bg).Err())
				o := patient()
				o.Wait = time.Hour
				s := server.open(t, o)
				require.NoError(t, store(s, "other", 9, 10))
				require.NoError(t, store(s, "k", 1, size))
				list, err := s.Lookup(bg, "k")
				require.NoError(t, err)
				open, err := list[0].Open(bg)
				require.NoError(t, err)
				for _, name := range parts(t, c, o.Prefix) {
					require.NoError(t, c.Del(bg, name).Err())
					require.NoError(t, kind.set(name))
				}
				if size > 1<<20 {
					_, err = open.ReadAt(make([]byte, 10), 0)
					require.ErrorIs(t, err, httpcache.ErrDamaged)
				} else {
					_, err = list[0].Open(bg)
					require.ErrorIs(t, err, httpcache.ErrDamaged)
				}
				list, err = s.Lookup(bg, "k")
				require.NoError(t, err)
				require.Empty(t, list, "the damage was found")

				require.NoError(t, store(s, "k", 1, size))
				list, err = s.Lookup(bg, "k")
				require.NoError(t, err)
				indexes, err := c.Keys(bg, "*}").Result()
				require.NoError(t, err)
				for _, name := range indexes {
					require.NoError(t, c.Del(bg, name).Err())
					require.NoError(t, kind.set(name))
				}
				found, err := s.Lookup(bg, "k")
				require.NoError(t, err)
				assert.Empty(t, found)
				require.NoError(t, s.Update(bg, list[0], []byte{5}))
				for key := range s.All(bg) {
					t.Error(key)
				}
				require.NoError(t, store(s, "other", 2, size))
				stored(t, s, "other", 2, size)
				n := 0
				for key := range s.All(bg) { // the index of the other key is still wrong
					assert.Equal(t, "other", key)
					n++
				}
				assert.Equal(t, 1, n)
				require.NoError(t, s.Remove(bg, "k"))
				require.NoError(t, store(s, "k", 1, size))
				stored(t, s, "k", 1, size)

				lease := strings.TrimSuffix(indexes[0], "}") + "}:lease"
				other := strings.TrimSuffix(indexes[1], "}") + "}:lease"
				require.NoError(t, kind.set(lease))
				require.NoError(t, kind.set(other))
				release, _ := s.Reserve(bg, "k") // returns: a lease that does not expire is none
				release()
				_, err = s.Size(bg)
				require.NoError(t, err)
				require.NoError(t, s.RemovePrefix(bg, ""))
			})
		}
	}
}

// TestLargerThanOurs: what another Store has stored although it is too large for this one is not
// used.
func TestLargerThanOurs(t *testing.T) {
	server := startServer(t)
	o := patient()
	s := server.open(t, o)
	require.NoError(t, store(s, "k", 1, 2000))
	o.MaxEntry = 1999
	list, err := server.open(t, o).Lookup(bg, "k")
	require.NoError(t, err)
	assert.Empty(t, list)
	stored(t, s, "k", 1, 2000)
}

// TestRedisOutOfMemory: when Redis has no memory left and may not drop anything, what is there
// can be read and removed, and what is new is not stored, with nothing left of it.
func TestRedisOutOfMemory(t *testing.T) {
	server := startServer(t, "--maxmemory-policy", "noeviction")
	c := server.client(t)
	s := server.open(t, patient())
	require.NoError(t, store(s, "k", 1, 600_000))
	names := func() []string { all, err := c.Keys(bg, "*").Result(); require.NoError(t, err); return all }
	before := names()
	for _, written := range []int{0, 300_000, 600_000} {
		require.NoError(t, c.ConfigSet(bg, "maxmemory", "0").Err())
		w, err := s.Create(bg, "new", httpcache.Variant{Size: -1})
		require.NoError(t, err)
		body := content(2, 600_000)
		_, err = w.Write(body[:written])
		require.NoError(t, err)
		require.NoError(t, c.ConfigSet(bg, "maxmemory", "1").Err())
		_, err = w.Write(body[written:])
		require.NoError(t, err)
		got := make([]byte, len(body))
		_, err = w.ReadAt(got, 0)
		require.NoError(t, err)
		assert.Equal(t, body, got)
		require.Error(t, w.Commit([]byte{2}))
		require.NoError(t, w.Close())
		assert.ElementsMatch(t, before, names())
	}
	require.NoError(t, c.ConfigSet(bg, "maxmemory", "0").Err())
	empty, err := s.Create(bg, "new", httpcache.Variant{})
	require.NoError(t, err)
	_, err = empty.Write(content(1, 256<<10)) // all of it is sent
	require.NoError(t, err)
	require.NoError(t, c.ConfigSet(bg, "maxmemory", "1").Err())
	require.Error(t, empty.Commit(nil))
	require.NoError(t, empty.Close())
	assert.ElementsMatch(t, before, names())

	stored(t, s, "k", 1, 600_000)
	list, err := s.Lookup(bg, "k")
	require.NoError(t, err)
	s.Update(bg, list[0], []byte{7}) // may fail
	_, waited := s.Reserve(bg, "k")
	assert.False(t, waited)
	require.NoError(t, s.Remove(bg, "k"))
	found, err := s.Lookup(bg, "k")
	require.NoError(t, err)
	assert.Empty(t, found)
}

// TestCluster: all commands for a key are for one slot. A cluster of one server checks that as a
// larger one does.
func TestCluster(t *testing.T) {
	server := startServer(t, "--cluster-enabled", "yes")
	c := server.client(t)
	require.NoError(t, c.ClusterAddSlotsRange(bg, 0, 16383).Err())
	require.Eventually(t, func() bool {
		info, err := c.ClusterInfo(bg).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, 20*time.Second, 10*time.Millisecond)
	for _, prefix := range []string{"", "a{b", "a}b", "{x}:", "a{b}c{d}"} {
		o := patient()
		o.Prefix = prefix
		s := rediscache.New(redis.UniversalOptions{Addrs: []string{server.addr}, IsClusterMode: true}, o)
		for n, size := range []int{0, 100_000, 600_000, 3 << 20} {
			key := string(rune('a' + n))
			require.NoError(t, store(s, key, byte(n), size))
			stored(t, s, key, byte(n), size)
			list, err := s.Lookup(bg, key)
			require.NoError(t, err)
			require.NoError(t, s.Update(bg, list[0], []byte{byte(n)}))
			require.NoError(t, store(s, key, byte(n+1), size))
			stored(t, s, key, byte(n+1), size)
		}
		w, err := s.Create(bg, "k", httpcache.Variant{Size: -1})
		require.NoError(t, err)
		_, err = w.Write(content(1, 600_000))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		release, waited := s.Reserve(bg, "k")
		assert.False(t, waited)
		release()
		n := 0
		for range s.All(bg) {
			n++
		}
		assert.Equal(t, 4, n)
		require.NoError(t, s.RemovePrefix(bg, ""))
		for range s.All(bg) {
			t.Error("RemovePrefix has left something")
		}
		require.NoError(t, s.Close())
	}
}
