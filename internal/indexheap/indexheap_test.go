package indexheap_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/indexheap"
)

type item struct{ key, at int }

func newHeap(comparisons *int) indexheap.Heap[*item] {
	return indexheap.New(func(a, b *item) bool { *comparisons++; return a.key < b.key }, func(i *item) *int { return &i.at })
}

// TestHeap compares with a sorted slice.
func TestHeap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var n int
	h := newHeap(&n)
	var model []*item
	for range 5000 {
		switch op := rnd.IntN(5); {
		case op < 2 || len(model) == 0:
			i := &item{key: rnd.IntN(100)}
			model = append(model, i)
			h.Push(i)
		case op == 2:
			k := rnd.IntN(len(model))
			h.Remove(model[k])
			model = slices.Delete(model, k, k+1)
		default:
			i := model[rnd.IntN(len(model))]
			i.key = rnd.IntN(100)
			h.Fix(i)
		}
		require.Equal(t, len(model), h.Len())
		require.Len(t, h.Items(), len(model))
		if len(model) > 0 {
			least := slices.MinFunc(model, func(a, b *item) int { return a.key - b.key })
			require.Equal(t, least.key, h.First().key)
		}
	}
	for last := 0; h.Len() > 0; {
		i := h.First()
		require.LessOrEqual(t, last, i.key)
		require.Contains(t, model, i)
		last = i.key
		h.Remove(i)
	}
}

// TestCost: the number of comparisons is proportional to the depth of the heap.
func TestCost(t *testing.T) {
	const size = 1 << 16
	var n int
	h := newHeap(&n)
	var all []*item
	for i := range size {
		all = append(all, &item{key: i})
		h.Push(all[i])
	}
	for _, i := range all[:1000] {
		i.key += 2 * size
		n = 0
		h.Fix(i)
		require.LessOrEqual(t, n, 3*17)
		n = 0
		h.Remove(i)
		require.LessOrEqual(t, n, 3*17)
	}
}
