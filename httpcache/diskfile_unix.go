//go:build unix

package httpcache

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// plainFlags: a symbolic link is an error that isPlanted knows, and a named pipe does not block.
const plainFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// isPlanted reports whether opening has failed because of a symbolic link, or of something else
// that a Disk does not make.
func isPlanted(err error) bool {
	return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENXIO)
}

// hasOtherNames reports whether a file is also another one's.
func hasOtherNames(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Nlink > 1
}

// keepToOwner makes a directory accessible for its owner only. On file systems without modes it
// must at least be ours.
func keepToOwner(dir string, st fs.FileInfo) error {
	if st.Mode().Perm()&^dirMode == 0 {
		return nil
	}
	err := os.Chmod(dir, dirMode)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return err
}
