package netreply

import (
	"context"
	"io"
)

// Read waits for bytes of the body and takes them. It ends in io.EOF only when Err is
// nil, so that a copy of a body is known to be whole; otherwise, after every byte
// that came, in that *Error: a 404 is read to its end and then fails with
// ContentNotFoundError (rule G10). After Abort, Close or the cancellation of the
// context it fails at once.
func (r *Reply) Read(p []byte) (int, error) {
	if r.m == nil && len(p) > 0 {
		return 0, errUnmade()
	}
	return r.pipe.Read(p)
}

// WriteTo writes the body to w as it arrives, without copying it on the way. It
// returns what Read would have ended in, nil for io.EOF. What w does not take can still be
// read.
func (r *Reply) WriteTo(w io.Writer) (int64, error) {
	if r.m == nil {
		return 0, errUnmade()
	}
	return r.pipe.WriteTo(w)
}

// ReadAll waits for the end of the reply and returns what is unread of its
// body, with Err: the body of a 404 comes along with ContentNotFoundError. Inside
// OnSignal it does not wait: at ErrorOccurred that is all the same, since nothing more
// comes, and earlier it returns what is there with ErrInsideOnSignal.
func (r *Reply) ReadAll() ([]byte, error) {
	if r.m == nil {
		return nil, errUnmade()
	}
	all, err := r.pipe.All()
	r.Wait(context.Background()) // until the end has been told
	return all, err
}

// ReadAvailable takes the bytes that are there, nil when there are none, and never waits (Qt:
// readAll). ReadyRead tells when to call it again; behind Finished, what it returns is the
// rest, and Err says whether the body is whole. It may be called inside OnSignal.
func (r *Reply) ReadAvailable() []byte { return r.pipe.Take() }

// Peek copies bytes that are there already without taking them, and never
// waits.
func (r *Reply) Peek(p []byte) int { return r.pipe.Peek(p) }

// BytesAvailable is how many bytes can be read without waiting.
func (r *Reply) BytesAvailable() int64 { return r.pipe.Available() }

// ReadBufferSize is the number of unread bytes at which the peer is stopped; 0
// means no limit.
func (r *Reply) ReadBufferSize() int64 { return r.pipe.Limit() }

// SetReadBufferSize changes that number, from the next read on; 0 or less
// lifts the limit (rule B4).
func (r *Reply) SetReadBufferSize(n int64) { r.pipe.SetLimit(max(0, n)) }

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Reply)(nil)
