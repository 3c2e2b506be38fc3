package httpcache_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// TestMemoryOrder: what has not been used for longest goes first, and stays readable for who
// has it.
func TestMemoryOrder(t *testing.T) {
	m := httpcache.NewMemory(httpcache.Limits{Size: 100_000})
	keys := func() (n []string) {
		for key := range m.All(bg) {
			n = append(n, key)
		}
		return n
	}
	for n := range 9 {
		require.NoError(t, store(m, fmt.Sprint("k", n), 0, uint64(n), 10_000))
	}
	require.Equal(t, 1, there(t, m, "k0"))
	list, err := m.Lookup(bg, "k1")
	require.NoError(t, err)
	require.NoError(t, m.Update(bg, list[0], list[0].Meta()))
	oldest, err := m.Lookup(bg, "k0")
	require.NoError(t, err)
	for _, key := range []string{"k2", "k3", "k4", "k5", "k6", "k7", "k8"} {
		require.Equal(t, 1, there(t, m, key))
	}
	require.Equal(t, []string{"k8", "k7", "k6", "k5", "k4", "k3", "k2", "k0", "k1"}, keys())
	first, err := m.Lookup(bg, "k8")
	require.NoError(t, err)
	require.NoError(t, m.Update(bg, first[0], first[0].Meta())) // it stays the first
	require.Equal(t, []string{"k8", "k7", "k6", "k5", "k4", "k3", "k2", "k0", "k1"}, keys())
	require.NoError(t, store(m, "new", 0, 1, 20_000))
	assert.Equal(t, []string{"new", "k8", "k7", "k6", "k5", "k4", "k3", "k2"}, keys())
	ok, err := check(oldest[0], "k0")
	assert.True(t, ok, "an entry that is not stored any more can be read")
	require.NoError(t, err)
	assert.Len(t, keys(), 8, "it has not come back")
}

// TestMemoryVariants: of the entries of one key, those in use stay.
func TestMemoryVariants(t *testing.T) {
	m := httpcache.NewMemory(httpcache.Limits{Size: 100_000})
	for n := range 9 {
		require.NoError(t, store(m, "k", byte(n), uint64(n), 10_000))
	}
	list, err := m.Lookup(bg, "k")
	require.NoError(t, err)
	require.Len(t, list, 9)
	ok, err := check(list[0], "k")
	require.True(t, ok)
	require.NoError(t, err)
	for n := range 8 {
		require.NoError(t, store(m, fmt.Sprint("other", n), 0, 1, 10_000))
	}
	left, err := m.Lookup(bg, "k")
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Same(t, list[0], left[0])
}

// TestMemorySize: the memory of an entry is not much more than its bytes, whatever was announced.
func TestMemorySize(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 5000, 64 << 10, 64<<10 + 1, 100_000, 1 << 20} {
		for _, announced := range []int64{-1, int64(size), 10, 30 << 20} {
			m := &httpcache.Memory{}
			w, err := m.Create(bg, "k", httpcache.Variant{Size: announced})
			require.NoError(t, err)
			for b := content(1, size); len(b) > 0; b = b[min(len(b), 1000):] {
				_, err := w.Write(b[:min(len(b), 1000)])
				require.NoError(t, err)
				used, err := m.Size(bg)
				require.NoError(t, err)
				require.LessOrEqual(t, used, int64(2*size+64<<10+200), "while it is written")
			}
			require.NoError(t, w.Commit(nil))
			require.NoError(t, w.Close())
			used, err := m.Size(bg)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, used, int64(size))
			assert.LessOrEqual(t, used, int64(size+size/8+500), "%d bytes, of which %d were announced", size, announced)
		}
	}
}

// TestMemoryAllocations: a hit takes no memory.
func TestMemoryAllocations(t *testing.T) {
	m := &httpcache.Memory{}
	require.NoError(t, store(m, "k", 0, 1, 100_000))
	require.NoError(t, store(m, "other", 0, 1, 100_000))
	keys := []string{"k", "other"}
	n, p := 0, make([]byte, 40_000)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		n++
		list, err := m.Lookup(bg, keys[n%2])
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		b, err := list[0].Open(bg)
		if err != nil {
			t.Fatal(err)
		}
		if k, _ := b.ReadAt(p, 70_000); k != 30_000 {
			t.Fatal(k)
		}
		b.Close()
	}))
}
