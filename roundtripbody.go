package netreply

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/flow"
)

// requestBody is the body of an http.Request as a Body: it is sent again only by GetBody, or
// if nothing was read from it, and is closed in any case.
type requestBody struct {
	first   io.ReadCloser
	getBody func() (io.ReadCloser, error)
	size    int64
	trailer http.Header

	sequential flow.Sequential // of first

	opened   bool        // used by the transfer's goroutine only
	begun    atomic.Bool // first was read from
	released atomic.Bool // the exchange has ended its reading of first
	settled  atomic.Bool // no other exchange needs the body
	closing  sync.Once
}

// newRequestBody checks what only an http.Request can have. It closes the body if it returns
// an error.
func newRequestBody(hr *http.Request) (*requestBody, error) {
	b := &requestBody{}
	bad := func(field, reason string) (*requestBody, error) {
		b.close()
		return nil, localError(ProtocolInvalidOperationError, "Invalid request", &FieldError{Field: field, Reason: reason})
	}
	if hr == nil {
		return bad("Request", required)
	}
	b.first, b.getBody, b.size, b.trailer = hr.Body, hr.GetBody, hr.ContentLength, hr.Trailer
	none := hr.Body == nil || hr.Body == http.NoBody
	switch {
	case hr.URL == nil:
		return bad("Request.URL", required)
	case hr.Header == nil:
		return bad("Request.Header", required)
	case none && hr.ContentLength > 0:
		return bad("Request.ContentLength", "is "+strconv.FormatInt(hr.ContentLength, 10)+", but there is no Body")
	}
	for name, values := range hr.Trailer {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return bad("Request.Trailer", "must not have a "+name+" field (RFC 9110, section 6.5.1)")
		}
		if err := validateHeaders(headers.FromHTTP(http.Header{name: append([]string{""}, values...)})); err != nil {
			b.close()
			return nil, err
		}
	}
	if b.size == 0 || len(hr.TransferEncoding) > 0 && hr.TransferEncoding[0] == "chunked" {
		b.size = -1
	}
	b.size = max(b.size, -1)
	if none {
		b.first = nil
	}
	b.sequential.Source = (*firstReader)(b)
	return b, nil
}

// asBody is nil for a request without a body.
func (b *requestBody) asBody() Body {
	if b.first == nil {
		return nil
	}
	return b
}

// maxCopied is the size up to which a body in memory is copied: it is then sent together
// with the head.
const maxCopied = 16 << 10

func (b *requestBody) prepare(context.Context, bool) (*flow.Payload, error) {
	memory := inMemory(b.first)
	if memory && b.trailer == nil && 0 < b.size && b.size <= maxCopied {
		defer b.close()
		all := make([]byte, b.size, b.size+1)
		n, err := io.ReadFull(b.first, all)
		if err != nil {
			return nil, bodyFailure("reading the body", &flow.ShortSourceError{Got: int64(n), Want: b.size})
		}
		if n, _ := b.first.Read(all[b.size:cap(all)]); n > 0 {
			return nil, bodyFailure("reading the body", flow.ErrLongSource)
		}
		return memoryPayload(all), nil
	}
	return &flow.Payload{Size: b.size, Open: b.open, Rewindable: b.getBody != nil, Blocks: !memory, Owned: true, Exact: true, Trailer: b.trailer}, nil
}

// inMemory reports whether a body never blocks: it is one of those for which
// http.NewRequest sets GetBody.
func inMemory(body io.Reader) bool {
	switch reflect.TypeOf(body) {
	case nopCloser, nopCloserWriterTo:
		body, _ = reflect.ValueOf(body).Field(0).Interface().(io.Reader)
	}
	switch body.(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return true
	}
	return false
}

// The types that io.NopCloser returns.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(new(bytes.Buffer)))
)

func (b *requestBody) open() (io.Reader, error) {
	if b.opened && b.getBody != nil {
		b.close()
		return b.getBody()
	}
	b.opened = true
	b.released.Store(false)
	r, err := b.sequential.Open()
	if err != nil {
		return nil, err
	}
	return &firstReading{r, b}, nil
}

// firstReader is the Body of the http.Request.
type firstReader requestBody

func (b *firstReader) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.first.Read(p)
}

// firstReading is one exchange's reading of the Body, which can be opened again as long as
// nothing was read.
type firstReading struct {
	io.Reader
	b *requestBody
}

func (r *firstReading) Close() error {
	r.b.released.Store(true)
	r.b.closeUnneeded()
	return nil
}

// settle is called when the final response has come, so that the body is not sent again.
func (b *requestBody) settle() {
	b.settled.Store(true)
	b.closeUnneeded()
}

func (b *requestBody) closeUnneeded() {
	if b.released.Load() && (b.begun.Load() || b.settled.Load() || b.getBody != nil) {
		b.close()
	}
}

// close closes the Body, at the latest when the transfer has ended.
func (b *requestBody) close() {
	if b.first != nil {
		b.closing.Do(func() { b.first.Close() })
	}
}
