package httpserver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPartHead is how many bytes the boundary and the header of a part may have, and what
// stands before the first.
const maxPartHead = 64 << 10

// partHead is what has at most maxPartHead.
const partHead = "what is before the content of a part"

const wantsForm = "multipart/form-data or application/x-www-form-urlencoded is wanted"

// maxBoundary is the longest boundary (RFC 2046, section 5.1.1).
const maxBoundary = 70

// ReadForm reads the body of a request that is a form (multipart/form-data, or
// application/x-www-form-urlencoded) as it comes, and returns its fields. Each file is given
// to file, in the order in which they come, and what that leaves unread is passed over; an
// error of it ends ReadForm, which returns it. If file is nil, a form with a file is
// ErrUnknownField. A field for a file in which none was chosen, as browsers send it, is
// passed over.
//
// A body that cannot be used is an *InputError; a file that has broken off is one for who
// reads it, too. Files that file has taken before are its own to remove.
//
// The request's Form, PostForm and MultipartForm are not touched.
func ReadForm(r *http.Request, c UploadConfig, file func(*Upload) error) (url.Values, error) {
	c = c.withDefaults()
	if err := checkCoding(r); err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, &InputError{Kind: ErrMediaType, Err: err, detail: wantsForm}
	}
	body, err := newBodyReader(r, c.MaxSize)
	if err != nil {
		return nil, err
	}
	body.progress = c.Progress
	f := &form{c: c, body: body, file: file, fields: url.Values{}}
	switch kind {
	case "multipart/form-data":
		boundary := params["boundary"]
		if boundary == "" || len(boundary) > maxBoundary {
			return nil, &InputError{Kind: ErrSyntax, detail: "the boundary is missing, or longer than 70 bytes"}
		}
		f.parts = multipart.NewReader(f, boundary)
		err = f.readParts()
	case "application/x-www-form-urlencoded":
		err = f.readPairs()
	default:
		err = &InputError{Kind: ErrMediaType, detail: wantsForm}
	}
	if err == nil {
		_, err = io.Copy(io.Discard, body) // what follows the last boundary
	}
	if err != nil {
		return nil, err
	}
	return f.fields, nil
}

// form is a form that is being read.
type form struct {
	c      UploadConfig
	body   *bodyReader
	file   func(*Upload) error
	fields url.Values
	count  int

	parts  *multipart.Reader
	next   *multipart.Part // the part whose header has been read
	err    error           // instead of a next part; io.EOF behind the last
	inHead bool
	head   int    // how much of a header may still be read, while inHead
	last   byte   // of the body
	ending []byte // is read behind the body
}

// errBodyEnded is the end of a body, which package multipart must not take for that of the
// form, as it does in the header of a part.
var errBodyEnded = errors.New("httpserver: the form has no end")

// Read is what the parts are read from: the body, and a line's end, which may be missing
// there.
func (f *form) Read(p []byte) (int, error) {
	if f.inHead {
		if f.head == 0 {
			return 0, tooLarge(partHead, maxPartHead, f.body.done)
		}
		p = p[:min(len(p), f.head)]
	}
	if f.body.err == io.EOF {
		n := copy(p, f.ending)
		f.ending = f.ending[n:]
		if n == 0 {
			return 0, errBodyEnded
		}
		return n, nil
	}
	n, err := f.body.Read(p)
	if f.inHead {
		f.head -= n
	}
	if n > 0 {
		f.last = p[n-1]
	}
	if err == io.EOF {
		f.ending = []byte("\r\n")
		if f.last == '\r' {
			f.ending = f.ending[1:]
		}
		err = nil
	}
	return n, err
}

// advance reads to the header of the next part.
func (f *form) advance() {
	f.inHead, f.head = true, maxPartHead
	part, err := f.parts.NextRawPart()
	f.inHead = false
	if err != nil && err != io.EOF && f.head == 0 {
		err = tooLarge(partHead, maxPartHead, f.body.done)
	}
	f.next, f.err = part, f.partError(err)
}

// partError is what package multipart says, as an InputError; io.EOF is the end.
func (f *form) partError(err error) error {
	var input *InputError
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.As(err, &input):
		return input
	case f.body.err != nil && f.body.err != io.EOF:
		return f.body.err
	case errors.Is(err, errBodyEnded):
		return &InputError{Kind: ErrIncomplete, Offset: f.body.done, detail: "the last boundary is missing"}
	}
	return &InputError{Kind: ErrSyntax, Offset: f.body.done, Err: err}
}

// partReader reads the content of a part. It ends only when what follows is a boundary
// indeed, which a body that breaks off there has not.
type partReader struct {
	f    *form
	part *multipart.Part
	err  error // has ended it
}

func (p *partReader) Read(b []byte) (n int, err error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err = p.part.Read(b)
	p.err = p.f.partError(err)
	if err == io.EOF {
		if p.f.advance(); p.f.err != nil {
			p.err = p.f.err
		}
	}
	return n, p.err
}

// add counts a field or a file.
func (f *form) add(name string) error {
	f.count++
	var input *InputError
	switch {
	case f.c.MaxParts >= 0 && f.count > f.c.MaxParts:
		input = &InputError{Kind: ErrTooLarge, Offset: f.body.done, detail: "there are more than " + strconv.Itoa(f.c.MaxParts) + " fields and files"}
	case f.c.MaxFieldSize >= 0 && int64(len(name)) > f.c.MaxFieldSize:
		input = tooLarge("the name", f.c.MaxFieldSize, f.body.done)
	default:
		return nil
	}
	input.Field = name
	return input
}

func (f *form) readParts() error {
	for f.advance(); f.err == nil; {
		part := f.next
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		name, hasName := params["name"]
		if err != nil || kind != "form-data" || !hasName { // RFC 7578, section 4.2
			return &InputError{Kind: ErrSyntax, Offset: f.body.done, Err: err, detail: "a part has no Content-Disposition of form-data with a name"}
		}
		if err = f.add(name); err != nil {
			return err
		}
		u := &Upload{Field: name, ContentType: part.Header.Get("Content-Type"), src: &partReader{f: f, part: part}, max: f.c.MaxFieldSize, isValue: true}
		if fileName, isFile := params["filename"]; isFile {
			u.Name, u.max, u.isValue = SafeFileName(fileName), f.c.MaxFileSize, false
			err = f.readFile(u, fileName)
		} else {
			err = f.readField(u)
		}
		if err != nil {
			return err
		}
	}
	if f.err != io.EOF {
		return f.err
	}
	return nil
}

func (f *form) readField(u *Upload) error {
	value, err := io.ReadAll(u)
	if err == nil {
		f.fields.Add(u.Field, string(value))
	}
	return err
}

func (f *form) readFile(u *Upload, name string) error {
	if name == "" {
		first := make([]byte, 1)
		n, err := io.ReadFull(u.src, first)
		if n == 0 {
			if err == io.EOF { // no file was chosen
				return nil
			}
			return err
		}
		u.first = first
	}
	if f.file == nil {
		return &InputError{Kind: ErrUnknownField, Field: u.Field, detail: "no files are taken"}
	}
	if err := f.file(u); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, u)
	return err
}

// readPairs reads a form without files, as browsers send it by default.
func (f *form) readPairs() error {
	longest := int64(-1) // of a pair, each byte as %XX
	if f.c.MaxFieldSize >= 0 && f.c.MaxFieldSize < 1<<50 {
		longest = 3*2*f.c.MaxFieldSize + 1
	}
	in := bufio.NewReader(f.body)
	for more := true; more; {
		pair, err := readUntil(in, '&', longest)
		more = err == nil
		switch {
		case err == errLongPair:
			return tooLarge("a name or a value", f.c.MaxFieldSize, f.body.done)
		case err != nil && err != io.EOF:
			return err
		case len(pair) == 0:
			continue
		}
		name, value, _ := strings.Cut(string(pair), "=")
		name, err = url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return &InputError{Kind: ErrSyntax, Err: err, detail: "an escape is not valid"}
		}
		if err = f.add(name); err != nil {
			return err
		}
		if f.c.MaxFieldSize >= 0 && int64(len(value)) > f.c.MaxFieldSize {
			input := tooLarge("the value", f.c.MaxFieldSize, f.body.done)
			input.Field = name
			return input
		}
		f.fields.Add(name, value)
	}
	return nil
}

var errLongPair = errors.New("too long")

// readUntil reads what is before a delimiter, at most longest bytes, or any below 0. At the
// end of everything the error is io.EOF.
func readUntil(in *bufio.Reader, delimiter byte, longest int64) ([]byte, error) {
	var all []byte
	for {
		piece, err := in.ReadSlice(delimiter)
		all = append(all, piece...)
		if err == nil {
			all = bytes.TrimSuffix(all, []byte{delimiter})
		}
		switch {
		case longest >= 0 && int64(len(all)) > longest:
			return nil, errLongPair
		case err != bufio.ErrBufferFull:
			return all, err
		}
	}
}
