package httpserver

import (
	"io"
	"mime"
	"net/http"

	"github.com/netreply/netreply/internal/atomicfile"
	"github.com/netreply/netreply/internal/filename"
)

// UploadConfig bounds what ReadForm and BodyUpload take. A limit of 0 is the one given
// below, one below 0 is none; those of a Server hold besides.
type UploadConfig struct {
	// MaxSize is the largest body in bytes; 32 MiB.
	MaxSize int64
	// MaxFileSize is the largest file in bytes; as MaxSize.
	MaxFileSize int64
	// MaxFieldSize is the largest name and the largest value in bytes of a field of a form
	// that is no file; 64 KiB. Fields are kept in memory.
	MaxFieldSize int64
	// MaxParts is how many fields and files a form may have together; 128.
	MaxParts int
	// Progress, if it is not nil, is told how many bytes of the body have come, and of how
	// many, -1 if that is not known: for each piece that is read, by who reads it, which waits
	// for it. Pieces have some KiB, up to 32 with SaveAs and SaveNew: what shows the progress
	// need not look at every one.
	Progress func(done, total int64)
}

const (
	maxUploadSize = 32 << 20
	maxFieldSize  = 64 << 10
	maxParts      = 128
)

// withDefaults fills in what is not set.
func (c UploadConfig) withDefaults() UploadConfig {
	c.MaxSize = limitOr(c.MaxSize, maxUploadSize)
	c.MaxFileSize = limitOr(c.MaxFileSize, c.MaxSize)
	c.MaxFieldSize = limitOr(c.MaxFieldSize, maxFieldSize)
	c.MaxParts = int(limitOr(int64(c.MaxParts), maxParts))
	return c
}

// Upload is a file that a client sends. It is read as it comes, by one goroutine, and is
// gone when its request's handler, or ReadForm's function, has returned.
type Upload struct {
	Field       string // the name of the form's field, "" for a body
	Name        string // the client's name for the file, see SafeFileName; "" if it has none
	ContentType string // as the client says, and not to be relied on
	src         io.Reader
	first       []byte // was read already
	max, done   int64  // max below 0: any
	isValue     bool   // it is a field that is no file
	err         error
}

// SafeFileName makes a name for a file, in a directory of the program's choice, of one that
// a client has chosen; "" if nothing is left. Of a path it is the last element. It has no
// control characters, none that change the direction of writing, and none that Windows
// reserves; it neither begins nor ends with a dot or a space, is no device of Windows, and
// has at most 255 bytes.
func SafeFileName(name string) string { return filename.Safe(name) }

// BodyUpload is the body of a request as a file, as it comes with PUT. A body that is known
// to be too large, has a Content-Encoding or, by its Content-Range, is a piece of a file
// only, is an *InputError.
func BodyUpload(r *http.Request, c UploadConfig) (*Upload, error) {
	c = c.withDefaults()
	if err := checkCoding(r); err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Range") != "" { // RFC 9110, section 14.5
		return nil, &InputError{Kind: ErrIncomplete, detail: "a piece of a file, which Content-Range says it is, is not taken"}
	}
	limit := c.MaxSize
	if c.MaxFileSize >= 0 && (limit < 0 || c.MaxFileSize < limit) {
		limit = c.MaxFileSize
	}
	body, err := newBodyReader(r, limit)
	if err != nil {
		return nil, err
	}
	body.progress = c.Progress
	u := &Upload{ContentType: r.Header.Get("Content-Type"), src: body, max: -1}
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Disposition")); err == nil {
		u.Name = SafeFileName(params["filename"])
	}
	return u, nil
}

// Read gives what the client sends. io.EOF means that all of the file has come; that it is
// too large or has broken off is an *InputError.
func (u *Upload) Read(p []byte) (n int, err error) {
	switch {
	case u.err != nil:
		return 0, u.err
	case u.src == nil:
		return 0, io.EOF
	case len(u.first) > 0:
		n = copy(p, u.first)
		u.first = u.first[n:]
	default:
		n, err = u.src.Read(p)
	}
	if left := u.max - u.done; u.max >= 0 && int64(n) > left {
		input := tooLarge("the file", u.max, 0)
		if u.isValue {
			input = tooLarge("the value", u.max, 0)
		}
		input.Field = u.Field
		n, err = int(left), input
	}
	u.done += int64(n)
	u.err = err
	return n, err
}

// SaveAs writes the file, or what is left of it, to path, in the place of one that is there,
// and returns its size. The file gets its name when all of it has come and is on disk; until
// then there is a temporary file beside it, whose name begins with a dot. A new file is
// accessible for its owner only; one that is replaced keeps its permissions.
//
// What the client has done wrong is an *InputError; other errors are those of the disk.
func (u *Upload) SaveAs(path string) (int64, error) { return u.save(path, atomicfile.Write) }

// SaveNew is SaveAs for a path at which there is nothing. If there is something, even if it
// came while the file did, the error is fs.ErrExist. The file system must have hard links.
func (u *Upload) SaveNew(path string) (int64, error) { return u.save(path, atomicfile.Create) }

func (u *Upload) save(path string, how func(string, func(io.Writer) error) error) (n int64, err error) {
	err = how(path, func(w io.Writer) (err error) {
		n, err = io.Copy(w, u)
		return err
	})
	return n, err
}
