package cookies

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check requires that all indexes of the entries are consistent.
func check(t *testing.T, s *entries) {
	t.Helper()
	require.LessOrEqual(t, len(s.all), s.max)
	require.Equal(t, len(s.all), s.byUse.Len())
	inDomains, inSites, crowded := 0, 0, 0
	for domain, list := range s.domains {
		require.NotEmpty(t, list)
		for i, e := range list {
			require.Equal(t, domain, e.Domain)
			require.Equal(t, i, e.domainIndex)
			require.Same(t, e, s.all[e.identity()])
			require.False(t, usedBefore(e, s.byUse.First()))
			require.False(t, usedBefore(e, e.site.heap(e).First()))
		}
		inDomains += len(list)
	}
	for name, site := range s.sites {
		require.Equal(t, name, site.name)
		require.Positive(t, site.len())
		require.LessOrEqual(t, site.len(), s.maxPerSite)
		inSites += site.len()
		if s.isCrowded(site) {
			crowded++
			require.Same(t, site, s.crowded)
		}
	}
	require.Equal(t, len(s.all), inDomains)
	require.Equal(t, len(s.all), inSites)
	require.LessOrEqual(t, crowded, 1)
	require.Equal(t, crowded == 1, s.crowded != nil)
	mortal := 0
	for _, e := range s.all {
		if !e.Session() {
			mortal++
			require.False(t, e.Expires.Before(s.byExpiry.First().Expires))
		}
	}
	require.Equal(t, mortal, s.byExpiry.Len())
}

func TestEntriesAgree(t *testing.T) {
	for _, limits := range [][2]int{{10, 50}, {100, 20}, {1, 1}, {3, 2}} {
		rnd := rand.New(rand.NewPCG(1, 2))
		now := time.Now()
		s := newEntries(limits[0], limits[1])
		for i := range 4000 {
			now = now.Add(time.Second)
			site := fmt.Sprintf("s%d.org", rnd.IntN(8))
			c := Cookie{Name: fmt.Sprint(rnd.IntN(15)), Domain: fmt.Sprintf("h%d.%s", rnd.IntN(3), site), Path: "/", Secure: rnd.IntN(2) == 0, Created: now, LastAccess: now}
			if rnd.IntN(2) == 0 {
				c.Expires = now.Add(time.Duration(rnd.IntN(100)+1) * time.Second)
			}
			e := s.all[c.identity()]
			switch op := rnd.IntN(8); {
			case op == 0 && e != nil:
				s.remove(e)
			case op == 1 && e != nil:
				s.touch(e, now)
			case op == 2:
				s.removeExpired(now)
			case op == 3:
				for _, e := range s.find(target{c.Domain, site, "/", true}) {
					require.Equal(t, c.Domain, e.Domain)
				}
			default:
				s.put(c, site, now)
			}
			if i%20 == 0 {
				check(t, s)
			}
		}
	}
}

// TestCost: the cost of a cookie in a full jar hardly depends on the limits, for one site
// and for many.
func TestCost(t *testing.T) {
	const n = 1000
	for _, sites := range []int{1, 500} {
		full := func(limit int) (cost func() time.Duration) {
			jar := NewJar(Options{Max: limit, MaxPerDomain: limit})
			next := 0
			set := func() {
				next++
				c := Cookie{Name: fmt.Sprint(next), Value: "x", Domain: fmt.Sprintf("www.s%d.org", next%sites)}
				require.True(t, jar.Insert(c))
			}
			for range limit {
				set()
			}
			return func() time.Duration {
				began := time.Now()
				for range n {
					set()
				}
				took := time.Since(began)
				require.Equal(t, limit, jar.Len())
				return took
			}
		}
		smallCost, largeCost := full(250), full(16_000)
		small, large := smallCost(), largeCost()
		for range 5 {
			small = min(small, smallCost())
		}
		// the best of many rounds, because what else the machine does makes some slower
		for n := 0; n < 100 && large >= 16*small; n++ {
			large = min(large, largeCost())
		}
		assert.Less(t, large, 16*small, "a jar of 64 times the size, %d sites", sites)
	}
}
