//go:build unix

package httpcache_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

func init() {
	children["open"] = func(dir string) {
		_, err := httpcache.OpenDisk(dir, httpcache.Limits{})
		fmt.Println(err)
	}
	children["read only"] = readOnly
}

// nobody is a user without rights.
const nobody = 65534

// asNobody runs a child as nobody, and returns what it prints.
func asNobody(t testing.TB, what, dir string) string {
	exe := filepath.Join(t.TempDir(), "test") // where nobody can execute it
	b, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(exe, b, 0o755))
	for d := filepath.Dir(exe); d != filepath.Dir(d); d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil && st.Mode().Perm()&0o001 == 0 {
			require.NoError(t, os.Chmod(d, st.Mode()|0o001))
		}
	}
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), child+"="+what, childDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// readOnly uses a Disk in a directory that cannot be written to.
func readOnly(dir string) {
	d, err := httpcache.OpenDisk(dir, httpcache.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"k0", "k1", "missing"} {
		list, err := d.Lookup(bg, key)
		fmt.Println(key, len(list), err)
		for _, e := range list {
			fmt.Println(check(e, key))
		}
	}
	list, _ := d.Lookup(bg, "k0")
	fmt.Println(store(d, "k0", 0, 9, 100) != nil, store(d, "empty", 0, 9, 0) != nil, d.Update(bg, list[0], nil) != nil, d.Remove(bg, "k0") != nil)
	fmt.Println(d.Remove(bg, "missing"), d.Close())
}

// TestDiskReadOnly: from a directory that cannot be written to entries can be read.
func TestDiskReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process of another user")
	}
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k0", 0, 1, 100))
	require.NoError(t, store(d, "k1", 0, 2, 300_000))
	require.NoError(t, d.Close())
	var dirs []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if e.IsDir() {
			dirs = append(dirs, name)
		}
		return os.Lchown(name, nobody, nobody)
	}))
	for _, name := range dirs {
		require.NoError(t, os.Chmod(name, 0o500))
	}
	for _, name := range filesOf(t, dir, "lock") { // else what is there could be replaced
		require.NoError(t, os.Chmod(name, 0o400))
	}
	for d := filepath.Dir(dir); d != filepath.Dir(d); d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil && st.Mode().Perm()&0o001 == 0 {
			require.NoError(t, os.Chmod(d, st.Mode()|0o001))
		}
	}
	assert.Equal(t, "k0 1 <nil>\ntrue <nil>\nk1 1 <nil>\ntrue <nil>\nmissing 0 <nil>\ntrue true true true\n<nil> <nil>\n", asNobody(t, "read only", dir))
}

// TestDiskRemovedDirectory: when the directory is removed its entries are gone, and new ones
// can be stored; bodies that are open stay readable.
func TestDiskRemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 300_000))
	list, err := d.Lookup(bg, "k")
	require.NoError(t, err)
	open, err := list[0].Open(bg)
	require.NoError(t, err)
	defer open.Close()
	half, err := d.Create(bg, "half", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	defer half.Close()
	_, err = half.Write(content(3, 100_000))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))

	got := make([]byte, 300_000)
	_, err = open.ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, content(1, 300_000), got)
	_, err = half.ReadAt(got[:100], 0)
	require.NoError(t, err)
	require.Error(t, half.Commit([]byte("3 100000 half")))
	assert.Zero(t, there(t, d, "half"))
	assert.Zero(t, there(t, d, "k"))
	_, err = list[0].Open(bg)
	require.Error(t, err)
	require.NoError(t, d.Update(bg, list[0], nil))
	require.NoError(t, d.Remove(bg, "k"))
	require.NoError(t, d.RemovePrefix(bg, ""))
	require.NoError(t, store(d, "k", 0, 4, 100_000))
	assert.Equal(t, 1, there(t, d, "k"))
	st, err := os.Stat(filepath.Join(dir, "1"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	// and now there is a file in its place
	require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 20*time.Second, time.Millisecond, "what is there is being counted")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err = d.Lookup(bg, "k")
	require.Error(t, err)
	require.Error(t, store(d, "k", 0, 5, 100))
}

// TestDiskLongPath: a directory whose files would have names that are too long is none in which
// something is found, or an error.
func TestDiskLongPath(t *testing.T) {
	base := t.TempDir()
	for _, length := range []int{3900, 4030, 4050, 4080, 5000} {
		dir := base
		for len(dir) < length {
			dir = filepath.Join(dir, longName(min(200, length-len(dir))))
		}
		d, err := httpcache.OpenDisk(dir, httpcache.Limits{})
		if err != nil {
			continue
		}
		if store(d, "k", 0, 1, 1000) == nil {
			assert.Equal(t, 1, there(t, d, "k"))
		} else {
			list, _ := d.Lookup(bg, "k")
			assert.Empty(t, list)
		}
		require.NoError(t, d.Close())
	}
	_, err := httpcache.OpenDisk(filepath.Join(base, longName(300)), httpcache.Limits{})
	require.Error(t, err)
}

func longName(n int) string {
	b := make([]byte, max(1, n))
	for i := range b {
		b[i] = 'd'
	}
	return string(b)
}
