package netreply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/flow"
)

// Body is the body of a request: the result of BytesBody, StringBody, ReaderBody,
// SourceBody, FileBody, JSONBody, FormBody or CompressedBody, or a *Multipart. A nil Body
// means none.
type Body interface {
	// prepare makes the payload; with buffer it may read a sequential source to its end.
	prepare(ctx context.Context, buffer bool) (*flow.Payload, error)
}

// BytesBody sends b, which must not change until the reply has finished.
func BytesBody(b []byte) Body { return bytesBody(b) }

// StringBody sends s.
func StringBody(s string) Body { return bytesBody(s) }

type bytesBody []byte

func (b bytesBody) prepare(context.Context, bool) (*flow.Payload, error) {
	return memoryPayload(b), nil
}

func memoryPayload(b []byte) *flow.Payload {
	if b == nil {
		b = []byte{}
	}
	p := &flow.Payload{Size: int64(len(b)), Memory: b, Rewindable: true}
	p.Open = func() (io.Reader, error) { return bytes.NewReader(b), nil }
	return p
}

// ReaderBody sends the content of r. An io.ReadSeeker that can seek is read from its
// current position to its end, can be sent again, and has a known length (rule L2). Any
// other reader is sequential: it is read to its end before the request starts (rule L3), or
// sent chunked while it is read, under Request.DoNotBufferUploadData. r is never closed and
// must not be used until the reply has finished. A Read that never returns keeps its
// goroutine, not the reply.
func ReaderBody(r io.Reader) Body { return readerBody{r} }

type readerBody struct{ r io.Reader }

func (b readerBody) prepare(ctx context.Context, buffer bool) (*flow.Payload, error) {
	if isNil(b.r) {
		return nil, invalidBody(fmt.Sprintf("a nil %s cannot be read: was it opened? A request without a body has a nil Body", typeOf(b.r, "io.Reader")))
	}
	switch r := b.r.(type) {
	case *bytes.Buffer:
		return memoryPayload(r.Next(r.Len())), nil
	case io.ReadSeeker:
		p, err := seekPayload(r)
		if err == nil || errors.Is(err, fs.ErrClosed) {
			return p, err
		}
		// r may be a pipe, an *os.File which has Seek but cannot seek, or have no size
	}
	if !buffer {
		source := &flow.Sequential{Source: b.r}
		return &flow.Payload{Size: -1, Blocks: true, Open: source.Open}, nil
	}
	type outcome struct {
		all []byte
		err error
	}
	read := make(chan outcome, 1)
	go func() { // ends when Read returns an error or io.EOF
		all, err := io.ReadAll(&endingReader{ctx, b.r})
		read <- outcome{all, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case o := <-read:
		if o.err != nil {
			return nil, bodyFailure("reading the body", o.err)
		}
		return memoryPayload(o.all), nil
	}
}

// endingReader does not call its source after the end of the context.
type endingReader struct {
	ctx context.Context
	src io.Reader
}

func (r *endingReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.src.Read(p)
}

// errNoSize is the error of seekPayload for a file whose content is longer than its size.
var errNoSize = errors.New("the file has no size")

func seekPayload(r io.ReadSeeker) (*flow.Payload, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err == nil {
		var end int64
		if end, err = r.Seek(0, io.SeekEnd); err == nil {
			if f, ok := r.(*os.File); ok && end == 0 && !isEmpty(f, start) {
				if _, err = r.Seek(start, io.SeekStart); err == nil {
					err = errNoSize
				}
				return nil, err
			}
			p := &flow.Payload{Size: max(0, end-start), Rewindable: true, Blocks: !ready(r), Shared: true}
			p.Open = func() (io.Reader, error) {
				if _, err := r.Seek(start, io.SeekStart); err != nil {
					return nil, err
				}
				return r, nil
			}
			return p, nil
		}
	}
	return nil, &Error{Code: ProtocolInvalidOperationError, Phase: PhaseLocal, Text: "The body cannot be read", Err: fmt.Errorf("finding the body's length: %w", err)}
}

// isNil reports whether v is nil or holds a nil pointer, such as an *os.File that was not
// opened.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch p := reflect.ValueOf(v); p.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Chan, reflect.Slice:
		return p.IsNil()
	}
	return false
}

// typeOf is the name of the type of v, or wanted for a nil interface.
func typeOf(v any, wanted string) string {
	if v == nil {
		return wanted
	}
	return reflect.TypeOf(v).String()
}

func invalidBody(reason string) error {
	return localError(ProtocolInvalidOperationError, "Invalid body", &FieldError{Field: "body", Reason: reason})
}

// ready reports whether Read of r never blocks indefinitely.
func ready(r io.Reader) bool {
	switch r.(type) {
	case *bytes.Reader, *strings.Reader, *os.File: // a file that can seek is a regular one
		return true
	}
	return false
}

// SourceBody sends the content of the reader that open returns. open is called once for
// each time the body is sent; the reader is closed afterwards. size is the length in bytes;
// -1 means unknown, and the body is sent chunked. A reader with fewer bytes fails the reply
// with UnknownNetworkError (rule E24); of a reader with more, only the first size bytes are
// sent.
func SourceBody(size int64, open func() (io.ReadCloser, error)) Body { return sourceBody{size, open} }

type sourceBody struct {
	size int64
	open func() (io.ReadCloser, error)
}

func (b sourceBody) prepare(context.Context, bool) (*flow.Payload, error) {
	switch {
	case b.open == nil:
		return nil, invalidBody("SourceBody needs a function that opens the source")
	case b.size < -1:
		return nil, invalidBody(fmt.Sprintf("the size of a SourceBody must not be below -1, which means unknown; got %d", b.size))
	}
	open := func() (io.Reader, error) {
		r, err := b.open()
		if err == nil && isNil(r) {
			err = fmt.Errorf("the function returned a nil %s and no error", typeOf(r, "io.ReadCloser"))
		}
		return r, err
	}
	return &flow.Payload{Size: b.size, Rewindable: true, Blocks: true, Owned: true, Open: open}, nil
}

// limitPayload reduces the size of a payload to the Content-Length that the program has set
// (rule H35). Compressed content is worthless without its end: its size is never reduced
// (rule L15).
func limitPayload(p *flow.Payload, h Headers) error {
	text := h.Get("Content-Length")
	if text == "" || p.Coding != "" {
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return localError(ProtocolInvalidOperationError, "Invalid header value",
			&FieldError{Field: "value of header Content-Length", Reason: "not a decimal number"})
	}
	if p.Size < 0 || n < p.Size {
		p.Size = n
	}
	return nil
}
