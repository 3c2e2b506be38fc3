//go:build !race

package cacherules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestDecideAllocatesNothing: the fields of a stored response are parsed once.
func TestDecideAllocatesNothing(t *testing.T) {
	r, variants := hit()
	now := start.Add(second)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		s, miss := Select(r, variants)
		if Decide(r, s, miss, now).Action != Use {
			t.Fatal("not a hit")
		}
	}))
	assert.Zero(t, testing.AllocsPerRun(100, func() { NewRequest("GET", r.Header, PreferNetwork, "") }))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { Answer{Status: 200}.Fields(variants[0], false, now) }), 1.0)
}
