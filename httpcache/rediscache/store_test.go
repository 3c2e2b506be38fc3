package rediscache_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
	"github.com/netreply/netreply/httpcache/storetest"
)

func TestStore(t *testing.T) {
	s := startServer(t)
	var options sync.Map // of a Store
	open := func(t testing.TB, o rediscache.Options) httpcache.Store {
		store := s.open(t, o)
		options.Store(store, o)
		return store
	}
	optionsOf := func(store httpcache.Store) rediscache.Options {
		o, _ := options.Load(store)
		return o.(rediscache.Options)
	}
	c := s.client(t)
	storetest.Test(t, storetest.Subject{
		New: func(t testing.TB) httpcache.Store { return open(t, patient()) },
		Reopen: func(t testing.TB, store httpcache.Store) httpcache.Store {
			require.NoError(t, store.(*rediscache.Store).Close())
			return open(t, optionsOf(store))
		},
		Join: func(t testing.TB, store httpcache.Store) httpcache.Store { return open(t, optionsOf(store)) },
		Damage: func(t testing.TB, store httpcache.Store) {
			for _, name := range parts(t, c, optionsOf(store).Prefix) {
				b, err := c.Get(bg, name).Bytes()
				require.NoError(t, err)
				b[len(b)/2] ^= 1
				require.NoError(t, c.Set(bg, name, b, redis.KeepTTL).Err())
			}
		},
	})
}

// parts lists what there is of bodies.
func parts(t testing.TB, c *redis.Client, prefix string) (names []string) {
	all, err := c.Keys(bg, "*").Result()
	require.NoError(t, err)
	for _, name := range all {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix && name[len(name)-1] != '}' {
			names = append(names, name)
		}
	}
	return names
}
