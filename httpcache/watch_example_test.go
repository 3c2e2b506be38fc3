package httpcache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/netreply/netreply/httpcache"
)

// unreachable is a Store whose server does not answer.
type unreachable struct{ httpcache.Store }

func (unreachable) Lookup(context.Context, string) ([]httpcache.Entry, error) {
	return nil, errors.New("dial tcp 192.0.2.1:6379: connection refused")
}

// A cache that cannot be reached slows a program down, but does not stop it. Watch tells.
func ExampleWatch() {
	store := httpcache.Watch(unreachable{httpcache.NewMemory(httpcache.Limits{})}, func(operation string, err error) {
		fmt.Printf("cache: %s: %v\n", operation, err) // in a program: at most one line in a minute, for instance
	})
	cache := httpcache.New(store) // for netreply.Config.Cache
	store.Lookup(context.Background(), "key")
	fmt.Println(cache.Store() == store)
	// Output:
	// cache: Lookup: dial tcp 192.0.2.1:6379: connection refused
	// true
}
