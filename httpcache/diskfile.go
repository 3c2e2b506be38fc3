package httpcache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// In the directory of a Disk there are only plain files, each with one name. What else has one
// of their names was put there by somebody else: no link is followed, and nothing is written to
// a file that has another name, too.

// errNotPlain is the error of what is not a plain file. It counts as damage.
var errNotPlain = fmt.Errorf("%w: it is not a file of its own", ErrDamaged)

// errDirectory is the error of a directory in place of a file. It may have content, and stays.
var errDirectory = errors.New("is a directory")

// openPlain opens a file for reading.
func openPlain(name string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|plainFlags, 0)
	if err != nil {
		if isPlanted(err) {
			err = errNotPlain
		}
		return nil, nil, err
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case st.IsDir():
		err = fmt.Errorf("httpcache: %s: %w", name, errDirectory)
	case !st.Mode().IsRegular():
		err = errNotPlain
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// openShared opens a file that several processes write to in place, and makes it and its
// directory if they are missing.
func openShared(name string) (*os.File, error) {
	for range 2 {
		f, err := openIn(name, os.O_RDWR|os.O_CREATE|plainFlags)
		if err == nil {
			st, statErr := f.Stat()
			if statErr == nil && st.Mode().IsRegular() && !hasOtherNames(st) {
				return f, nil
			}
			f.Close()
		} else if !isPlanted(err) {
			return nil, err
		}
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	return nil, errNotPlain
}

// createPlain makes a file that did not exist, in place of what has its name.
func createPlain(name string) (*os.File, error) {
	f, err := openIn(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) && os.Remove(name) == nil {
		f, err = openIn(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	}
	return f, err
}

// openIn opens a file, and makes its directory if that is missing.
func openIn(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist) {
		if err := makeDirOf(name); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(name, flag, fileMode)
	}
	return f, err
}

// makeDirOf makes the directory of a file.
func makeDirOf(name string) error { return os.MkdirAll(filepath.Dir(name), dirMode) }

// makeOwnDir makes a directory that nobody else may use, and reports whether there was none.
func makeOwnDir(dir string) (isNew bool, err error) {
	made := os.Mkdir(dir, dirMode)
	if made == nil {
		return true, nil
	}
	st, err := os.Lstat(dir)
	switch {
	case err != nil:
		return false, made
	case !st.IsDir():
		return false, fmt.Errorf("httpcache: %s is not a directory", dir)
	}
	return false, keepToOwner(dir, st)
}

// readKeyFile returns the file of a key, and when it was changed. The error of what cannot be
// one is ErrDamaged.
func readKeyFile(name string) (b []byte, changed time.Time, err error) {
	f, st, err := openPlain(name)
	if err != nil {
		return nil, changed, err
	}
	defer f.Close()
	if st.Size() > maxKeyFile {
		return nil, st.ModTime(), ErrDamaged
	}
	b = make([]byte, st.Size())
	n, err := io.ReadFull(f, b)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil // shorter than it was: its checksum will be wrong
	}
	return b[:n], st.ModTime(), err
}
