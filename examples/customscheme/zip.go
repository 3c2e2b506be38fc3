package main

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/netreply/netreply"
)

// zipBackend serves URLs of the form zip:archive.zip!/path: an entry of a zip archive on the
// disk. The archive is a path of the operating system with slashes, relative to the current
// directory or, as in zip:/tmp/archive.zip!/path, absolute. In both parts !, ?, # and % are
// percent-encoded.
//
// It answers GET and HEAD, and a Range of a GET. The codes of its errors are
// ContentNotFoundError for an archive or an entry that does not exist,
// ContentOperationNotPermittedError for a directory, ProtocolFailure for a damaged archive,
// ProtocolInvalidOperationError for a URL of another form, and ProtocolUnknownError for
// other methods.
type zipBackend struct {
	open func(name string) (archive, error)
}

// archive is an open file.
type archive interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// openFile opens a regular file: opening another, such as a pipe, may wait forever.
func openFile(name string) (archive, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &netreply.Error{Code: netreply.ContentOperationNotPermittedError, Text: name + " is not a file"}
	}
	return os.Open(name)
}

// Serve writes the entry that the URL names into the body of the reply.
func (b zipBackend) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		return &netreply.Error{Code: netreply.ProtocolUnknownError, Text: "an archive is only read, and " + q.Method + " is not possible"}
	}
	file, name, err := splitURL(q.URL)
	if err != nil {
		return err
	}
	f, err := b.open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(q.Context(), func() { f.Close() })() // which ends a read of a slow medium

	entry, info, err := openEntry(f, name)
	if err != nil {
		return err
	}
	defer entry.Close()
	from, n, err := writeHead(q, w, name, info)
	if err != nil {
		return err
	}
	if q.Method == http.MethodHead {
		return nil
	}
	src := &entryReader{ctx: q.Context(), src: entry, left: info.Size()}
	if _, err := io.CopyN(io.Discard, src, from); err != nil {
		return err
	}
	body := io.Reader(src) // at its end the checksum is verified
	if n < info.Size() {
		body = io.LimitReader(src, n)
	}
	_, err = w.ReadFrom(body)
	return err
}

// splitURL returns the two paths of a URL. One that is relative is in URL.Opaque, still
// encoded; both are split before they are decoded, so that an encoded ! is part of a name.
func splitURL(u *url.URL) (file, entry string, err error) {
	whole := cmp.Or(u.Opaque, u.EscapedPath())
	file, entry, ok := strings.Cut(whole, "!/")
	if !ok || file == "" || u.Host != "" || u.RawQuery != "" {
		return "", "", &netreply.Error{Code: netreply.ProtocolInvalidOperationError, Text: "the URL is not of the form zip:archive.zip!/path"}
	}
	for _, p := range []*string{&file, &entry} {
		if *p, err = url.PathUnescape(*p); err != nil {
			return "", "", &netreply.Error{Code: netreply.ProtocolInvalidOperationError, Text: "the URL is wrongly encoded", Err: err}
		}
	}
	return file, entry, nil
}

// openEntry opens a file in an archive.
func openEntry(f archive, name string) (fs.File, fs.FileInfo, error) {
	size, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	r, err := zip.NewReader(f, size.Size())
	if err != nil {
		return nil, nil, damaged(err)
	}
	entry, err := r.Open(path.Clean(cmp.Or(name, ".")))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, nil, &netreply.Error{Code: netreply.ContentNotFoundError, Text: "the archive has no " + name}
	}
	if err != nil {
		return nil, nil, damaged(err)
	}
	info, err := entry.Stat()
	if err == nil && info.IsDir() {
		err = &netreply.Error{Code: netreply.ContentOperationNotPermittedError, Text: cmp.Or(name, "the archive") + " is a directory"}
	}
	if err != nil {
		entry.Close()
		return nil, nil, err
	}
	return entry, info, nil
}

// writeHead sets status and header fields, and returns the part of the entry that is the
// body.
func writeHead(q *netreply.BackendRequest, w netreply.ReplyWriter, name string, info fs.FileInfo) (from, n int64, err error) {
	h := netreply.NewHeaders("Accept-Ranges", "bytes", "Content-Type", cmp.Or(mime.TypeByExtension(path.Ext(name)), "application/octet-stream"))
	if !info.ModTime().IsZero() {
		netreply.LastModifiedHeader.Set(&h, info.ModTime())
	}
	status, from, n := http.StatusOK, 0, info.Size()
	if condition := q.Headers.Get("If-Range"); q.Method == http.MethodGet && (condition == "" || condition == h.Get("Last-Modified")) {
		status, from, n = rangeOf(q.Headers.Get("Range"), info.Size())
	}
	switch status {
	case http.StatusPartialContent:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, info.Size()))
	case http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size()))
	}
	netreply.ContentLengthHeader.Set(&h, n)
	if err := w.SetHeaders(h); err != nil {
		return 0, 0, err
	}
	return from, n, w.SetAttribute(netreply.HTTPStatusCode, status)
}

// rangeOf returns the status, the first byte and the length for the field Range of a request
// (RFC 9110, section 14). Several ranges, and a field that is malformed, are ignored.
func rangeOf(field string, size int64) (status int, from, n int64) {
	const unsatisfiable = http.StatusRequestedRangeNotSatisfiable
	spec, ok := strings.CutPrefix(field, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return http.StatusOK, 0, size
	}
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	from, end := int64(a), int64(b)
	switch {
	case first == "" && errB == nil: // the last bytes
		if end == 0 || size == 0 {
			return unsatisfiable, 0, 0
		}
		end = min(end, size)
		return http.StatusPartialContent, size - end, end
	case errA != nil || last != "" && (errB != nil || end < from):
		return http.StatusOK, 0, size
	case from >= size:
		return unsatisfiable, 0, 0
	case last == "" || end >= size:
		end = size - 1
	}
	return http.StatusPartialContent, from, end - from + 1
}

// entryReader reads an entry, until its reply is over. What is wrong with the entry is the
// archive's damage.
type entryReader struct {
	ctx  context.Context
	src  io.Reader
	left int64
}

func (r *entryReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.src.Read(p)
	if int64(n) > r.left {
		return 0, damaged(errors.New("an entry is longer than the directory says"))
	}
	r.left -= int64(n)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

// damaged is the error for an archive that cannot be read, unless the file itself is the
// reason.
func damaged(err error) error {
	if file := new(fs.PathError); errors.As(err, &file) {
		return err
	}
	return &netreply.Error{Code: netreply.ProtocolFailure, Text: "the archive is damaged", Err: err}
}
