package headers_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
)

// TestCopies: changes of a copy do not affect the others, in any order.
func TestCopies(t *testing.T) {
	h := headers.New("A", "1")
	h.Add("B", "2") // the array has free capacity now
	a, b := h, h
	a.Add("C", "a")
	b.Add("C", "b")
	h.Add("C", "h")
	back := a
	a = h
	a.Add("D", "1")
	h.Add("D", "2")
	h.Set("A", "3")
	h.Add("E", "4")
	for _, c := range []struct {
		h    headers.Headers
		want string
	}{{back, "A1B2Ca"}, {b, "A1B2Cb"}, {a, "A1B2ChD1"}, {h, "B2ChD2A3E4"}} {
		var got strings.Builder
		for name, value := range c.h.All() {
			got.WriteString(name + value)
		}
		assert.Equal(t, c.want, got.String())
	}
}

// TestCopiesTogether: Add is safe for concurrent use on different copies of a list.
func TestCopiesTogether(t *testing.T) {
	var h headers.Headers
	h.Add("A", "1")
	var wg sync.WaitGroup
	for i := range 8 {
		own := h
		wg.Go(func() {
			for range 100 {
				own.Add("N", fmt.Sprint(i))
			}
			assert.Equal(t, 101, own.Len())
			for _, v := range own.Values("N") {
				assert.Equal(t, fmt.Sprint(i), v)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 1, h.Len())
}

// TestMerged: each name once, with the position and spelling of its last occurrence, with
// few and with many names.
func TestMerged(t *testing.T) {
	for _, others := range []int{0, 100} {
		h := headers.New("X", "", "Set-Cookie", "a", "Location", "/1", "x", "1", "SET-COOKIE", "b", "location", "/2", "X", "", "y", "2")
		for i := range others {
			h.Add(fmt.Sprint("N", i%50), fmt.Sprint(i))
		}
		got := h.Merged()
		want := []headers.Field{{"SET-COOKIE", "a\nb"}, {"location", "/2"}, {"X", "1, "}, {"y", "2"}}
		require.Equal(t, want, got[:4])
		for _, f := range got {
			require.Equal(t, h.Joined(f.Name), f.Value)
		}
		require.Len(t, got, 4+others/2)
	}
	assert.Empty(t, headers.Headers{}.Merged())
}

// TestLinear: ten times as many fields allocate about ten times as much memory; copying the
// list for each field would need a hundred times as much.
func TestLinear(t *testing.T) {
	names := map[string]func(int) string{
		"one name": func(int) string { return "N" }, "many names": func(i int) string { return fmt.Sprint("N", i) },
	}
	for name, nth := range names {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) float64 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var h headers.Headers
				for i := range n {
					h.Add(nth(i), "value")
				}
				h.Merged()
				h.Joined(nth(0))
				runtime.ReadMemStats(&after)
				return float64(after.TotalAlloc - before.TotalAlloc)
			}
			assert.Less(t, cost(20000), 30*cost(2000))
		})
	}
}
