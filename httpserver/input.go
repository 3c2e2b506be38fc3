package httpserver

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// What can be wrong with the body of a request, see InputError.
var (
	// ErrTooLarge: the body, or a part of it, is larger than allowed, or has too many parts.
	ErrTooLarge = errors.New("the body is too large")
	// ErrMediaType: the body has another Content-Type than those taken, or a
	// Content-Encoding.
	ErrMediaType = errors.New("the media type is not supported")
	// ErrEmpty: there is no body, or it is blank.
	ErrEmpty = errors.New("the body is empty")
	// ErrIncomplete: the body has not come to its end, or too slowly.
	ErrIncomplete = errors.New("the body is incomplete")
	// ErrSyntax: the body is not what its Content-Type says.
	ErrSyntax = errors.New("the body has a syntax error")
	// ErrTrailingData: there is more behind the JSON value.
	ErrTrailingData = errors.New("there is data behind the value")
	// ErrWrongType: a value is not of the type that is wanted.
	ErrWrongType = errors.New("a value has the wrong type")
	// ErrUnknownField: there is a field that is not known, or a file where none is taken.
	ErrUnknownField = errors.New("a field is not known")
)

// InputError is the body of a request that its handler cannot use. ProblemOf makes an
// answer of it.
type InputError struct {
	Kind error // one of the errors above, for errors.Is
	// Field is what is wrong: in JSON the JSON Pointer (RFC 6901) of the value, "/rooms/0/size"
	// for instance, and in a form the name of the field. It is empty when that is the whole
	// body, when there is none, as for syntax errors, and in the rare case that a value of
	// JSON cannot be found: where v has pointers inside interfaces, or an UnmarshalJSON does
	// not give the same error again.
	Field string
	// Offset is how many bytes of the body are before what is wrong; 0 also when that is not
	// known. In JSON it is known whenever Field is. In forms, which are read in blocks, it is
	// how much had been read.
	Offset int64
	Err    error // what else is known, or nil; it is not for clients

	detail string // what is wrong in the words of the program, for clients; may be empty
}

func (e *InputError) Error() string {
	text := "httpserver: input: " + e.forClient()
	if e.Err != nil {
		text += ": " + shorten(e.Err.Error(), maxLogged) // encoding/json shows all of a number or name
	}
	return text
}

func (e *InputError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.kind()}
	}
	return []error{e.kind(), e.Err}
}

func (e *InputError) kind() error {
	if e.Kind == nil {
		return ErrSyntax
	}
	return e.Kind
}

// maxShown is how many bytes of a field's name, which the client may have chosen, are shown.
const maxShown = 100

// forClient says what the client has done wrong, and nothing of the program.
func (e *InputError) forClient() string {
	text := e.kind().Error()
	if e.detail != "" {
		text += ": " + e.detail
	}
	if e.Field != "" {
		text += ", field " + strconv.Quote(shorten(e.Field, maxShown))
	}
	if e.Offset > 0 {
		text += ", at byte " + strconv.FormatInt(e.Offset, 10)
	}
	return text
}

// shorten is a text that a client has chosen, or its beginning.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// Status is that of the answer to such a body: 400, 408, 413, 415 or 422.
func (e *InputError) Status() StatusCode {
	switch e.kind() {
	case ErrTooLarge:
		return PayloadTooLarge
	case ErrMediaType:
		return UnsupportedMediaType
	case ErrWrongType, ErrUnknownField:
		return UnprocessableEntity
	}
	if errors.Is(e.Err, os.ErrDeadlineExceeded) {
		return RequestTimeout
	}
	return BadRequest
}

// tooLarge says what is larger than which limit, after done bytes of the body.
func tooLarge(what string, limit, done int64) *InputError {
	return &InputError{Kind: ErrTooLarge, Offset: done, detail: what + " has more than " + strconv.FormatInt(limit, 10) + " bytes"}
}

// bodyReader reads the body of a request up to a limit. Its errors, but for io.EOF, are
// *InputErrors.
type bodyReader struct {
	src      io.Reader
	limit    int64 // below 0: any
	done     int64
	total    int64 // -1 when it is not known
	progress func(done, total int64)
	err      error // has ended it
}

// limitOr gives a limit its value: 0 is initial, below 0 none.
func limitOr(limit, initial int64) int64 {
	if limit == 0 {
		return initial
	}
	return max(-1, limit)
}

// newBodyReader refuses a body of which it is known that it is too large.
func newBodyReader(r *http.Request, limit int64) (*bodyReader, error) {
	b := &bodyReader{src: r.Body, limit: limit, total: r.ContentLength}
	if r.Body == nil {
		b.src, b.total = http.NoBody, 0
	}
	if limit >= 0 && b.total > limit {
		return nil, tooLarge("the body", limit, limit)
	}
	return b, nil
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if left := b.limit - b.done; b.limit >= 0 && int64(len(p))-1 > left { // left+1 may be beyond an int64
		p = p[:left+1]
	}
	n, err := b.src.Read(p)
	if left := b.limit - b.done; b.limit >= 0 && int64(n) > left {
		n, err = int(left), tooLarge("the body", b.limit, b.limit)
	}
	b.done += int64(n)
	b.err = b.inputError(err)
	if n > 0 && b.progress != nil {
		b.progress(b.done, b.total)
	}
	return n, b.err
}

// inputError says whose fault the end of a body is.
func (b *bodyReader) inputError(err error) error {
	var typed *InputError
	var limit *http.MaxBytesError
	switch {
	case err == nil, err == io.EOF, errors.As(err, &typed), errors.Is(err, http.ErrBodyReadAfterClose):
		return err
	case errors.As(err, &limit):
		input := tooLarge("the body", limit.Limit, limit.Limit)
		input.Err = err
		return input
	}
	return &InputError{Kind: ErrIncomplete, Offset: b.done, Err: err}
}
