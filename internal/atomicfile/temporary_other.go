//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
	"time"
)

// claim has nothing to do: Windows removes no file that is open, and elsewhere only the
// age of a file tells.
func claim(*os.File) bool { return true }

// rename gives a file its final name. Windows renames no file that is open.
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
