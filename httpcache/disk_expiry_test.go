package httpcache_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/filelock"
)

// onDisk is the number of bytes that files of entries take.
func onDisk(t testing.TB, dir string) (n int64) {
	for _, suffix := range []string{".key", ".body", ".next"} {
		for _, name := range filesOf(t, dir, suffix) {
			st, err := os.Stat(name)
			require.NoError(t, err)
			n += st.Size()
		}
	}
	return n
}

// recount loses the index of a directory and opens it, and waits until everything was
// counted and cleaned.
func recount(t testing.TB, dir string) {
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1", "size"), []byte("lost"), 0o600))
	d := openDisk(t, dir, httpcache.Limits{})
	defer d.Close()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		size, err := d.Size(bg)
		assert.NoError(t, err)
		assert.Positive(t, size)
	}, 20*time.Second, time.Millisecond)
}

// TestDiskSize: the size is that of the files, also when it was lost.
func TestDiskSize(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	for n := range 20 {
		require.NoError(t, store(d, fmt.Sprint(n/2), byte(n%2), uint64(n), n*10_000))
	}
	require.NoError(t, d.Remove(bg, "3"))
	size := func(d *httpcache.Disk) int64 {
		n, err := d.Size(bg)
		require.NoError(t, err)
		return n
	}
	assert.Equal(t, onDisk(t, dir), size(d))
	recount(t, dir)
	assert.Equal(t, onDisk(t, dir), size(d))
	require.NoError(t, os.Remove(filepath.Join(dir, "1", "size")))
	recount(t, dir)
	assert.Equal(t, onDisk(t, dir), size(d))
}

// TestDiskExpiry: when there is too much, nine tenths are left, and what was used last.
func TestDiskExpiry(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{Size: 1 << 20})
	for n := range 50 { // nearly full
		require.NoError(t, store(d, fmt.Sprint("k", n), 0, uint64(n), 20_000))
	}
	past := time.Now().Add(-time.Hour)
	for _, name := range filesOf(t, dir, ".key") {
		require.NoError(t, os.Chtimes(name, past, past))
	}
	for n := range 10 { // used since
		require.Equal(t, 1, there(t, d, fmt.Sprint("k", n)))
	}
	for n := range 3 {
		require.NoError(t, store(d, fmt.Sprint("new", n), 0, uint64(n), 20_000))
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		size, err := d.Size(bg)
		assert.NoError(t, err)
		assert.LessOrEqual(t, size, int64(1<<20))
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
	left := onDisk(t, dir)
	assert.LessOrEqual(t, left, int64(1<<20)*9/10)
	assert.Greater(t, left, int64(1<<20)*8/10)
	d = openDisk(t, dir, httpcache.Limits{Size: 1 << 20})
	for n := range 10 {
		assert.Equal(t, 1, there(t, d, fmt.Sprint("k", n)))
	}
	for n := range 3 {
		assert.Equal(t, 1, there(t, d, fmt.Sprint("new", n)))
	}
}

// TestDiskExpiryOfVariants: of one key that is too large, what was stored first goes.
func TestDiskExpiryOfVariants(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	for n := range 10 {
		require.NoError(t, store(d, "k", byte(n), uint64(n), 100_000))
	}
	require.NoError(t, d.Close())
	d = openDisk(t, dir, httpcache.Limits{Size: 500_000})
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		size, err := d.Size(bg)
		assert.NoError(t, err)
		assert.LessOrEqual(t, size, int64(500_000))
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
	d = openDisk(t, dir, httpcache.Limits{Size: 500_000})
	list, err := d.Lookup(bg, "k")
	require.NoError(t, err)
	require.Len(t, list, 4)
	for i, e := range list {
		assert.True(t, strings.HasPrefix(string(e.Meta()), fmt.Sprint(6+i, " ")), "%s", e.Meta())
	}
	assert.Equal(t, 4, there(t, d, "k"))
	assert.Len(t, filesOf(t, dir, ".body"), 4)
}

// TestDiskOrphans: what a process has left behind between two steps is removed, and nothing
// else.
func TestDiskOrphans(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 100))
	require.NoError(t, store(d, "k", 1, 2, 100))
	key := fileOf(t, dir, ".key")
	hash := strings.TrimSuffix(key, ".key")
	other := filepath.Join(filepath.Dir(hash), filepath.Base(hash)[:30]+"ff")
	for _, name := range []string{hash + "-0123456789abcdef.body", hash + ".next", other + "-0123456789abcdef.body", other + ".next"} {
		require.NoError(t, os.WriteFile(name, content(1, 1000), 0o600))
	}
	require.NoError(t, store(d, "empty", 0, 1, 0))
	for _, name := range filesOf(t, dir, ".key") { // killed after it had replaced a body
		if name != key {
			require.NoError(t, os.WriteFile(strings.TrimSuffix(name, ".key")+"-0123456789abcdef.body", content(1, 1000), 0o600))
		}
	}
	w, err := d.Create(bg, "k2", httpcache.Variant{Size: 10})
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Write(make([]byte, 10))
	require.NoError(t, err)
	recount(t, dir)
	assert.Len(t, filesOf(t, dir, ".body"), 3)
	assert.Empty(t, filesOf(t, dir, ".next"))
	assert.Equal(t, 2, there(t, d, "k"))
	require.NoError(t, w.Commit([]byte("0 0 k2")))
}

// TestDiskModes: files are for their owner only.
func TestDiskModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 100))
	w, err := d.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Write([]byte("x"))
	require.NoError(t, err)
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		st, err := e.Info()
		require.NoError(t, err)
		if e.IsDir() {
			assert.Equal(t, fs.FileMode(0o700), st.Mode().Perm(), name)
		} else {
			assert.Equal(t, fs.FileMode(0o600), st.Mode().Perm(), name)
			files++
		}
		return nil
	}))
	assert.GreaterOrEqual(t, files, 4)
}

// TestDiskForeignLock: while another process does not give its lock back, entries can be
// read, and changes fail within a bound, as does Create when its context ends.
func TestDiskForeignLock(t *testing.T) {
	if !filelock.Supported {
		t.Skip("no locks on this system")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d, err := httpcache.OpenDisk(dir, httpcache.Limits{})
		require.NoError(t, err)
		defer d.Close()
		require.NoError(t, store(d, "k", 0, 1, 100))
		f, err := os.OpenFile(filepath.Join(filepath.Dir(fileOf(t, dir, ".key")), "lock"), os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		ok, err := filelock.Try(f)
		require.NoError(t, err)
		require.True(t, ok)
		began := time.Now()
		require.Error(t, store(d, "k", 0, 2, 100))
		assert.LessOrEqual(t, time.Since(began), 5*time.Second) // of the bubble
		require.Error(t, d.Remove(bg, "k"))
		assert.Equal(t, 1, there(t, d, "k"))
		assert.Empty(t, filesOf(t, filepath.Join(dir, "1", "new"), ""))
		f.Close()
		require.NoError(t, store(d, "k", 0, 2, 100))
	})
}

// TestDiskClosed: a Disk that is closed, or was never opened, does nothing.
func TestDiskClosed(t *testing.T) {
	closed := openDisk(t, t.TempDir(), httpcache.Limits{})
	require.NoError(t, store(closed, "k", 0, 1, 100))
	list, err := closed.Lookup(bg, "k")
	require.NoError(t, err)
	large := content(2, 100_000)
	w, err := closed.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	_, err = w.Write(large)
	require.NoError(t, err)
	whole, err := closed.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	_, err = whole.Write(large)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	require.NoError(t, closed.Close())
	require.Error(t, whole.Commit(nil))
	require.NoError(t, whole.Close())
	_, err = w.Write(large)
	require.Error(t, err)
	require.Error(t, w.Commit(nil))
	got := make([]byte, 10)
	_, err = w.ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, large[:10], got)
	require.NoError(t, w.Close())
	ok, err := check(list[0], "k")
	assert.True(t, ok)
	require.NoError(t, err)
	for name, d := range map[string]*httpcache.Disk{"closed": closed, "zero": {}} {
		_, err := d.Lookup(bg, "k")
		require.Error(t, err, name)
		_, err = d.Create(bg, "k", httpcache.Variant{})
		require.Error(t, err, name)
		if name == "closed" {
			require.Error(t, d.Update(bg, list[0], nil), name)
		}
		require.Error(t, d.Remove(bg, "k"), name)
		require.Error(t, d.RemovePrefix(bg, ""), name)
		_, err = d.Size(bg)
		require.Error(t, err, name)
		for range d.All(bg) {
			t.Error(name)
		}
		require.NoError(t, d.Close())
	}
	require.NoError(t, (*httpcache.Disk)(nil).Close())
}

// TestOpenDiskFails: a directory that cannot be made is an error.
func TestOpenDiskFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := httpcache.OpenDisk(file, httpcache.Limits{})
	require.Error(t, err)
	_, err = httpcache.OpenDisk(filepath.Join(file, "x"), httpcache.Limits{})
	require.Error(t, err)
}

// TestDiskExpiryOfBurst: what is stored while the Store counts and removes is not forgotten: in
// the end there is not more than the limit, without another change.
func TestDiskExpiryOfBurst(t *testing.T) {
	for range 10 {
		dir := t.TempDir()
		d := openDisk(t, dir, httpcache.Limits{Size: 200_000})
		var all sync.WaitGroup
		for k := range 4 {
			all.Go(func() {
				for n := range 20 {
					store(d, fmt.Sprint(k, n), 0, uint64(n), 10_000) // may be refused
				}
			})
		}
		all.Wait()
		expired(t, d, 200_000)
		assert.LessOrEqual(t, onDisk(t, dir), int64(200_000))
	}
}
