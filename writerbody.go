package netreply

import (
	"errors"
	"io"
	"net/http"
	"strconv"
)

func (w *replyWriter) Write(p []byte) (n int, err error) {
	const method = "Write"
	noBody, err := w.beginWrite(method)
	if err != nil {
		return 0, err
	}
	defer w.endWrite()
	if noBody {
		return len(p), nil
	}
	for n < len(p) {
		space, err := w.room(method)
		if err != nil {
			return n, err
		}
		k := copy(space, p[n:])
		w.r.pipe.Fill(k)
		n += k
	}
	return n, nil
}

func (w *replyWriter) ReadFrom(src io.Reader) (n int64, err error) {
	const method = "ReadFrom"
	if isNil(src) {
		return 0, &UsageError{method, "a nil reader"}
	}
	noBody, err := w.beginWrite(method)
	if err != nil || noBody {
		if noBody {
			w.endWrite()
		}
		return 0, err
	}
	defer w.endWrite()
	for empty := 0; empty < maxEmptyReads; empty++ {
		if left, _ := w.allowance(method); left == 0 { // there must be no more than that
			k, err := src.Read(w.r.pipe.Scratch())
			w.r.clock.Touch()
			switch {
			case k > 0:
				return n, w.exceeded(method)
			case err == io.EOF:
				return n, nil
			case err != nil:
				return n, err
			}
			continue
		}
		space, err := w.room(method)
		if err != nil {
			return n, err
		}
		k, err := w.fillFrom(src, space)
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

// fillFrom reads once from src into space, and adds what was read. The body stays usable if
// src panics.
func (w *replyWriter) fillFrom(src io.Reader, space []byte) (n int, err error) {
	defer func() { w.r.pipe.Fill(n) }()
	k, err := src.Read(space)
	w.r.clock.Touch()
	if k < 0 || k > len(space) {
		return 0, errBadCount
	}
	return k, err
}

// errBadCount is the error of a source that violates io.Reader.
var errBadCount = errors.New("the reader returned an impossible number of bytes")

// maxEmptyReads is how often a source may return neither bytes nor an error.
const maxEmptyReads = 100

// beginWrite emits the head if necessary, and claims the body for one call; endWrite must
// follow if it succeeds. noBody reports that the bytes are dropped.
func (w *replyWriter) beginWrite(method string) (noBody bool, err error) {
	if err := w.lock(method, inBody); err != nil {
		return false, err
	}
	if w.busy {
		w.mu.Unlock()
		return false, &UsageError{method, overlapping}
	}
	w.busy = true
	first := w.stage == beforeHead
	w.mu.Unlock()
	claimed := false
	defer func() {
		if !claimed {
			w.endWrite()
		}
	}()
	if first {
		if err := w.MetaDataChanged(); err != nil && !w.isOpen() {
			return false, err
		}
	}
	w.mu.Lock()
	noBody = w.head.noBody
	w.mu.Unlock()
	if noBody && w.method != http.MethodHead {
		return false, &UsageError{method, noBodyHere}
	}
	claimed = true
	return noBody, nil
}

// isOpen reports whether the head is out and the body may follow: another goroutine may have
// called MetaDataChanged just before.
func (w *replyWriter) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused("", inBody) == nil && w.stage == inBody
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
	w.mu.Lock()
	refused := w.refused(method, inBody)
	w.mu.Unlock()
	switch {
	case refused != nil:
		if err == nil {
			r.pipe.Fill(0) // which must follow Room
		}
		return nil, refused
	case err != nil: // the end of the reply, a moment ago
		return nil, w.ended()
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
