package httpserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"strings"
)

// maxJSON is how many bytes DecodeJSON takes without another limit.
const maxJSON = 1 << 20

// DecodeOption changes what DecodeJSON takes.
type DecodeOption int

const (
	// KnownFieldsOnly refuses objects with fields that v has not.
	KnownFieldsOnly DecodeOption = iota + 1
	// AnyContentType does not look at the Content-Type. A web page of any site can make
	// browsers send such requests, with the cookies of their users.
	AnyContentType
)

// DecodeJSON reads the body of a request, one JSON value of at most limit bytes, into v by
// the rules of encoding/json. A limit of 0 is 1 MiB, below 0 there is none; that of a Server
// holds besides.
//
// A body that cannot be used is an *InputError. Its Content-Type has to be application/json
// or end in +json, and to say no other charset than UTF-8; without options, fields that v
// has not are passed over. After an error v may be filled in part.
//
// What an UnmarshalJSON or UnmarshalText method of v's types returns is ErrWrongType, and
// stands in Err. Such methods are called again then, on new values, to find the place of the
// one that was refused.
func DecodeJSON(r *http.Request, v any, limit int64, options ...DecodeOption) error {
	var knownOnly, anyType bool
	for _, o := range options {
		knownOnly = knownOnly || o == KnownFieldsOnly
		anyType = anyType || o == AnyContentType
	}
	if r.ContentLength == 0 {
		return &InputError{Kind: ErrEmpty}
	}
	if err := checkCoding(r); err != nil {
		return err
	}
	if !anyType && !isJSON(r.Header.Get("Content-Type")) {
		return &InputError{Kind: ErrMediaType, detail: "application/json in UTF-8 is wanted"}
	}
	b, err := newBodyReader(r, limitOr(limit, maxJSON))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(b)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if knownOnly {
		d.DisallowUnknownFields()
	}
	if err = d.Decode(v); err != nil {
		return jsonError(err, text, v)
	}
	rest := text[d.InputOffset():]
	if rest = bytes.TrimLeft(rest, jsonBlanks); len(rest) > 0 {
		return &InputError{Kind: ErrTrailingData, Offset: int64(len(text) - len(rest))}
	}
	return nil
}

const jsonBlanks = " \t\r\n"

// checkCoding refuses a body that would have to be decoded first.
func checkCoding(r *http.Request) error {
	for _, coding := range r.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return &InputError{Kind: ErrMediaType, detail: "no Content-Encoding is taken"}
		}
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return false
	}
	charset := params["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8") // RFC 8259, section 8.1
}

// jsonError is what the decoder says of a text, as an InputError; but for a v that nothing
// can be read into, which is not the client's fault.
func jsonError(err error, text []byte, v any) error {
	if len(bytes.TrimLeft(text, jsonBlanks)) == 0 {
		return &InputError{Kind: ErrEmpty}
	}
	// Methods of v's types can return any error, those of the decoder among them: whether it
	// is the text is asked of the text.
	var value json.RawMessage
	var syntax *json.SyntaxError
	d := json.NewDecoder(bytes.NewReader(text))
	switch wrong := d.Decode(&value); {
	case errors.As(wrong, &syntax): // its Offset is behind the byte that is wrong
		return &InputError{Kind: ErrSyntax, Offset: syntax.Offset - 1, Err: wrong}
	case wrong != nil: // the text ends in the middle; the body itself is whole
		return &InputError{Kind: ErrSyntax, Offset: int64(len(text)), Err: wrong}
	}
	var invalid *json.InvalidUnmarshalError
	if errors.As(err, &invalid) {
		return err
	}
	input := &InputError{Kind: ErrWrongType, Err: err}
	if _, unknown := unknownField(err); unknown {
		input.Kind = ErrUnknownField
	}
	input.Field, input.Offset, _ = jsonPlace(text[:d.InputOffset()], v, err)
	return input
}

// Indented is v as WriteJSON, WriteJSONWith and JSONResponse write it for people: over
// several lines, two blanks a level. Elsewhere it is the JSON of v.
func Indented(v any) json.Marshaler { return indented{v} }

type indented struct{ value any }

func (i indented) MarshalJSON() ([]byte, error) { return json.Marshal(i.value) }

// encodeJSON writes a value as JSON, without the escapes that it would need inside HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := newJSONEncoder(&b, v).encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

type jsonEncoder struct{ *json.Encoder }

func newJSONEncoder(w io.Writer, v any) jsonEncoder {
	e := jsonEncoder{json.NewEncoder(w)}
	e.SetEscapeHTML(false)
	if _, ok := v.(indented); ok {
		e.SetIndent("", "  ")
	}
	return e
}

func (e jsonEncoder) encode(v any) error {
	if i, ok := v.(indented); ok {
		v = i.value
	}
	return e.Encode(v)
}

// Values is a sequence without errors, for WriteJSONArray, WriteJSONLines and those With
// header fields.
func Values[T any](items iter.Seq[T]) iter.Seq2[T, error] {
	if items == nil {
		return nil
	}
	return func(yield func(T, error) bool) {
		for v := range items {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// WriteJSONArray answers with a JSON array of what a sequence gives, item by item, each as
// soon as it is there; when many come in a row, some of them together.
//
// An error of the sequence, and an item that cannot be JSON, is a *SourceError: with nothing
// sent if it is the first. Otherwise what came before is sent, and the answer is cut behind
// it, so that its client sees that it is not whole; HTTP/1.0 has only a reset of the connection
// for that, by which the client may lose items. When the Context ends, no more items are asked for; a sequence that waits should look at the
// Context itself. For HEAD it is not asked at all.
//
// The Content-Type is application/json.
func WriteJSONArray[T any](w *Responder, items iter.Seq2[T, error], status ...StatusCode) error {
	return WriteJSONArrayWith(w, items, Headers{}, status...)
}

// WriteJSONArrayWith is WriteJSONArray with header fields, whose Content-Type takes the
// place of application/json.
func WriteJSONArrayWith[T any](w *Responder, items iter.Seq2[T, error], h Headers, status ...StatusCode) error {
	s := &jsonStream{x: w.exchange(), array: true}
	return writeItems(s, items, "application/json", h, statusOf(status))
}

// WriteJSONLines is WriteJSONArray with a line for each item, and no array around (NDJSON).
// The Content-Type is application/x-ndjson.
func WriteJSONLines[T any](w *Responder, items iter.Seq2[T, error], status ...StatusCode) error {
	return WriteJSONLinesWith(w, items, Headers{}, status...)
}

// WriteJSONLinesWith is WriteJSONLines with header fields, whose Content-Type takes the
// place of application/x-ndjson.
func WriteJSONLinesWith[T any](w *Responder, items iter.Seq2[T, error], h Headers, status ...StatusCode) error {
	return writeItems(&jsonStream{x: w.exchange()}, items, "application/x-ndjson", h, statusOf(status))
}

// jsonStream is an answer of JSON values.
type jsonStream struct {
	x      *exchange
	array  bool // else lines
	mime   string
	h      Headers
	status StatusCode
	begun  bool
	buf    bytes.Buffer
}

func writeItems[T any](s *jsonStream, items iter.Seq2[T, error], mime string, h Headers, status StatusCode) error {
	return s.x.refuse(streamItems(s, items, mime, h, status))
}

func streamItems[T any](s *jsonStream, items iter.Seq2[T, error], mime string, h Headers, status StatusCode) error {
	s.mime, s.h, s.status = mime, h, status
	if h.Has("Content-Type") {
		s.mime = ""
	}
	if items == nil {
		return &SourceError{errNoSource}
	}
	if err := s.x.check(); err != nil {
		return err
	}
	if s.x.isHead {
		return s.finish()
	}
	encoder := newJSONEncoder(&s.buf, nil)
	ctx := s.x.watched()
	for v, err := range items {
		if err == nil && ctx.Err() == nil {
			s.buf.Reset()
			if s.array && s.begun {
				s.buf.WriteString(",\n")
			} else if s.array {
				s.buf.WriteByte('[')
			}
			err = encoder.encode(v)
		}
		if ctx.Err() != nil {
			return s.giveUp(s.x.ended())
		}
		if err != nil {
			return s.fail(err)
		}
		if s.array {
			s.buf.Truncate(s.buf.Len() - 1) // the line's end
		}
		if err = s.write(s.buf.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil { // the sequence may have ended for that reason
		return s.giveUp(s.x.ended())
	}
	return s.finish()
}

func (s *jsonStream) begin() error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if err := s.x.open(s.mime, s.h, nil, s.status); err != nil {
		return err
	}
	s.x.state, s.begun = sending, true
	return nil
}

func (s *jsonStream) write(p []byte) error {
	if !s.begun {
		if err := s.begin(); err != nil {
			return err
		}
	}
	return s.x.writeSoon(p)
}

// fail ends the answer for the sequence's fault.
func (s *jsonStream) fail(err error) error {
	if !s.begun {
		return &SourceError{err}
	}
	return s.x.breakOff(err)
}

// giveUp ends the answer because the Context has ended.
func (s *jsonStream) giveUp(cause error) error {
	if s.begun {
		s.x.breakOff(cause)
	}
	return cause
}

// finish ends an answer that is whole.
func (s *jsonStream) finish() error {
	end := "]\n"
	if !s.begun { // there was no item
		end = "[]\n"
		if err := s.begin(); err != nil {
			return err
		}
	}
	if s.array && !s.x.isHead {
		if err := s.x.writeSoon([]byte(end)); err != nil {
			return err
		}
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.x.state == returned {
		return ErrHandlerReturned
	}
	s.x.state = responded
	if s.x.late.last.IsZero() && !s.x.isHead {
		return s.x.flush() // there was nothing; the head has not gone
	}
	return nil
}
