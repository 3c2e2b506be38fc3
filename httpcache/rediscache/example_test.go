package rediscache_test

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

// Managers in several processes share what they have received. Without Redis they go on
// without a cache.
func Example() {
	store := rediscache.New(redis.UniversalOptions{Addrs: []string{"127.0.0.1:6379"}}, rediscache.Options{TTL: time.Hour})
	defer store.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(store)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	fmt.Println("ready")
	// Output: ready
}
