package netreply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"reflect"
	"strings"

	"github.com/netreply/netreply/internal/charset"
)

// maxValue is the largest body for JSON and Text where no MaxBodySize is set.
const maxValue = 64 << 20

// JSON waits for the end of the reply and decodes the unread body, a JSON text in UTF-8, into
// v as json.Unmarshal does. v must not be nil. A byte order mark is skipped, and data behind
// the text is an error.
//
// It returns Err if that is set. If the error is only the status, the body is decoded into v
// all the same, as far as it can be: many servers describe an error as JSON. A program that
// uses another type for these calls WaitHead and looks at StatusCode first. After any other
// failure of the reply v is unchanged, as it is if the text is not valid JSON.
//
// A body that cannot be decoded, an empty one included, is an *Error with code
// UnknownContentError and phase PhaseDecode, which wraps a *JSONError; Err, which is about the
// transfer, stays nil. For a 204 response call Wait. A body that is larger than 64 MiB, if
// neither the Request nor the Config sets a MaxBodySize, is an *Error with code
// UnknownContentError, which wraps a *SizeLimitError; what was read until then is lost, and the
// reply goes on. Inside OnSignal and Answer JSON does not wait: while the reply runs it returns
// an error that wraps ErrInsideOnSignal, and reads nothing.
func (r *Reply) JSON(v any) error {
	if p := reflect.ValueOf(v); p.Kind() != reflect.Pointer || p.IsNil() {
		err := &json.InvalidUnmarshalError{Type: reflect.TypeOf(v)}
		return localError(ProtocolInvalidOperationError, err.Error(), err)
	}
	if r.Err() == nil && !r.IsFinished() && r.insideCallback() {
		return errWouldWait()
	}
	body, err := r.readValue()
	var e *Error
	if err != nil && !(errors.As(err, &e) && e.isStatus()) {
		return err
	}
	invalid := unmarshal(body, v)
	if err != nil || invalid == nil {
		return err
	}
	invalid.StatusCode, invalid.MediaType = r.StatusCode(), r.mediaType()
	return r.contentError(PhaseDecode, invalid)
}

// Text waits for the end of the reply and returns the unread body as UTF-8, with Err: the
// text of a 404 response is returned with ContentNotFoundError. The encoding of the body is
// that of its byte order mark, which is removed, or else the charset of its Content-Type, or
// else UTF-8; what an HTML or XML document says about it is not looked at. The names are
// those of the WHATWG Encoding Standard, by which ISO-8859-1 and US-ASCII mean windows-1252.
// Bytes that are invalid in the encoding become U+FFFD.
//
// An unknown charset is an *Error with code UnknownContentError and phase PhaseDecode, which
// wraps a *CharsetError, unless Err is set. For the size and inside OnSignal the rules of
// JSON apply, except that Text returns what was received so far.
func (r *Reply) Text() (string, error) {
	body, err := r.readValue()
	label := r.charset()
	text, unknown := charset.Decode(body, label)
	if unknown != nil && err == nil {
		return "", r.contentError(PhaseDecode, &CharsetError{label})
	}
	return text, err
}

// readValue is ReadAll with the limit of maxValue.
func (r *Reply) readValue() ([]byte, error) {
	if r.req.MaxBodySize != 0 || r.IsFinished() && r.BytesAvailable() <= maxValue {
		return r.ReadAll()
	}
	var all bytes.Buffer
	_, err := all.ReadFrom(io.LimitReader(r, maxValue+1))
	switch {
	case err != nil:
		r.Wait(context.Background()) // reading finds an error before it has been told
	case all.Len() > maxValue:
		return nil, r.contentError(PhaseBody, fmt.Errorf("without a MaxBodySize: %w", &SizeLimitError{bodySize, maxValue, -1}))
	}
	return all.Bytes(), err
}

// JSONError is the cause of an error of Reply.JSON for a body that is not JSON, or does not
// fit the value.
type JSONError struct {
	// StatusCode and MediaType describe the response; the latter is its Content-Type without
	// parameters, "" for none.
	StatusCode int
	MediaType  string
	// Offset is how many bytes of the body come before the byte that is wrong, or are read
	// where a value does not fit.
	Offset int64
	// Err is the error of json.Unmarshal. Its text may contain parts of the body.
	Err error

	early bool // the text ends too early
}

// Error has no more of the body than a few characters, which are escaped.
func (e *JSONError) Error() string {
	mediaType := e.MediaType
	if mediaType == "" {
		mediaType = "no media type"
	}
	return printable(fmt.Sprintf("decoding the JSON of a response (%d, %s): %s at offset %d", e.StatusCode, mediaType, e.reason(), e.Offset), maxMessage)
}

func (e *JSONError) Unwrap() error { return e.Err }

// maxJSONReason bounds the text of an error that may quote the body.
const maxJSONReason = 100

func (e *JSONError) reason() string {
	if e.early { // the text of Err may speak of a character that is not there
		return "unexpected end of JSON input"
	}
	switch err := e.Err.(type) {
	case nil:
		return "an error"
	case *json.SyntaxError:
		return err.Error()
	case *json.UnmarshalTypeError:
		kind, _, _ := strings.Cut(err.Value, " ") // a number follows
		field := ""
		if err.Field != "" {
			field = "field " + err.Field + " of "
		}
		return fmt.Sprintf("a JSON %s cannot be stored in %stype %v", kind, field, err.Type)
	}
	return printable(e.Err.Error(), maxJSONReason)
}

// CharsetError is the cause of an error of Reply.Text for an unknown charset.
type CharsetError struct {
	// Charset is the parameter of the Content-Type.
	Charset string
}

func (e *CharsetError) Error() string { return "the text has the unknown charset " + quote(e.Charset) }

var byteOrderMark = []byte("\xef\xbb\xbf")

// unmarshal decodes a JSON text. Status and media type of the error are missing.
func unmarshal(body []byte, v any) *JSONError {
	text := bytes.TrimPrefix(body, byteOrderMark)
	err := json.Unmarshal(text, v)
	if err == nil {
		return nil
	}
	e := &JSONError{Err: err}
	switch err := err.(type) {
	case *json.SyntaxError:
		e.Offset = err.Offset
		if e.early = endsEarly(text, err); !e.early {
			e.Offset-- // the count includes the invalid byte
		}
	case *json.UnmarshalTypeError:
		e.Offset = err.Offset
	}
	e.Offset += int64(len(body) - len(text))
	return e
}

// endsEarly reports whether the error of a text is that it ends too early: then it is found
// later in a longer text.
func endsEarly(text []byte, err *json.SyntaxError) bool {
	if err.Offset < int64(len(text)) {
		return false
	}
	var later *json.SyntaxError
	return errors.As(json.Unmarshal(append(bytes.Clone(text), ' '), new(json.RawMessage)), &later) && later.Offset > err.Offset
}

// mediaType is the Content-Type without parameters.
func (r *Reply) mediaType() string {
	t, _, _ := strings.Cut(r.RawHeader("Content-Type"), ";")
	return strings.TrimSpace(t)
}

// charset is the parameter of that name of the Content-Type, "" for none.
func (r *Reply) charset() string {
	_, parameters, err := mime.ParseMediaType(r.RawHeader("Content-Type"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(parameters["charset"])
}

// contentError is the error of a body that was received but is not what the program wants.
func (r *Reply) contentError(phase Phase, cause error) *Error {
	e := contentFailure(phase, cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.url != nil {
		r.describe(e, r.pipe.Received())
	}
	return e
}
