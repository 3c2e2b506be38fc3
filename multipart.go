package netreply

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"slices"
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

// Part is one part of a Multipart: header fields and a body. A nil Body is empty. A body of a
// known type gives the part a Content-Type, unless Headers have one.
type Part struct {
	Headers Headers
	Body    Body
}

// Multipart is a Body made of parts (rules L10 to L14). It is streamed: a part is read into
// memory only if it is sequential and the request does not set DoNotBufferUploadData. Its
// length is known if that of every part is, and it can be sent again if every part can. If
// the request has no Content-Type, it gets the fitting one; so does a part that is itself a
// Multipart.
type Multipart struct {
	// Type is the kind. MixedType, the zero value, becomes FormDataType if all parts are
	// fields or files of a form.
	Type  MultipartType
	Parts []Part
	// Boundary separates the parts; "" means a random one. It must be 1 to 70 characters of
	// RFC 2046, section 5.1.1, and no line of a part may begin with two hyphens and the
	// boundary. The latter is checked only for parts in memory.
	Boundary string
	// Start is the Content-ID of the root, with its angle brackets, for RelatedType; ""
	// means that the first part is the root (RFC 2387). The Content-Type of the root becomes
	// the parameter type.
	Start string
}

// Add appends a part.
func (m *Multipart) Add(headers Headers, body Body) {
	m.Parts = append(m.Parts, Part{headers, body})
}

// AddField appends a field of a form. Name and value are sent as they are, in UTF-8 where
// they are; quotes and line ends in a name are percent-encoded, and other control characters
// in it fail the reply with ProtocolInvalidOperationError.
func (m *Multipart) AddField(name, value string) {
	m.Add(NewHeaders("Content-Disposition", `form-data; name="`+escapeQuotes(name)+`"`), StringBody(value))
}

// AddFile appends a file of a form; for name and fileName see AddField. An empty mimeType
// means the type of the body or, for one without, that of the extension of fileName or,
// where that is unknown, what the first 512 bytes look like (see http.DetectContentType).
// These are read before the reply starts, unless the body can be read only once or is a
// SourceBody: then the type is application/octet-stream (RFC 7578, section 4.4).
func (m *Multipart) AddFile(name, fileName, mimeType string, body Body) {
	h := NewHeaders("Content-Disposition", `form-data; name="`+escapeQuotes(name)+`"; filename="`+escapeQuotes(fileName)+`"`)
	if mimeType != "" {
		h.Add("Content-Type", mimeType)
	} else {
		body = namedBody{body, fileName}
	}
	m.Add(h, body)
}

// AddFilePath appends a file of a form, with the FileBody of path, and its last element as
// the file name.
func (m *Multipart) AddFilePath(name, path string) {
	m.AddFile(name, filepath.Base(path), "", FileBody(path))
}

// namedBody is a body that has the type of a file name, or of its content, if it has none
// of its own.
type namedBody struct {
	Body
	name string
}

func (b namedBody) prepare(ctx context.Context, buffer bool) (*flow.Payload, error) {
	p := memoryPayload(nil)
	if b.Body != nil {
		var err error
		if p, err = b.Body.prepare(ctx, buffer); err != nil {
			return nil, err
		}
	}
	if p.MIME == "" {
		p.MIME = typeOfName(b.name)
	}
	if p.MIME != "" {
		return p, nil
	}
	p.MIME = unknownType
	if p.Rewindable && p.Coding == "" && !(p.Blocks && p.Owned) {
		var start [sniffLength]byte
		n, err := p.Peek(ctx, start[:])
		if err != nil {
			return nil, bodyFailure("reading the body", err)
		}
		p.MIME = sniffedType(start[:n])
	}
	return p, nil
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
	pieces, mediaType, err := m.compose(ctx, buffer)
	if err != nil {
		return nil, err
	}
	p := joinPayloads(pieces)
	p.MIME = mediaType
	return p, nil
}

// compose returns the pieces of the body, and its Content-Type. The pieces between the
// contents of parts are in memory.
func (m *Multipart) compose(ctx context.Context, buffer bool) (pieces []*flow.Payload, mediaType string, err error) {
	if m == nil {
		return nil, "", invalidBody("a nil *Multipart")
	}
	depth, _ := ctx.Value(nestingKey{}).(int)
	if depth == maxNesting {
		return nil, "", invalidBody("a Multipart must not contain itself, or be nested too deeply")
	}
	ctx = context.WithValue(ctx, nestingKey{}, depth+1)
	boundary := cmp.Or(m.Boundary, randomBoundary())
	if !validBoundary(boundary) {
		return nil, "", invalidMultipart("boundary", boundary, "must be 1 to 70 characters of RFC 2046, section 5.1.1; leave it empty for a random one")
	}
	types := make([]string, len(m.Parts))
	for i := range m.Parts {
		part := &m.Parts[i]
		content, err := part.compose(ctx, buffer)
		if err != nil {
			return nil, "", err
		}
		if m.Boundary != "" && slices.ContainsFunc(content.pieces, func(p *flow.Payload) bool { return hasDelimiter(p.Memory, boundary) }) {
			return nil, "", invalidMultipart("boundary", boundary, "occurs in a part; leave it empty for a random one")
		}
		types[i] = cmp.Or(part.Headers.Get("Content-Type"), content.mediaType)
		pieces = append(pieces, memoryPayload(part.head(boundary, content)))
		pieces = append(pieces, content.pieces...)
		pieces = append(pieces, memoryPayload([]byte("\r\n")))
	}
	pieces = append(pieces, memoryPayload([]byte("--"+boundary+"--\r\n")))
	if m.Start != "" && m.Type != RelatedType {
		return nil, "", invalidMultipart("Start", m.Start, "is for the type RelatedType only")
	}
	mediaType = "multipart/" + m.kind().String() + `; boundary="` + boundary + `"`
	if m.Type == RelatedType {
		root, err := m.relatedParameters(types)
		if err != nil {
			return nil, "", err
		}
		mediaType += root
	}
	return pieces, mediaType, nil
}

// relatedParameters are the parameters that describe the root of a multipart/related body
// (RFC 2387, section 3). types has the Content-Types of the parts.
func (m *Multipart) relatedParameters(types []string) (string, error) {
	root, start := 0, ""
	if m.Start != "" {
		root = slices.IndexFunc(m.Parts, func(p Part) bool { return p.Headers.Get("Content-ID") == m.Start })
		if root < 0 {
			return "", invalidMultipart("Start", m.Start, "must be the Content-ID of a part, with its angle brackets")
		}
		start = `; start="` + escapeQuoted(m.Start) + `"`
	}
	if root == len(types) {
		return "", nil
	}
	mediaType, _, _ := strings.Cut(types[root], ";")
	mediaType = cmp.Or(strings.TrimSpace(mediaType), "text/plain") // the default of RFC 2046, section 5.1
	return `; type="` + escapeQuoted(mediaType) + `"` + start, nil
}

// escapeQuoted escapes the content of a quoted-string (RFC 9110, section 5.6.4).
func escapeQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

func invalidMultipart(field, value, reason string) error {
	return localError(ProtocolInvalidOperationError, "Invalid "+field, &FieldError{field, value, reason})
}

// hasDelimiter reports whether a line of content begins with a delimiter.
func hasDelimiter(content []byte, boundary string) bool {
	delimiter := []byte("--" + boundary)
	for at := 0; ; {
		i := bytes.Index(content[at:], delimiter)
		if i < 0 {
			return false
		}
		at += i
		if at == 0 || content[at-1] == '\n' || content[at-1] == '\r' {
			return true
		}
		at++
	}
}

// partContent is the body of a part that has been prepared.
type partContent struct {
	pieces            []*flow.Payload
	mediaType, coding string
}

func (p *Part) compose(ctx context.Context, buffer bool) (c partContent, err error) {
	if err = validateHeaders(p.Headers); err != nil {
		return c, err
	}
	switch body := p.Body.(type) {
	case nil:
	case *Multipart:
		c.pieces, c.mediaType, err = body.compose(ctx, buffer)
	default:
		var payload *flow.Payload
		if payload, err = body.prepare(ctx, buffer); err == nil {
			c = partContent{[]*flow.Payload{payload}, payload.MIME, payload.Coding}
		}
	}
	return c, err
}

// head is the delimiter before a part with the fields of the part.
func (p *Part) head(boundary string, c partContent) []byte {
	var b bytes.Buffer
	b.WriteString("--" + boundary + "\r\n")
	const encoding = "Content-Encoding"
	for name, value := range p.Headers.All() {
		if c.coding == "" || !strings.EqualFold(name, encoding) {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	if c.mediaType != "" && !p.Headers.Has("Content-Type") {
		// a nested Multipart cannot be parsed without its boundary
		b.WriteString("Content-Type: " + c.mediaType + "\r\n")
	}
	if c.coding != "" {
		b.WriteString(encoding + ": " + strings.Join(append(p.Headers.Values(encoding), c.coding), ", ") + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// LogValue is what log/slog prints: the same as String.
func (t MultipartType) LogValue() slog.Value { return slog.StringValue(t.String()) }
