package httpserver

import (
	"errors"
	"strconv"
)

// What a Responder refuses. Nothing is sent then, and what was sent before is not
// disturbed.
var (
	// ErrAlreadyResponded: the answer has been given, or a chunked one begun.
	ErrAlreadyResponded = errors.New("httpserver: already responded")
	// ErrHandlerReturned: the handler whose request this is has returned, and with that
	// its answer has ended.
	ErrHandlerReturned = errors.New("httpserver: the handler has returned")
	// ErrNotChunked: no chunked answer has been begun, or it has ended.
	ErrNotChunked = errors.New("httpserver: no chunked response is open")
	// ErrBodyNotAllowed: the status has no content (204, 205, 304), or the request was
	// HEAD and the answer is complete.
	ErrBodyNotAllowed = errors.New("httpserver: a response of this status, or to HEAD, has no body")
	// ErrTrailer: a trailer was not announced, or an announced one is missing.
	ErrTrailer = errors.New("httpserver: the trailers are not those that were announced")
)

// What a SourceError can wrap besides the error of the source itself.
var (
	// ErrShort: the source ended before the size that it had given.
	ErrShort = errors.New("the source ended before its size")
	// ErrLong: the source has more than the size that it had given.
	ErrLong = errors.New("the source has more than its size")

	errNoSource  = errors.New("the source is nil")
	errDirectory = errors.New("the source is a directory")
	errNoSeek    = errors.New("the source cannot seek")
	errDevice    = errors.New("the source is a device")
)

// SourceError is a source that cannot be sent, or not to its end. When
// Responder.Responded is false, nothing has been sent and another answer can be given;
// otherwise the answer is cut, and its client sees that.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "httpserver: source: " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// StatusError is a status that a call cannot send.
type StatusError struct{ Status StatusCode }

func (e *StatusError) Error() string {
	return "httpserver: status " + strconv.Itoa(int(e.Status)) + " cannot be sent here"
}

// HeaderError is a header field that cannot be sent.
type HeaderError struct {
	Name   string
	Reason string
}

func (e *HeaderError) Error() string {
	return "httpserver: header " + strconv.Quote(e.Name) + ": " + e.Reason
}
