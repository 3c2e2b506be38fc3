// Package scheme has what URLs lead to that are not HTTP: the text of a data: URL, a file of
// the operating system behind a file: URL, and a file of an fs.FS behind a URL of any scheme.
package scheme

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"
)

// Fault is the kind of a failure.
type Fault uint8

const (
	Malformed Fault = iota // not a data: URL
	BadPath                // the URL of a file names another machine, or its path is none
	Directory              // a directory, where a file is wanted
	Special                // a pipe, device or socket, where a file is wanted
	NotFound
	Denied // cannot be opened
	Broken // opened, but cannot be read or written to its end
)

// Error is the failure of an operation.
type Error struct {
	Fault Fault
	Text  string // for display to users
	Err   error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Content is what a URL leads to.
type Content struct {
	// Body ends in io.EOF only after Size bytes, where Size is known. Its errors are of type
	// *Error.
	Body     io.ReadCloser
	Size     int64     // -1 if unknown
	Type     string    // a media type, never empty
	Modified time.Time // zero if unknown
}

// sniffed is how many bytes http.DetectContentType looks at.
const sniffed = 512

// newContent makes the Content of an open file and owns it, also if it fails. label names
// the file in errors.
func newContent(f fs.File, info fs.FileInfo, label string) (*Content, error) {
	c := &Content{Size: info.Size(), Type: mime.TypeByExtension(path.Ext(info.Name())), Modified: info.ModTime()}
	body := &body{file: f, left: c.Size, label: label}
	c.Body = body
	// Some files that a system makes up when they are read, those of /proc for instance,
	// have a size of 0.
	if c.Type != "" && c.Size > 0 {
		return c, nil
	}
	first := make([]byte, sniffed)
	n, err := io.ReadFull(f, first)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		f.Close()
		return nil, body.failure(err)
	}
	body.first = first[:n]
	if c.Size == 0 && n > 0 {
		c.Size, body.left = -1, -1
	}
	if c.Type == "" {
		c.Type = http.DetectContentType(body.first)
	}
	return c, nil
}

// body reads a file of a known size: exactly that many bytes, whatever becomes of the file
// meanwhile.
type body struct {
	file  fs.File
	first []byte // read before
	left  int64  // -1 if the size is unknown
	label string
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	var n int
	var err error
	if len(b.first) > 0 {
		n = copy(p, b.first)
		b.first = b.first[n:]
	} else {
		n, err = b.file.Read(p)
	}
	switch {
	case b.left < 0:
		if err != nil && err != io.EOF {
			err = b.failure(err)
		}
		return n, err
	case n > 0:
		b.left -= int64(n)
	}
	switch {
	case b.left == 0:
		err = nil
	case err == io.EOF:
		err = b.failure(errShrunk)
	case err != nil:
		err = b.failure(err)
	}
	return n, err
}

var errShrunk = fmt.Errorf("the file has become shorter: %w", io.ErrUnexpectedEOF)

func (b *body) failure(err error) *Error {
	return &Error{Broken, "Read error reading from " + b.label + ": " + reason(err), err}
}

func (b *body) Close() error { return b.file.Close() }

// reason is the text of an error without the operation and the path of an fs.PathError,
// which Text contains.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// refuse returns an error for what is not a regular file.
func refuse(mode fs.FileMode, label string) error {
	switch {
	case mode.IsDir():
		return &Error{Directory, "Cannot open " + label + ": Path is a directory", nil}
	case !mode.IsRegular():
		return &Error{Special, "Cannot open " + label + ": Path is not a regular file", nil}
	}
	return nil
}

// notOpened is the error of a file that could not be opened.
func notOpened(err error, label string) *Error {
	fault := Denied
	// The last two are also the answer for a path that cannot exist.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		fault = NotFound
	}
	return &Error{fault, "Error opening " + label + ": " + reason(err), err}
}

// localPath is the path of a URL that has no host or names this machine, without its percent
// escapes; "/" for an empty one.
func localPath(u *url.URL) (string, error) {
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return "", &Error{BadPath, "Request for opening non-local file " + u.Redacted(), errors.New("the host must be empty, as in " + u.Scheme + ":///path")}
	}
	p := u.Path
	if u.Opaque != "" {
		p = unescaped(u.Opaque)
	}
	if strings.IndexByte(p, 0) >= 0 {
		return "", &Error{BadPath, "Cannot open " + u.Redacted() + ": Path contains a NUL byte", nil}
	}
	if p == "" {
		p = "/"
	}
	return p, nil
}

// unescaped resolves percent escapes. What only looks like one stays as it is.
func unescaped(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return string(appendUnescaped(make([]byte, 0, len(s)), s))
}

func appendUnescaped(to []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := hexDigit[s[i+1]], hexDigit[s[i+2]]
			if high > 0 && low > 0 {
				to = append(to, (high-1)<<4|(low-1))
				i += 2
				continue
			}
		}
		to = append(to, s[i])
	}
	return to
}

// hexDigit is the value of a hexadecimal digit plus one, 0 for other bytes.
var hexDigit = func() (t [256]byte) {
	for i := range byte(16) {
		t["0123456789abcdef"[i]], t["0123456789ABCDEF"[i]] = i+1, i+1
	}
	return t
}()
