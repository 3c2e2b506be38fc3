package netreply

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/netreply/netreply/internal/flow"
)

// MultipartType is the kind of a multipart body (RFC 2046, section 5.1).
type MultipartType int

const (
	MixedType       MultipartType = iota // parts in the given order
	RelatedType                          // parts that belong together
	FormDataType                         // the fields of a form (RFC 7578)
	AlternativeType                      // the same content in several formats
)

// String is the subtype in Content-Type.
func (t MultipartType) String() string {
	switch t {
	case RelatedType:
		return "related"
	case FormDataType:
		return "form-data"
	case AlternativeType:
		return "alternative"
	}
	return "mixed"
}

// Part is one part of a Multipart: header fields and a body. A nil Body is empty.
type Part struct {
	Headers Headers
	Body    Body
}

// Multipart is a Body made of parts (rules L10 to L14). It is streamed: a part is read into
// memory only if it is sequential and the request does not set DoNotBufferUploadData. If
// the request has no Content-Type, it gets the fitting one; so does a part that is itself a
// Multipart.
type Multipart struct {
	// Type is the kind. MixedType, the zero value, becomes FormDataType if all parts are
	// fields or files of a form.
	Type  MultipartType
	Parts []Part
	// Boundary separates the parts; "" means a random one.
	Boundary string
}

// Add appends a part.
func (m *Multipart) Add(headers Headers, body Body) {
	m.Parts = append(m.Parts, Part{headers, body})
}

// AddField appends a field of a form.
func (m *Multipart) AddField(name, value string) {
	m.Add(NewHeaders("Content-Disposition", `form-data; name="`+escapeQuotes(name)+`"`), StringBody(value))
}

// AddFile appends a file of a form. An empty mimeType means application/octet-stream (RFC
// 7578, section 4.4).
func (m *Multipart) AddFile(name, fileName, mimeType string, body Body) {
	mimeType = cmp.Or(mimeType, "application/octet-stream")
	m.Add(NewHeaders(
		"Content-Disposition", `form-data; name="`+escapeQuotes(name)+`"; filename="`+escapeQuotes(fileName)+`"`,
		"Content-Type", mimeType), body)
}

// escapeQuotes percent-encodes quotes and line ends, as in the names of HTML forms (RFC
// 7578, section 4.2).
func escapeQuotes(s string) string {
	var b bytes.Buffer
	for i := range len(s) {
		switch s[i] {
		case '"':
			b.WriteString("%22")
		case '\r':
			b.WriteString("%0D")
		case '\n':
			b.WriteString("%0A")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// boundaryBytes is the number of random bytes in a boundary; 32 characters of base64.
const boundaryBytes = 24

func randomBoundary() string {
	var b [boundaryBytes]byte
	rand.Read(b[:]) // never fails
	return "boundary_.oOo._" + base64.URLEncoding.EncodeToString(b[:])
}

// validBoundary implements RFC 2046, section 5.1.1.
func validBoundary(s string) bool {
	if len(s) == 0 || len(s) > 70 || s[len(s)-1] == ' ' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case bytes.IndexByte([]byte("'()+_,-./:=? "), c) >= 0:
		default:
			return false
		}
	}
	return true
}

// kind is Type, or FormDataType for the parts of a form.
func (m *Multipart) kind() MultipartType {
	if m.Type != MixedType || len(m.Parts) == 0 {
		return m.Type
	}
	for i := range m.Parts {
		disposition, _, _ := strings.Cut(m.Parts[i].Headers.Get("Content-Disposition"), ";")
		if !strings.EqualFold(strings.TrimSpace(disposition), "form-data") {
			return MixedType
		}
	}
	return FormDataType
}

// maxNesting bounds the nesting of Multiparts, so that one that contains itself is
// detected.
const maxNesting = 16

type nestingKey struct{}

func (m *Multipart) prepare(ctx context.Context, buffer bool) (*flow.Payload, error) {
	if m == nil {
		return nil, invalidBody("a nil *Multipart")
	}
	depth, _ := ctx.Value(nestingKey{}).(int)
	if depth == maxNesting {
		return nil, invalidBody("a Multipart must not contain itself, or be nested too deeply")
	}
	ctx = context.WithValue(ctx, nestingKey{}, depth+1)
	boundary := m.Boundary
	if boundary == "" {
		boundary = randomBoundary()
	}
	if !validBoundary(boundary) {
		return nil, localError(ProtocolInvalidOperationError, "Invalid boundary", &FieldError{"boundary", boundary, "must be 1 to 70 characters of RFC 2046, section 5.1.1; leave it empty for a random one"})
	}
	out := &flow.Payload{MIME: "multipart/" + m.kind().String() + `; boundary="` + boundary + `"`}
	var pieces []*flow.Payload
	for _, part := range m.Parts {
		if err := validateHeaders(part.Headers); err != nil {
			return nil, err
		}
		content := memoryPayload(nil)
		if part.Body != nil {
			p, err := part.Body.prepare(ctx, buffer)
			if err != nil {
				return nil, err
			}
			content = p
		}
		var head bytes.Buffer
		head.WriteString("--" + boundary + "\r\n")
		for name, value := range part.Headers.All() {
			head.WriteString(name + ": " + value + "\r\n")
		}
		if content.MIME != "" && !part.Headers.Has("Content-Type") {
			// a nested Multipart cannot be parsed without its boundary
			head.WriteString("Content-Type: " + content.MIME + "\r\n")
		}
		head.WriteString("\r\n")
		pieces = append(pieces, memoryPayload(head.Bytes()), content, memoryPayload([]byte("\r\n")))
	}
	pieces = append(pieces, memoryPayload([]byte("--"+boundary+"--\r\n")))
	out.Rewindable = true
	for _, p := range pieces {
		out.Rewindable = out.Rewindable && p.Rewindable
		if p.Size < 0 || out.Size < 0 {
			out.Size = -1
		} else {
			out.Size += p.Size
		}
		out.Blocks = out.Blocks || p.Blocks
	}
	out.Owned = true // Close closes only the parts that are owned
	out.Open = func() (io.Reader, error) { return openPieces(pieces) }
	return out, nil
}

// pieceReader concatenates payloads. Each is opened when the previous one has ended, and
// closed if it is owned.
type pieceReader struct {
	rest      []*flow.Payload
	current   io.Reader
	remaining int64 // bytes of current still to be read; below 0 if unknown
	total     int64 // length of current
	owned     bool
}

func openPieces(pieces []*flow.Payload) (io.Reader, error) {
	r := &pieceReader{rest: pieces}
	// a source that cannot be read again must fail here, not in the middle of the body
	for _, p := range pieces {
		if p.Size < 0 && !p.Owned {
			src, err := p.Open()
			if err != nil {
				return nil, err
			}
			opened := *p
			opened.Open = func() (io.Reader, error) { return src, nil }
			r.rest = replace(r.rest, p, &opened)
		}
	}
	return r, nil
}

func replace(list []*flow.Payload, old, now *flow.Payload) []*flow.Payload {
	out := make([]*flow.Payload, len(list))
	for i, p := range list {
		if p == old {
			p = now
		}
		out[i] = p
	}
	return out
}

func (r *pieceReader) Read(p []byte) (int, error) {
	for {
		if r.current == nil {
			if len(r.rest) == 0 {
				return 0, io.EOF
			}
			next := r.rest[0]
			src, err := next.Open()
			if err != nil {
				return 0, err
			}
			r.rest, r.current, r.remaining, r.total, r.owned = r.rest[1:], src, next.Size, next.Size, next.Owned
		}
		q := p
		if r.remaining >= 0 && int64(len(q)) > r.remaining {
			q = q[:r.remaining]
		}
		var n int
		var err error
		if len(q) > 0 {
			n, err = r.current.Read(q)
		}
		if r.remaining >= 0 {
			r.remaining -= int64(n)
		}
		switch {
		case err == io.EOF && r.remaining > 0:
			return n, &flow.ShortSourceError{Got: r.total - r.remaining, Want: r.total}
		case err != nil && !errors.Is(err, io.EOF):
			return n, err
		case err == io.EOF || r.remaining == 0:
			if err := r.end(); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
		if err == nil && len(q) > 0 && r.current != nil {
			return 0, nil
		}
	}
}

// end closes the current piece.
func (r *pieceReader) end() error {
	c, ok := r.current.(io.Closer)
	r.current = nil
	if ok && r.owned {
		return c.Close()
	}
	return nil
}

// Close closes the current piece, if it is owned.
func (r *pieceReader) Close() error {
	r.rest = nil
	if r.current != nil {
		return r.end()
	}
	return nil
}

// LogValue is what log/slog prints: the same as String.
func (t MultipartType) LogValue() slog.Value { return slog.StringValue(t.String()) }
