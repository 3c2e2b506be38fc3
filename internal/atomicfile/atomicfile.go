// Package atomicfile replaces files so that, whatever happens in the middle,
// readers find the old content or the new one.
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// newMode is the mode of a new file: for its owner only.
const newMode fs.FileMode = 0o600

// maxLinks bounds how many symbolic links are followed from one name, as systems do.
const maxLinks = 40

// staleAge is when a temporary file is taken for stale where no lock tells.
const staleAge = time.Hour

// maxTries bounds how often a temporary file is made again that a Sweep of another
// process took in the moment between its making and its lock.
const maxTries = 10

// Write replaces the file name by what write writes. When it fails the old file is as
// it was. The new one is on the disk before it takes the name.
//
// A new file is for its owner only, one that is replaced keeps its permissions. What a
// symbolic link points to is replaced, and not the link. Anything but a regular file is
// refused.
func Write(name string, write func(io.Writer) error) error {
	target, err := Target(name)
	if err != nil {
		return err
	}
	old, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return &fs.PathError{Op: "replace", Path: target, Err: errors.New("not a regular file")}
	}
	f, err := create(target)
	if err != nil {
		return err
	}
	if err = fill(f, old, write); err == nil {
		err = rename(f, target)
	} else {
		f.Close()
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// fill writes the new file and brings it to the disk.
func fill(f *os.File, old fs.FileInfo, write func(io.Writer) error) error {
	if err := write(f); err != nil {
		return err
	}
	if old != nil {
		mode := old.Mode().Perm()
		if !keepOwner(f, old) { // what was for another group is not for ours
			mode &= 0o700
		}
		f.Chmod(mode | newMode) // where this is impossible newMode stays
	}
	return f.Sync()
}

// Target follows the symbolic links of a name: the name of the file that Write replaces,
// which need not be there.
func Target(name string) (string, error) {
	for range maxLinks {
		to, err := os.Readlink(name)
		if err != nil { // no link, or nothing at all
			return name, nil
		}
		if !filepath.IsAbs(to) {
			// not filepath.Join, which takes ".." away without a look at links
			dir, _ := filepath.Split(name)
			to = dir + to
		}
		name = to
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errors.New("too many symbolic links")}
}

// split gives the folder of a file, with a separator at its end, and what the names of
// its temporary files begin with. Between that and suffix stand digits.
func split(target string) (dir, prefix string) {
	dir, base := filepath.Split(target)
	if dir == "" {
		dir = "." + string(filepath.Separator)
	}
	return dir, "." + base + "."
}

const suffix = ".tmp"

// create makes a temporary file beside target, locked for as long as it is open, so
// that Sweep can tell it from one whose process has died.
func create(target string) (*os.File, error) {
	dir, prefix := split(target)
	for try := 1; ; try++ {
		f, err := os.CreateTemp(dir, prefix+"*"+suffix) // of mode 0600
		if err != nil {
			return nil, err
		}
		if claim(f) {
			return f, nil
		}
		f.Close()
		os.Remove(f.Name())
		if try == maxTries {
			return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: errors.New("taken by another process")}
		}
	}
}

// Sweep removes the temporary files that writings of name have left behind whose
// process was killed, and nothing of those that live. It returns the first error, which
// a caller that only tidies up may ignore.
func Sweep(name string) error {
	target, err := Target(name)
	if err != nil {
		return err
	}
	dir, prefix := split(target)
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, readErr := d.Readdirnames(256)
		for _, n := range names {
			if between, ok := strings.CutPrefix(n, prefix); !ok || !isTemporary(between) {
				continue
			}
			if removeErr := removeStale(dir + n); err == nil && !errors.Is(removeErr, fs.ErrNotExist) {
				err = removeErr
			}
		}
		switch {
		case readErr == io.EOF:
			return err
		case readErr != nil:
			return readErr
		}
	}
}

// isTemporary tells whether the rest of a name is one that create gives.
func isTemporary(rest string) bool {
	digits, ok := strings.CutSuffix(rest, suffix)
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isSame tells whether a name is still that of an open file.
func isSame(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && there.Mode().IsRegular() && os.SameFile(open, there)
}
