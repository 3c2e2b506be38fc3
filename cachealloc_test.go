package netreply_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestCacheAllocations: what a cache adds to the allocations of a small Get, for one that it
// answers beside one from a Backend, and for one that it does not answer beside one without a
// cache. BenchmarkCacheHit and BenchmarkCacheMiss have the times.
func TestCacheAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	all, hits := misses(t), hits(t)
	all["bare"], all["hit"] = bareGet(t), hits["memory"]
	n := map[string]int{}
	for name, get := range all {
		n[name] = int(leastAllocs(func() { readSmall(t, get) }))
	}
	t.Log(n)
	assert.LessOrEqual(t, n["hit"], n["bare"]+6)
	noStore, storable := 12, 28
	if netreply.OwnHTTP1 { // without a cache a request uses the memory of the last transfer
		noStore, storable = 17, 34
	}
	assert.LessOrEqual(t, n["no-store/memory"], n["no-store/none"]+noStore)
	assert.LessOrEqual(t, n["storable/memory"], n["storable/none"]+storable)
}
