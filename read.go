package netreply

import (
	"context"
	"io"
)

// Read waits for bytes of the body and returns them. At the end it returns io.EOF only if
// Err is nil, so that a copy of a body is known to be complete; otherwise it returns that
// *Error after every byte that was received: a 404 response is read to its end and then
// fails with ContentNotFoundError (rule G10). After Abort, Close or the cancellation of the
// context it fails at once.
func (r *Reply) Read(p []byte) (int, error) {
	if r.m == nil && len(p) > 0 {
		return 0, errNotMade()
	}
	return r.pipe.Read(p)
}

// WriteTo writes the body to w as it arrives, without another copy of the data. It returns
// the error that Read would return at the end, with nil for io.EOF. Bytes that w has not
// accepted can still be read.
func (r *Reply) WriteTo(w io.Writer) (int64, error) {
	if r.m == nil {
		return 0, errNotMade()
	}
	return r.pipe.WriteTo(w)
}

// ReadAll waits for the end of the reply and returns the unread body and Err: the body of a
// 404 response is returned with ContentNotFoundError. Inside OnSignal and Answer it does not
// wait: it returns the bytes received so far, and before ErrorOccurred an error that wraps
// ErrInsideOnSignal.
func (r *Reply) ReadAll() ([]byte, error) {
	if r.m == nil {
		return nil, errNotMade()
	}
	all, err := r.pipe.All()
	if err != nil { // which reading finds before it has been told
		r.Wait(context.Background())
	}
	return all, err
}

// ReadAvailable returns the bytes that can be read without waiting, nil if there are none
// (Qt: readAll). ReadyRead tells when to call it again. After Finished it returns the rest,
// and Err says whether the body is complete. It may be called inside OnSignal.
func (r *Reply) ReadAvailable() []byte { return r.pipe.Take() }

// Peek copies received bytes to p without consuming them. It never waits.
func (r *Reply) Peek(p []byte) int { return r.pipe.Peek(p) }

// BytesAvailable is how many bytes can be read without waiting.
func (r *Reply) BytesAvailable() int64 { return r.pipe.Available() }

// ReadBufferSize is the number of unread bytes at which receiving pauses; 0 means no limit.
func (r *Reply) ReadBufferSize() int64 { return r.pipe.Limit() }

// SetReadBufferSize changes ReadBufferSize, from the next read on; 0 or less means no limit
// (rule B4).
func (r *Reply) SetReadBufferSize(n int64) { r.pipe.SetLimit(max(0, n)) }

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Reply)(nil)
