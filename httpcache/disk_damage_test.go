package httpcache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// fileOf returns the one file below a directory whose name ends with suffix.
func fileOf(t testing.TB, dir, suffix string) string {
	names := filesOf(t, dir, suffix)
	require.Len(t, names, 1)
	return names[0]
}

// TestDiskDamage: no byte of any file can be changed, lost or added unnoticed, and what is
// damaged is dropped.
func TestDiskDamage(t *testing.T) {
	for _, size := range []int{0, 100, 70_000} {
		dir := t.TempDir()
		d := openDisk(t, dir, httpcache.Limits{})
		require.NoError(t, store(d, "k", 0, 1, size))
		files := map[string][]byte{}
		for _, suffix := range []string{".key", ".body"} {
			for _, name := range filesOf(t, dir, suffix) {
				b, err := os.ReadFile(name)
				require.NoError(t, err)
				files[name] = b
			}
		}
		damage := func(name string, content []byte, what string, at int) {
			for name, b := range files {
				require.NoError(t, os.WriteFile(name, b, 0o600))
			}
			require.NoError(t, os.WriteFile(name, content, 0o600))
			n := there(t, d, "k")
			require.Zero(t, n, "%s %s at %d", filepath.Ext(name), what, at)
			list, err := d.Lookup(bg, "k")
			require.NoError(t, err)
			require.Empty(t, list, "what was found to be damaged (%s %s at %d) is there still", filepath.Ext(name), what, at)
		}
		for name, b := range files {
			for at := 0; at < len(b); at++ {
				if len(b) > 1000 && at > 50 && at < len(b)-50 && at%4099 != 0 {
					continue
				}
				changed := append([]byte{}, b...)
				changed[at] ^= 1 << (at % 8)
				damage(name, changed, "changed", at)
				damage(name, b[:at], "cut", at)
			}
			damage(name, append(append([]byte{}, b...), 0), "longer", len(b))
			damage(name, make([]byte, len(b)), "zero", 0)
		}
		require.NoError(t, store(d, "k", 0, 2, size))
		assert.Equal(t, 1, there(t, d, "k"))
	}
}

// TestDiskExchangedFiles: a file in the place of another is found.
func TestDiskExchangedFiles(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		for _, suffix := range []string{".key", ".body"} {
			dir := t.TempDir()
			d := openDisk(t, dir, httpcache.Limits{})
			require.NoError(t, store(d, "a", 0, 1, size))
			first := fileOf(t, dir, suffix)
			require.NoError(t, store(d, "b", 0, 2, size))
			for _, name := range filesOf(t, dir, suffix) {
				if name != first {
					require.NoError(t, os.Rename(name, first))
				}
			}
			assert.Zero(t, there(t, d, "a"))
			assert.Zero(t, there(t, d, "b"))
		}
	}
}

// TestDiskLostBody: an entry without its body goes, when it is used.
func TestDiskLostBody(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 1, 1, 0))
	require.NoError(t, store(d, "k", 0, 1, 100))
	require.NoError(t, os.Remove(fileOf(t, dir, ".body")))
	list, err := d.Lookup(bg, "k")
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, 1, there(t, d, "k"))
	list, err = d.Lookup(bg, "k")
	require.NoError(t, err)
	assert.Len(t, list, 1)
}

// TestDiskDamageWhileReading: bytes before the damaged block are delivered, and none from it on.
func TestDiskDamageWhileReading(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	const size = 300_000
	require.NoError(t, store(d, "k", 0, 1, size))
	list, err := d.Lookup(bg, "k")
	require.NoError(t, err)
	b, err := list[0].Open(bg)
	require.NoError(t, err)
	defer b.Close()
	f, err := os.OpenFile(fileOf(t, dir, ".body"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	p := make([]byte, size)
	_, err = f.WriteAt(make([]byte, 10), 200_000)
	require.NoError(t, err)
	n, err := b.ReadAt(p, 0)
	require.ErrorIs(t, err, httpcache.ErrDamaged)
	assert.Equal(t, 200_000/(64<<10)*(64<<10), n)
	assert.Equal(t, content(1, size)[:n], p[:n])
	n, err = b.ReadAt(p[:10], 199_990) // in the same block
	require.ErrorIs(t, err, httpcache.ErrDamaged)
	assert.Zero(t, n)
	n, err = b.ReadAt(p[:10], 290_000)
	require.NoError(t, err, "another block is as it was")
	assert.Equal(t, content(1, size)[290_000:290_010], p[:n])
	assert.Zero(t, there(t, d, "k"), "the damage was found")
	assert.Empty(t, filesOf(t, dir, ".body"))
}

// TestDiskOtherFiles: what is in the directory besides is no entry, and stays.
func TestDiskOtherFiles(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 10))
	shard := filepath.Dir(fileOf(t, dir, ".key"))
	others := []string{"x", "readme.key", strings.Repeat("a", 32), strings.Repeat("a", 32) + ".other", strings.Repeat("b", 32) + ".keys", strings.Repeat("a", 32) + "-1.body"}
	for _, name := range others {
		require.NoError(t, os.WriteFile(filepath.Join(shard, name), []byte("x"), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(shard, strings.Repeat("c", 32)+".key"), 0o700))
	n := 0
	for key := range d.All(bg) {
		assert.Equal(t, "k", key)
		n++
	}
	assert.Equal(t, 1, n)
	recount(t, dir)
	for _, name := range others {
		assert.FileExists(t, filepath.Join(shard, name))
	}
	assert.Equal(t, 1, there(t, d, "k"))
}
