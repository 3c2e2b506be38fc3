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
	// ErrNotChunked: no chunked answer has been begun, or it has ended.
	ErrNotChunked = errors.New("httpserver: no chunked response is open")
	// ErrBodyNotAllowed: the status has no content (204, 205, 304).
	ErrBodyNotAllowed = errors.New("httpserver: a response of this status has no body")
	// ErrTrailer: a trailer was not announced, or an announced one is missing.
	ErrTrailer = errors.New("httpserver: the trailers are not those that were announced")
	// ErrShort: the source had less than its size; the response is cut, and its
	// client sees that.
	ErrShort = errors.New("httpserver: the source ended before its size")
)

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
