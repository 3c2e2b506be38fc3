//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
	"time"
)

// lock does nothing: Windows does not remove open files, and elsewhere Sweep goes by the
// age of a file.
func lock(*os.File) bool { return true }

// rename gives a file its final name. Windows cannot rename open files.
func rename(f *os.File, target string) error {
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

func removeStale(name string) error {
	st, err := os.Lstat(name)
	if err != nil || !st.Mode().IsRegular() || time.Since(st.ModTime()) < staleAge {
		return err
	}
	return os.Remove(name)
}

func keepOwner(*os.File, fs.FileInfo) bool { return true }
