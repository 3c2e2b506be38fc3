//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/netreply/netreply/internal/filelock"
)

// lock locks a new temporary file; false if a Sweep has removed it. On file systems
// without locks Sweep goes by the age of a file.
func lock(f *os.File) bool {
	ok, err := filelock.Try(f)
	return (ok || err != nil) && isSame(f, f.Name())
}

// rename gives a file its final name, and then closes it, which releases the lock.
func rename(f *os.File, target string) error {
	defer f.Close()
	return os.Rename(f.Name(), target)
}

// removeStale removes a temporary file unless a process has locked it.
func removeStale(name string) error {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) { // a symbolic link
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	ok, err := filelock.Try(f)
	if err != nil {
		st, statErr := f.Stat()
		ok = statErr == nil && time.Since(st.ModTime()) > staleAge
	}
	if !ok || !isSame(f, name) { // being written, or renamed meanwhile
		return nil
	}
	return os.Remove(name)
}

// keepOwner sets owner and group of a new file to those of the old one.
func keepOwner(f *os.File, old fs.FileInfo) bool {
	st, ok := old.Sys().(*syscall.Stat_t)
	return ok && f.Chown(int(st.Uid), int(st.Gid)) == nil
}
