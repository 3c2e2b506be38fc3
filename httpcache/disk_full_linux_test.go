package httpcache_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

func init() { children["limited"] = writeLimited }

const fileLimit = 100_000

// writeLimited writes to a Disk whose files the system lets grow to fileLimit only.
func writeLimited(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fileLimit, Max: fileLimit})
	d, openErr := httpcache.OpenDisk(dir, httpcache.Limits{})
	fmt.Println(err, openErr)
	for n, size := range []int{1000, fileLimit - 4, fileLimit - 3, fileLimit, fileLimit + 1, 300_000} { // a table of 8 bytes follows
		fmt.Println(store(d, fmt.Sprint("k", n), 0, uint64(n), size) == nil)
	}
	w, err := d.Create(bg, "k0", httpcache.Variant{Size: 0}) // metadata that are too large
	if err == nil {
		err = w.Commit(make([]byte, 2*fileLimit))
		w.Close()
	}
	fmt.Println(err == nil)
	list, _ := d.Lookup(bg, "k0")
	for _, e := range list {
		fmt.Println(d.Update(bg, e, make([]byte, 2*fileLimit)) == nil)
	}
	d.Close()
}

// TestDiskFileLimit: a file that cannot be written to its end leaves nothing behind.
func TestDiskFileLimit(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"=limited", childDir+"="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "<nil> <nil>\ntrue\nfalse\nfalse\nfalse\nfalse\nfalse\nfalse\nfalse\n", string(out))
	d := openDisk(t, dir, httpcache.Limits{})
	assert.Equal(t, 1, there(t, d, "k0"))
	for n := 1; n < 6; n++ {
		assert.Zero(t, there(t, d, fmt.Sprint("k", n)))
	}
	assert.Len(t, filesOf(t, dir, ".body"), 1)
	assert.Empty(t, filesOf(t, dir, ".next"))
	size, err := d.Size(bg)
	require.NoError(t, err)
	assert.Equal(t, onDisk(t, dir), size)
}

// TestDiskFull: on a file system that is full, what is there stays readable, and what is new
// is whole or not there.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("cache", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skip("a file system can only be mounted with the rights to do so: ", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, 0)) })
	d := openDisk(t, dir, httpcache.Limits{})
	stored, refused := 0, 0
	for n := range 200 {
		size := 1 + n*197%30_000
		if store(d, fmt.Sprint("k", n), 0, uint64(n), size) == nil {
			stored++
			require.Equal(t, 1, there(t, d, fmt.Sprint("k", n)))
		} else {
			refused++
			require.Zero(t, there(t, d, fmt.Sprint("k", n)))
		}
	}
	require.Positive(t, stored)
	require.Positive(t, refused)
	found := 0
	for n := range 200 {
		found += there(t, d, fmt.Sprint("k", n))
	}
	assert.Equal(t, stored, found)
	for n := range 100 { // an update is whole or has not happened
		list, err := d.Lookup(bg, fmt.Sprint("k", n))
		require.NoError(t, err)
		for _, e := range list {
			d.Update(bg, e, append(append([]byte{}, e.Meta()...), bytes.Repeat([]byte(" "), 5000)...))
		}
	}
	found = 0
	for n := range 200 {
		found += there(t, d, fmt.Sprint("k", n))
	}
	assert.Equal(t, stored, found)
	require.NoError(t, d.RemovePrefix(bg, ""))
	require.NoError(t, store(d, "k", 0, 1, 300_000))
	assert.Equal(t, 1, there(t, d, "k"))
	require.NoError(t, d.Close())
}
