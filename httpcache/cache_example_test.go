package httpcache_test

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/netreply/netreply/httpcache"
)

// Caches for netreply.Config: in memory, or in files that several processes share.
func ExampleNew() {
	inMemory := httpcache.New(httpcache.NewMemory(httpcache.Limits{Size: 100 << 20}))
	size, err := inMemory.Size(context.Background())
	fmt.Println(size, err)

	none := httpcache.New(nil) // keeps nothing
	stored, err := none.Metadata(context.Background(), &url.URL{Scheme: "https", Host: "a.test"})
	fmt.Println(len(stored), err, none.Clear(context.Background()))
	// Output:
	// 0 <nil>
	// 0 <nil> <nil>
}

// The value of a Cache-Status field (RFC 9211).
func ExampleStatus() {
	fmt.Println(httpcache.Status{Hit: true, TTL: time.Minute, HasTTL: true})
	fmt.Println(httpcache.Status{Forward: httpcache.ForwardStale, ForwardStatus: 304})
	// Output:
	// netreply; hit; ttl=60
	// netreply; fwd=stale; fwd-status=304
}

// For a Store that lets entries go by themselves.
func ExampleUsefulUntil() {
	keptFor := func(meta []byte) time.Duration {
		const most = 24 * time.Hour
		if t, ok := httpcache.UsefulUntil(meta); ok {
			return min(most, time.Until(t))
		}
		return most
	}
	fmt.Println(keptFor([]byte("not of a Cache")))
	// Output: 24h0m0s
}
