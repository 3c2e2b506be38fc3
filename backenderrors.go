package netreply

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strconv"
)

// backendError is an error of a Backend.
type backendError struct{ err error }

func (e *backendError) Error() string { return e.err.Error() }
func (e *backendError) Unwrap() error { return e.err }

// codeError is the error that a Backend has set by its code.
type codeError struct {
	code NetworkError
	text string
}

func (e *codeError) Error() string { return cmp.Or(e.text, "set by the Backend") }

// backendCode is the code for an error of a Backend.
func backendCode(err error) NetworkError {
	var code NetworkError
	var known *Error
	var set *codeError
	var ce *CertificateError
	var ne net.Error
	switch {
	case errors.As(err, &set):
		return set.code
	case errors.As(err, &known):
		return known.Code
	case errors.As(err, &code) && code != NoError:
		return code
	case errors.As(err, &ce):
		return SslHandshakeFailedError
	case errors.Is(err, fs.ErrNotExist):
		return ContentNotFoundError
	case errors.Is(err, fs.ErrPermission):
		return ContentAccessDenied
	case errors.Is(err, context.Canceled):
		return OperationCanceledError
	case errors.As(err, &ne) && ne.Timeout():
		return TimeoutError
	case errors.Is(err, io.ErrUnexpectedEOF):
		return RemoteHostClosedError
	}
	return UnknownNetworkError
}

// shortBodyError is the failure of a body that ended early.
type shortBodyError struct{ got, want int64 }

func (e *shortBodyError) Error() string {
	return "the body ended after " + strconv.FormatInt(e.got, 10) + " of the " + strconv.FormatInt(e.want, 10) + " bytes of its Content-Length"
}

func (e *shortBodyError) Unwrap() error { return io.ErrUnexpectedEOF }
