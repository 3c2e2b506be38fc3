package netreply

import (
	"io"
	"net/http"
	"strconv"

	"github.com/netreply/netreply/internal/pipe"
)

// Write adds bytes to the body. It waits while the read buffer is full
// (Request.ReadBufferSize). For a HEAD request the bytes are dropped. More bytes than
// Content-Length are a *UsageError; more than Request.MaxBodySize fail the reply.
func (w ReplyWriter) Write(p []byte) (n int, err error) {
	const method = "Write"
	if err := w.w.beginWrite(method); err != nil {
		return 0, err
	}
	defer w.w.endWrite()
	if w.w.head.noBody {
		return len(p), nil
	}
	for n < len(p) {
		space, err := w.w.room(method)
		if err != nil {
			return n, err
		}
		k := copy(space, p[n:])
		w.w.r.pipe.Fill(k)
		n += k
	}
	return n, nil
}

// ReadFrom adds everything that src returns to the body, like Write. It reads straight into
// the read buffer.
func (w ReplyWriter) ReadFrom(src io.Reader) (n int64, err error) {
	const method = "ReadFrom"
	if isNil(src) {
		return 0, &UsageError{method, "a nil reader"}
	}
	if err := w.w.beginWrite(method); err != nil {
		return 0, err
	}
	defer w.w.endWrite()
	if w.w.head.noBody {
		return 0, nil
	}
	for empty := 0; empty < maxEmptyReads; empty++ {
		if left, _ := w.w.allowance(method); left == 0 { // there must be no more than that
			k, err := src.Read(w.w.r.pipe.Scratch())
			switch {
			case k > 0:
				return n, w.w.exceeded(method)
			case err == io.EOF:
				return n, nil
			case err != nil:
				return n, err
			}
			continue
		}
		space, err := w.w.room(method)
		if err != nil {
			return n, err
		}
		k, err := src.Read(space)
		w.w.r.clock.Touch()
		w.w.r.pipe.Fill(k)
		n += int64(k)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		case k > 0:
			empty = 0
		}
	}
	return n, io.ErrNoProgress
}

// maxEmptyReads is how often a source may return neither bytes nor an error.
const maxEmptyReads = 100

// beginWrite emits the head if necessary, and claims the body for one call; endWrite must
// follow if it succeeds.
func (w *replyWriter) beginWrite(method string) error {
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	if w.busy {
		w.mu.Unlock()
		return &UsageError{method, overlapping}
	}
	w.busy = true
	first := w.stage == beforeHead
	w.mu.Unlock()
	var err error
	if first {
		err = w.MetaDataChanged()
	}
	if err == nil && w.head.noBody && w.request.Method != http.MethodHead {
		err = &UsageError{method, noBodyHere}
	}
	if err != nil {
		w.endWrite()
	}
	return err
}

func (w *replyWriter) endWrite() {
	w.mu.Lock()
	w.busy = false
	w.mu.Unlock()
}

// room waits for space in the read buffer, at most as much as the body may still have.
func (w *replyWriter) room(method string) ([]byte, error) {
	r := w.r
	left, bounded := w.allowance(method)
	if left == 0 {
		return nil, w.exceeded(method)
	}
	hint := int64(-1)
	if bounded {
		hint = left
	}
	space, err := r.pipe.Room(hint, r.clock)
	switch {
	case r.ctx.Err() != nil:
		return nil, w.ended()
	case err == pipe.ErrEnded:
		return nil, &UsageError{method, afterEnd}
	case err != nil:
		return nil, err
	case bounded && int64(len(space)) > left:
		space = space[:left]
	}
	return space, nil
}

// allowance is how many more bytes the body may have, if that is bounded. The head does not
// change any more.
func (w *replyWriter) allowance(method string) (left int64, bounded bool) {
	left = -1
	got := w.r.pipe.Received()
	if w.head.length >= 0 {
		left = w.head.length - got
	}
	if limit := w.r.req.MaxBodySize; limit > 0 && (left < 0 || limit-got < left) {
		left = limit - got
	}
	return left, left >= 0
}

// exceeded is the error of more bytes than allowance.
func (w *replyWriter) exceeded(method string) error {
	if limit := w.r.req.MaxBodySize; limit > 0 && w.r.pipe.Received() == limit && w.head.length < 0 {
		return w.fail(&SizeLimitError{bodySize, limit, -1})
	}
	return &UsageError{method, "more bytes than the Content-Length of " + strconv.FormatInt(w.head.length, 10)}
}
