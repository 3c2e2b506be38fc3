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

// claim locks a temporary file that was made just now; false when a Sweep was faster.
// Where the file system has no locks there is no Sweep by them either.
func claim(f *os.File) bool {
	ok, err := filelock.Try(f)
	return (ok || err != nil) && isSame(f, f.Name())
}

// rename gives a file its final name, and lets go of it only then.
func rename(f *os.File, target string) error {
	defer f.Close()
	return os.Rename(f.Name(), target)
}

// removeStale removes a temporary file when nobody has it locked.
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
	if !ok || !isSame(f, name) { // written at the moment, or has its final name by now
		return nil
	}
	return os.Remove(name)
}

// keepOwner gives a new file the owner and group of the old one.
func keepOwner(f *os.File, old fs.FileInfo) bool {
	st, ok := old.Sys().(*syscall.Stat_t)
	return ok && f.Chown(int(st.Uid), int(st.Gid)) == nil
}
