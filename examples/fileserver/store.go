package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// unfinished begins the names of files that are being uploaded.
const unfinished = ".fileserver-upload-"

// store is the folder of the files. Nothing outside of it can be reached.
type store struct {
	root *os.Root
	// changes is held from the check of a condition to the change that depends on it: two
	// calls of the local file system, and no transfer.
	changes sync.Mutex
}

// openStore opens a folder, which no other server may use, and removes what uploads to an
// earlier one have left there.
func openStore(dir string) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	left, err := fs.Glob(root.FS(), unfinished+"*")
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		if err := root.Remove(name); err != nil {
			return nil, err
		}
	}
	return &store{root: root}, nil
}

func (s *store) Close() error { return s.root.Close() }

// wrongName is why a name cannot be that of a file here, "" if it can.
func wrongName(name string) (why string) {
	switch {
	case name == "":
		return "The name of the file is empty."
	case strings.HasPrefix(name, "."):
		return "The name of the file begins with a dot. Such files are hidden, and not taken."
	case len(name) > 255:
		return "The name of the file is too long: 255 bytes are allowed."
	case !utf8.ValidString(name), strings.ContainsFunc(name, hidden):
		return "The name of the file has characters that do not show as what they are."
	case strings.ContainsAny(name, `/\:`), !filepath.IsLocal(name):
		return `The name of the file has one of / \ : in it, or is reserved.`
	}
	return ""
}

// hidden tells which characters are not shown, or turn those behind them round, so that a
// name looks like another.
func hidden(c rune) bool {
	return unicode.IsControl(c) || c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069'
}

type entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Tag      string    `json:"tag"`
}

// tag is the ETag of a version of a file.
func tag(st fs.FileInfo) string { return fmt.Sprintf(`"%x-%x"`, st.Size(), st.ModTime().UnixNano()) }

func (s *store) list() ([]entry, error) {
	dir, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	files := []entry{}
	for _, f := range dir {
		if st, err := f.Info(); err == nil && st.Mode().IsRegular() && wrongName(f.Name()) == "" {
			files = append(files, entry{f.Name(), st.Size(), st.ModTime(), tag(st)})
		}
	}
	return files, nil
}

// open opens a regular file; others, and links, are not there.
func (s *store) open(name string) (*os.File, fs.FileInfo, error) {
	if st, err := s.root.Lstat(name); err != nil {
		return nil, nil, err
	} else if !st.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// condition is what a request wants to find under the name that it changes.
type condition struct {
	nothing bool   // If-None-Match: *
	version string // If-Match; "" for anything
}

func conditionOf(r *http.Request) condition {
	return condition{r.Header.Get("If-None-Match") == "*", r.Header.Get("If-Match")}
}

var errCondition = errors.New("another version of the file is there")

// check compares a condition with what is there, and reports whether something is.
func (s *store) check(name string, c condition) (there bool, err error) {
	st, err := s.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if c.version != "" {
			return false, errCondition
		}
		return false, nil
	case err != nil:
		return false, err
	case !st.Mode().IsRegular():
		return true, errors.New("not a file")
	case c.nothing, c.version != "" && c.version != "*" && c.version != tag(st):
		return true, errCondition
	}
	return true, nil
}

// put gives a name to what a reader has, when all of it is on the disk, in place of the file
// that there may be. When reading or the condition fails, nothing is changed and nothing
// stays.
func (s *store) put(name string, c condition, from io.Reader) (replaced bool, err error) {
	temp := unfinished + rand.Text()
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return false, err
	}
	defer s.root.Remove(temp) // fails after the renaming
	if _, err = io.Copy(f, from); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return false, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if replaced, err = s.check(name, c); err != nil {
		return replaced, err
	}
	return replaced, s.root.Rename(temp, name)
}

func (s *store) remove(name string, c condition) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	there, err := s.check(name, c)
	if err != nil {
		return err
	}
	if !there {
		return fs.ErrNotExist
	}
	return s.root.Remove(name)
}
