package scheme

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Files are the files that file: URLs lead to: those below Root, or without one all of the
// machine. Only regular files are opened. Pipes and devices, whose opening could block or do
// something, are recognised before that, and what takes the place of a file in between is
// opened without blocking and found out then.
type Files struct {
	Root *os.Root
}

// Open opens the file of a URL for reading.
func (l Files) Open(u *url.URL) (*Content, error) {
	name, err := l.name(u)
	if err != nil {
		return nil, err
	}
	info, err := l.stat(name)
	if err != nil {
		return nil, notOpened(err, l.label(name))
	}
	if err := refuse(info.Mode(), u.Redacted()); err != nil {
		return nil, err
	}
	f, err := l.open(name, os.O_RDONLY)
	if err != nil {
		return nil, notOpened(err, l.label(name))
	}
	info, err = f.Stat()
	if err == nil {
		err = refuse(info.Mode(), u.Redacted())
	} else {
		err = notOpened(err, l.label(name))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return newContent(f, info, u.Redacted())
}

// Create opens the file of a URL for writing, and creates it if it is missing. It loses its
// content with the first Write or with Close.
func (l Files) Create(u *url.URL) (*File, error) {
	name, err := l.name(u)
	if err != nil {
		return nil, err
	}
	label := u.Redacted()
	if strings.HasSuffix(name, "/") || name == "." {
		return nil, notCreated(errIsDirectory, label)
	}
	if info, err := l.stat(name); err == nil {
		if err := refuseWriting(info.Mode(), label); err != nil {
			return nil, err
		}
	}
	f, err := l.open(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return nil, notCreated(err, label)
	}
	info, err := f.Stat() // it could be something else by now
	if err == nil {
		err = refuseWriting(info.Mode(), label)
	} else {
		err = notCreated(err, label)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{f: f, label: label}, nil
}

var (
	errIsDirectory = errors.New("is a directory")
	errNotRegular  = errors.New("is not a regular file")
)

// refuseWriting is refuse for files that are written to.
func refuseWriting(mode fs.FileMode, label string) error {
	switch {
	case mode.IsDir():
		return notCreated(errIsDirectory, label)
	case !mode.IsRegular():
		return notCreated(errNotRegular, label)
	}
	return nil
}

// notCreated is the error of a file that cannot be opened for writing, whatever the reason
// (rule F7).
func notCreated(err error, label string) *Error {
	return &Error{Denied, "Error opening " + label + ": " + reason(err), err}
}

// File is a file that is written to. Its errors are of type *Error.
type File struct {
	f       *os.File
	label   string
	emptied bool
}

func (f *File) Write(p []byte) (int, error) {
	if err := f.empty(); err != nil {
		return 0, err
	}
	n, err := f.f.Write(p)
	return n, f.failure(err)
}

// empty removes the old content, once.
func (f *File) empty() error {
	if f.emptied {
		return nil
	}
	f.emptied = true
	return f.failure(f.f.Truncate(0))
}

// Close ends the file behind what was written. Its error means that the file may lack some
// of that.
func (f *File) Close() error {
	err := f.empty()
	if closing := f.failure(f.f.Close()); err == nil {
		err = closing
	}
	return err
}

// Abandon closes the file as it is: with its old content, if nothing was written.
func (f *File) Abandon() { f.f.Close() }

func (f *File) failure(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Broken, "Write error writing to " + f.label + ": " + reason(err), err}
}

// name is the name by which the file of a URL is opened, with slashes.
func (l Files) name(u *url.URL) (string, error) {
	p, err := localPath(u)
	if err != nil {
		return "", err
	}
	name, ok := fileName(p, runtime.GOOS == "windows", l.Root != nil)
	if !ok {
		return "", &Error{BadPath, "Request for opening non-local file " + u.Redacted(), errors.New("not an absolute path of this machine")}
	}
	return name, nil
}

// fileName is the name by which a file is opened, of the path of its URL: an absolute one,
// or below a root a relative one. Dot segments are removed as in any URL (RFC 3986, section
// 5.2.4), in a root never beyond "/". For Windows the path begins with a drive, unless there
// is a root, and has no backslash, which would separate names there: no path leads to another
// machine or into the namespace of devices. A slash at the end stays: it means a directory.
func fileName(p string, windows, below bool) (name string, ok bool) {
	if p[0] != '/' {
		return "", false
	}
	directory := p != "/" && strings.HasSuffix(p, "/")
	name = path.Clean(p)
	switch {
	case windows && strings.Contains(name, `\`):
		return "", false
	case below:
		name = name[1:]
		if windows && strings.Contains(name, ":") {
			return "", false
		}
		if name == "" {
			return ".", true
		}
	case windows:
		name = name[1:]
		if name == "" {
			return "/", true
		}
		if len(name) < 2 || name[1] != ':' || !isLetter(name[0]) || len(name) > 2 && name[2] != '/' ||
			strings.Contains(name[2:], ":") {
			return "", false
		}
		if len(name) == 2 { // without the slash it is the current folder of the drive
			return name + "/", true
		}
	}
	if directory && name != "/" {
		name += "/"
	}
	return name, true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// label is a file in the text of an error.
func (l Files) label(name string) string {
	if l.Root != nil {
		return "/" + name
	}
	return name
}

func (l Files) stat(name string) (os.FileInfo, error) {
	if l.Root != nil {
		return l.Root.Stat(filepath.FromSlash(name))
	}
	return os.Stat(filepath.FromSlash(name))
}

func (l Files) open(name string, flag int) (*os.File, error) {
	if l.Root != nil {
		return l.Root.OpenFile(filepath.FromSlash(name), flag|withoutBlocking, 0o666)
	}
	return OpenFile(filepath.FromSlash(name), flag)
}

// OpenFile is os.OpenFile for the permissions 0666. It does not wait for the other end of a
// pipe.
func OpenFile(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag|withoutBlocking, 0o666)
}
