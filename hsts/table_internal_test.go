package hsts

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func at(host string, expires, keep time.Time) record {
	return record{Policy: Policy{Host: host, Expires: expires}, keep: keep}
}

// TestEviction: expired policies are removed first, then those of the largest site,
// earliest expiry first.
func TestEviction(t *testing.T) {
	now := time.Now()
	after := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	tab := newTable(4)
	has := func(want ...string) {
		t.Helper()
		var got []string
		for host := range tab.hosts {
			got = append(got, host)
		}
		assert.ElementsMatch(t, want, got)
	}
	tab.put(at("victim.org", after(1), after(1)), now)
	tab.put(at("gone.org", after(-1), after(1000)), now)
	tab.put(at("a.evil.org", after(100), after(100)), now)
	tab.put(at("b.evil.org", after(300), after(300)), now)
	tab.put(at("c.evil.org", after(200), after(200)), now)
	has("victim.org", "a.evil.org", "b.evil.org", "c.evil.org")
	tab.put(at("d.evil.org", after(50), after(50)), now)
	has("victim.org", "a.evil.org", "b.evil.org", "c.evil.org")
	tab.put(at("other.org", after(10), after(10)), now)
	has("victim.org", "other.org", "b.evil.org", "c.evil.org")
	tab.put(at("third.org", after(10), after(10)), now)
	has("victim.org", "other.org", "third.org", "b.evil.org")
	tab.put(at("fourth.org", after(10), after(10)), now)
	has("fourth.org", "other.org", "third.org", "b.evil.org") // all sites have the same size
	tab.put(at("fifth.org", after(20), after(20)), after(11))
	has("b.evil.org", "fifth.org")
}

// TestTableInvariants: heaps and maps are consistent after random operations.
func TestTableInvariants(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	tab := newTable(50)
	for i := range 5000 {
		now = now.Add(time.Second)
		host := fmt.Sprintf("h%d.s%d.org", rnd.IntN(20), rnd.IntN(10))
		if e := tab.hosts[host]; e != nil && rnd.IntN(3) == 0 {
			tab.remove(e)
		} else {
			expires := now.Add(time.Duration(rnd.IntN(100)-5) * time.Second)
			tab.put(at(host, expires, expires.Add(time.Duration(rnd.IntN(20))*time.Second)), now)
		}
		require.LessOrEqual(t, len(tab.hosts), 50)
		if i%20 > 0 {
			continue
		}
		require.Equal(t, len(tab.hosts), tab.byExpiry.Len())
		require.Equal(t, len(tab.sites), tab.crowded.Len())
		n := 0
		for _, s := range tab.sites {
			n += s.byExpiry.Len()
			require.LessOrEqual(t, s.byExpiry.Len(), tab.crowded.First().byExpiry.Len())
			for _, e := range s.byExpiry.Items() {
				require.Same(t, e, tab.hosts[e.Host])
				require.False(t, endsBefore(e, s.byExpiry.First()))
				require.False(t, endsBefore(e, tab.byExpiry.First()))
			}
		}
		require.Equal(t, len(tab.hosts), n)
	}
}

// TestCost: the cost of learning at the limit hardly depends on the limit.
func TestCost(t *testing.T) {
	full := func(limit int) (cost func() time.Duration) {
		const n = 2000
		now, next := time.Now(), 0
		tab := newTable(limit)
		learn := func() {
			next++
			tab.put(at(fmt.Sprintf("h%d.s%d.org", next, next%977), now.Add(time.Duration(next)), now.Add(time.Hour)), now.Add(-time.Hour))
		}
		for range limit {
			learn()
		}
		return func() time.Duration {
			began := time.Now()
			for range n {
				learn()
			}
			return time.Since(began)
		}
	}
	smallCost, largeCost := full(500), full(32_000)
	small, large := smallCost(), largeCost()
	for range 5 {
		small = min(small, smallCost())
	}
	// the best of many rounds, because what else the machine does makes some slower
	for n := 0; n < 100 && large >= 16*small; n++ {
		large = min(large, largeCost())
	}
	assert.Less(t, large, 16*small, "a store of 64 times the size")
}
