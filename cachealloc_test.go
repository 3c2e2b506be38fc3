package netreply_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCacheAllocations: what a cache adds to the allocations of a small Get, for one that it
// answers beside one from a Backend, and for one that it does not answer beside one without a
// cache, whose transfer uses the memory of the last one. BenchmarkCacheHit and BenchmarkCacheMiss
// have the times.
func TestCacheAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	all, hits := misses(t), hits(t)
	all["bare"], all["hit"] = bareGet(t), hits["memory"]
	n := map[string]int{}
	for range 5 { // the least of each: a busy machine can add some, by a garbage collection for instance
		for name, get := range all {
			allocs := int(testing.AllocsPerRun(200, func() { readSmall(t, get) }))
			if least, measured := n[name]; !measured || allocs < least {
				n[name] = allocs
			}
		}
	}
	t.Log(n)
	assert.LessOrEqual(t, n["hit"], n["bare"]+6)
	assert.LessOrEqual(t, n["no-store/memory"], n["no-store/none"]+18)
	assert.LessOrEqual(t, n["storable/memory"], n["storable/none"]+34)
}
