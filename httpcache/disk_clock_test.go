package httpcache_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// expired waits until a Disk has no more than its limit, and closes it.
func expired(t testing.TB, d *httpcache.Disk, limit int64) {
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		size, err := d.Size(bg)
		assert.NoError(t, err)
		assert.LessOrEqual(t, size, limit)
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
}

// TestDiskClockPutBack: entries of a time when the clock was ahead are not kept for longer than
// those that are in use now.
func TestDiskClockPutBack(t *testing.T) {
	dir := t.TempDir()
	const limit = 1 << 20
	d := openDisk(t, dir, httpcache.Limits{Size: limit})
	for n := range 40 {
		require.NoError(t, store(d, fmt.Sprint("k", n), 0, uint64(n), 20_000))
	}
	future := time.Now().AddDate(10, 0, 0)
	for _, name := range append(filesOf(t, dir, ".key"), filesOf(t, dir, "counted")...) {
		require.NoError(t, os.Chtimes(name, future, future))
	}
	for n := range 10 { // in use
		require.Equal(t, 1, there(t, d, fmt.Sprint("k", n)))
	}
	for n := range 20 {
		require.NoError(t, store(d, fmt.Sprint("new", n), 0, uint64(n), 20_000))
	}
	expired(t, d, limit)
	d = openDisk(t, dir, httpcache.Limits{Size: limit})
	for n := range 10 {
		assert.Equal(t, 1, there(t, d, fmt.Sprint("k", n)), n)
	}
	for n := range 20 {
		assert.Equal(t, 1, there(t, d, fmt.Sprint("new", n)), n)
	}
}

// TestDiskOrphansOfTheFuture: what was left behind is also found if the last count was at a
// time that is still to come.
func TestDiskOrphansOfTheFuture(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 0))
	recount(t, dir)
	future := time.Now().AddDate(1, 0, 0)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "1", "counted"), future, future))
	orphan := strings.TrimSuffix(fileOf(t, dir, ".key"), ".key") + "-0123456789abcdef.body"
	require.NoError(t, os.WriteFile(orphan, content(1, 1000), 0o600))
	recount(t, dir)
	assert.NoFileExists(t, orphan)
}

// TestDiskLimits: every limit works, the largest and the smallest, too.
func TestDiskLimits(t *testing.T) {
	for _, row := range []struct {
		size, entry int64
		stores      int
	}{
		{math.MaxInt64, 0, 300_000}, {math.MaxInt64, math.MaxInt64, 300_000}, {-1, -1, 300_000}, {0, math.MinInt64, 300_000},
		{1, 0, -1}, {1, 1, -1}, {1000, 1000, 100}, {100_000, 10, 10},
	} {
		for name, s := range map[string]httpcache.Store{
			"Disk":   openDisk(t, t.TempDir(), httpcache.Limits{Size: row.size, Entry: row.entry}),
			"Memory": httpcache.NewMemory(httpcache.Limits{Size: row.size, Entry: row.entry}),
		} {
			if row.size == 1000 && name == "Memory" { // its entries cost more
				continue
			}
			most := -1
			for _, size := range []int{0, 10, 100, 300_000} {
				if store(s, "k", 0, uint64(size), size) != nil {
					continue
				}
				most = size
				list, err := s.Lookup(bg, "k")
				require.NoError(t, err)
				for _, e := range list {
					_, err := check(e, "k")
					require.NoError(t, err)
				}
			}
			assert.Equal(t, row.stores, most, "%s %+v", name, row)
		}
	}
}

// TestDiskLargeMetadata: a file of a key that is too large is damage, however large it is, and
// many variants with much metadata do not make one.
func TestDiskLargeMetadata(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{Size: 1 << 20})
	for n := range 20 {
		w, err := d.Create(bg, "k", httpcache.Variant{ID: [32]byte{byte(n)}})
		require.NoError(t, err)
		require.NoError(t, w.Commit(content(uint64(n), 100_000)))
		require.NoError(t, w.Close())
		list, err := d.Lookup(bg, "k")
		require.NoError(t, err)
		require.NotEmpty(t, list)
		assert.Equal(t, content(uint64(n), 100_000), list[len(list)-1].Meta())
		assert.Less(t, len(list), 11)
	}
	w, err := d.Create(bg, "k", httpcache.Variant{})
	require.NoError(t, err)
	require.Error(t, w.Commit(make([]byte, 2<<20)))
	require.NoError(t, w.Close())

	require.NoError(t, store(d, "sparse", 0, 1, 10))
	for _, name := range filesOf(t, dir, ".key") {
		require.NoError(t, os.Truncate(name, 1<<40))
	}
	assert.Zero(t, there(t, d, "k"))
	assert.Zero(t, there(t, d, "sparse"))
	require.NoError(t, store(d, "sparse", 0, 2, 10))
	assert.Equal(t, 1, there(t, d, "sparse"))
}

// TestDiskOtherFormats: the directory of another version of the form stays as it is, and a file
// of another version is damage.
func TestDiskOtherFormats(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "2", "ab", "entry")
	require.NoError(t, os.MkdirAll(filepath.Dir(other), 0o700))
	require.NoError(t, os.WriteFile(other, []byte("of the future"), 0o600))
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 10))
	key := fileOf(t, dir, ".key")
	b, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(key, append([]byte("nrcache2"), b[8:]...), 0o600))
	assert.Zero(t, there(t, d, "k"))
	assert.NoFileExists(t, key)
	require.NoError(t, store(d, "k", 0, 2, 10))
	recount(t, dir)
	require.NoError(t, d.RemovePrefix(bg, ""))
	assert.FileExists(t, other)
}
