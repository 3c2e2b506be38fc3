package httpcache_test

import (
	"testing"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Test(t, storetest.Subject{
		New: func(testing.TB) httpcache.Store { return &httpcache.Memory{} },
		Limited: func(_ testing.TB, size int64) httpcache.Store {
			return httpcache.NewMemory(httpcache.Limits{Size: size})
		},
	})
}
