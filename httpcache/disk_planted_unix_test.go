//go:build unix

package httpcache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// TestDiskPlanted: what somebody has put into the directory under the name of a file of the
// Disk is not followed, not waited for and not changed, and the Disk goes on without it.
func TestDiskPlanted(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	valuable := content(7, 1000)
	plants := map[string]func(name string) error{
		"symbolic link": func(name string) error { return os.Symlink(victim, name) },
		"dangling link": func(name string) error { return os.Symlink(victim+"2", name) },
		"hard link":     func(name string) error { return os.Link(victim, name) },
		"named pipe":    func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"socket": func(name string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			here, err := os.Getwd() // the name may be too long for an address
			if err != nil {
				return err
			}
			defer os.Chdir(here)
			if err := os.Chdir(filepath.Dir(name)); err != nil {
				return err
			}
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Base(name)})
		},
	}
	for _, suffix := range []string{".key", ".next", ".body", "lock", "size", "counted", "expiry", "new"} {
		for kind, plant := range plants {
			t.Run(suffix+" "+kind, func(t *testing.T) {
				require.NoError(t, os.WriteFile(victim, valuable, 0o640))
				long := time.Now().Add(-time.Hour).Truncate(time.Second)
				require.NoError(t, os.Chtimes(victim, long, long))
				dir := t.TempDir()
				d := openDisk(t, dir, httpcache.Limits{})
				require.NoError(t, store(d, "k", 0, 1, 1000))
				key := fileOf(t, dir, ".key")
				name := map[string]string{
					".key": key, ".next": strings.TrimSuffix(key, ".key") + ".next", ".body": fileOf(t, dir, ".body"),
					"lock": filepath.Join(filepath.Dir(key), "lock"), "size": filepath.Join(dir, "1", "size"),
					"counted": filepath.Join(dir, "1", "counted"), "expiry": filepath.Join(dir, "1", "expiry"),
					"new": filepath.Join(dir, "1", "new", filepath.Base(strings.TrimSuffix(key, ".key"))+"-0123456789abcdef.body"),
				}[suffix]
				if err := os.Remove(name); err != nil {
					require.ErrorIs(t, err, os.ErrNotExist)
				}
				require.NoError(t, plant(name))

				there(t, d, "k")
				require.NoError(t, store(d, "k", 0, 2, 70_000))
				assert.Equal(t, 1, there(t, d, "k"))
				again := openDisk(t, dir, httpcache.Limits{Size: 100_000})
				for n := range 5 { // too much: everything is counted
					require.NoError(t, store(again, fmt.Sprint("k", n), 0, uint64(n), 30_000))
				}
				require.EventuallyWithT(t, func(t *assert.CollectT) {
					size, err := again.Size(bg)
					assert.NoError(t, err)
					assert.LessOrEqual(t, size, int64(100_000))
				}, 20*time.Second, time.Millisecond)
				require.NoError(t, again.RemovePrefix(bg, ""))
				require.NoError(t, again.Close())

				got, err := os.ReadFile(victim)
				require.NoError(t, err)
				assert.Equal(t, valuable, got)
				st, err := os.Stat(victim)
				require.NoError(t, err)
				assert.Equal(t, os.FileMode(0o640), st.Mode())
				assert.Equal(t, long, st.ModTime())
				assert.NoFileExists(t, victim+"2")
			})
		}
	}
}

// TestDiskOpenDirectory: others cannot get into the directory, although it was there with other
// modes; what is no directory is an error.
func TestDiskOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "1"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(dir, "1"), 0o777))
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "k", 0, 1, 100))
	st, err := os.Stat(filepath.Join(dir, "1"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	linked := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(dir, "1"), filepath.Join(linked, "1")))
	_, err = httpcache.OpenDisk(linked, httpcache.Limits{})
	require.ErrorContains(t, err, "not a directory")

	through := filepath.Join(t.TempDir(), "link") // of the program, which may choose another disk
	require.NoError(t, os.Symlink(dir, through))
	assert.Equal(t, 1, there(t, openDisk(t, through, httpcache.Limits{}), "k"))
}

// TestDiskForeignDirectory: a directory of somebody else into which all may write is an error.
func TestDiskForeignDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process of another user")
	}
	dir := t.TempDir()
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) { // the other user must get there
		if st, err := os.Stat(d); err == nil && st.Mode().Perm()&0o001 == 0 {
			require.NoError(t, os.Chmod(d, st.Mode()|0o001))
		}
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "1"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(dir, "1"), 0o777))
	require.NoError(t, os.Chmod(dir, 0o777))
	assert.Contains(t, asNobody(t, "open", dir), "operation not permitted")
}
