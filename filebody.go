package netreply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/netreply/netreply/internal/flow"
)

// FileBody sends the file with this name. It is opened when the reply starts, and each time
// the body is sent, and has a known length, unless the system tells none, as for files in
// /proc: then it is sent chunked. The Content-Type is that of the file name's
// extension or, where that is unknown, what the first 512 bytes look like (see
// http.DetectContentType), unless the request has one.
//
// A name that cannot be opened fails the reply with ProtocolInvalidOperationError, which
// wraps the *fs.PathError; so does anything but a regular file: use ReaderBody for a pipe or
// a device. A file whose size changes before it has been sent completely fails the reply with
// UnknownNetworkError (rule E24), and the server does not get its last bytes.
func FileBody(name string) Body { return fileBody(name) }

type fileBody string

func (b fileBody) prepare(context.Context, bool) (*flow.Payload, error) {
	f, size, err := openRegular(string(b))
	if err != nil {
		return nil, localError(ProtocolInvalidOperationError, "Invalid body",
			fmt.Errorf("%w: %w", &FieldError{Field: "body", Reason: "the file cannot be sent"}, err))
	}
	defer f.Close()
	if size == 0 && !isEmpty(f, 0) {
		size = -1
	}
	p := &flow.Payload{Size: size, Rewindable: true, Owned: true, Blocks: size < 0, MIME: typeOfName(string(b))}
	if p.MIME == "" {
		var start [sniffLength]byte
		n, err := io.ReadFull(f, start[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, bodyFailure("reading the body", err)
		}
		p.MIME = sniffedType(start[:n])
	}
	p.Open = func() (io.Reader, error) {
		f, now, err := openRegular(string(b))
		if err != nil {
			return nil, err
		}
		if size < 0 {
			return f, nil
		}
		if now != size {
			f.Close()
			return nil, &fileSizeError{string(b), size, now}
		}
		return &sentFile{f, size, size}, nil
	}
	return p, nil
}

// isEmpty reports whether a file ends at an offset. Some files that a system makes up when
// they are read, those of /proc for instance, have a size of 0 and content.
func isEmpty(f io.ReaderAt, offset int64) bool {
	n, _ := f.ReadAt(make([]byte, 1), offset)
	return n == 0
}

// openRegular opens a regular file and returns its size. It does not open anything else,
// since that may block.
func openRegular(name string) (*os.File, int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &os.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

var errNotRegular = errors.New("not a regular file")

// sentFile reads a file of a known size. Its last bytes are held back if the size has
// changed.
type sentFile struct {
	*os.File
	size, remaining int64
}

func (f *sentFile) Read(p []byte) (int, error) {
	if f.remaining == 0 {
		return 0, io.EOF
	}
	n, err := f.File.Read(p[:min(int64(len(p)), f.remaining)])
	f.remaining -= int64(n)
	switch {
	case err == io.EOF && f.remaining > 0:
		return 0, &fileSizeError{f.Name(), f.size, f.size - f.remaining}
	case f.remaining == 0:
		if info, err := f.Stat(); err != nil {
			return 0, err
		} else if info.Size() != f.size {
			return 0, &fileSizeError{f.Name(), f.size, info.Size()}
		}
	}
	return n, err
}

// fileSizeError is the error of a file that changes while it is sent.
type fileSizeError struct {
	name      string
	want, now int64
}

func (e *fileSizeError) Error() string {
	return fmt.Sprintf("the file %q has changed before it was sent completely: it had %d bytes when the reply started, and now has %d", e.name, e.want, e.now)
}

// sniffLength is how many bytes http.DetectContentType looks at.
const sniffLength = 512

// unknownType is the media type of unknown content.
const unknownType = "application/octet-stream"

// typeOfName is the media type of a file name's extension, "" for an unknown one.
func typeOfName(name string) string { return withoutGuess(mime.TypeByExtension(filepath.Ext(name))) }

// sniffedType is the media type that the first bytes of content look like.
func sniffedType(start []byte) string { return withoutGuess(http.DetectContentType(start)) }

// withoutGuess removes a charset that packages mime and http assume: text may have another.
func withoutGuess(mediaType string) string {
	return strings.TrimSuffix(mediaType, "; charset=utf-8")
}
