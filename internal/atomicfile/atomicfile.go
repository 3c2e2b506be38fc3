// Package atomicfile replaces files atomically: whatever fails in between, readers find
// either the old or the new content.
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

// newMode is the mode of a new file.
const newMode fs.FileMode = 0o600

// maxLinks bounds the chain of symbolic links, as operating systems do.
const maxLinks = 40

// staleAge is the age from which a temporary file is removed on systems without file locks.
const staleAge = time.Hour

// maxTries bounds how often create tries again after the Sweep of another process has
// removed a temporary file before it was locked.
const maxTries = 100

// Write replaces the content of the file name with what write writes. If it fails the old
// file is unchanged. The new content is synced to disk before the file gets its name.
//
// A new file is accessible for its owner only; a replaced one keeps its permissions. For a
// symbolic link the target is replaced. Anything but a regular file is refused.
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
	named := false
	defer func() { // also when write panics
		if !named {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = fill(f, old, write); err == nil {
		err = rename(f, target)
	}
	named = err == nil
	return err
}

// Create is Write for a name at which there is nothing yet: fs.ErrExist otherwise, even if it
// came while write wrote. The file system must have hard links.
func Create(name string, write func(io.Writer) error) error {
	if _, err := os.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f, err := create(name)
	if err != nil {
		return err
	}
	defer func() { // also when write panics
		f.Close()
		os.Remove(f.Name())
	}()
	if err = fill(f, nil, write); err == nil {
		err = os.Link(f.Name(), name) // unlike os.Rename it replaces nothing
	}
	return err
}

// fill writes the new file and syncs it to disk.
func fill(f *os.File, old fs.FileInfo, write func(io.Writer) error) error {
	if err := write(f); err != nil {
		return err
	}
	if old != nil {
		mode := old.Mode().Perm()
		if !keepOwner(f, old) { // do not give our group the access of another
			mode &= 0o700
		}
		f.Chmod(mode | newMode) // if this fails newMode stays
	}
	return f.Sync()
}

// Target follows symbolic links and returns the name of the file that Write replaces, which
// need not exist.
func Target(name string) (string, error) {
	for range maxLinks {
		to, err := os.Readlink(name)
		if err != nil { // not a link, or missing
			return name, nil
		}
		if !filepath.IsAbs(to) {
			// not filepath.Join, which resolves ".." without regard to links
			dir, _ := filepath.Split(name)
			to = dir + to
		}
		name = to
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errors.New("too many symbolic links")}
}

// split returns the directory of a file, with a final separator, and the prefix of its
// temporary files, whose names continue with digits and suffix.
func split(target string) (dir, prefix string) {
	dir, base := filepath.Split(target)
	if dir == "" {
		dir = "." + string(filepath.Separator)
	}
	if len(base) > maxTemporary {
		base = strings.ToValidUTF8(base[:maxTemporary], "")
	}
	return dir, "." + base + "."
}

// maxTemporary is how many bytes of a name the names of temporary files contain: they are
// longer, and may be too long where the name is not.
const maxTemporary = 200

const suffix = ".tmp"

// create makes a temporary file in the directory of target. It is locked while it is open,
// so that Sweep can distinguish it from one whose process has died.
func create(target string) (*os.File, error) {
	dir, prefix := split(target)
	for try := 1; ; try++ {
		f, err := os.CreateTemp(dir, prefix+"*"+suffix) // with mode 0600
		if err != nil {
			return nil, err
		}
		if lock(f) {
			return f, nil
		}
		f.Close()
		os.Remove(f.Name())
		if try == maxTries {
			return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: errors.New("taken by another process")}
		}
	}
}

// Sweep removes the temporary files that killed processes have left behind in Write of
// name, but no files in use. It returns the first error, which callers may ignore.
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

// isTemporary reports whether rest is the end of the name of a temporary file.
func isTemporary(rest string) bool {
	digits, ok := strings.CutSuffix(rest, suffix)
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isSame reports whether name still refers to an open file.
func isSame(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && there.Mode().IsRegular() && os.SameFile(open, there)
}
