package netreply

import (
	"errors"
	"io"
)

// carry moves the lent body to w. What w does not take can still be read. The
// caller holds the lock and gets it back.
func (r *Reply) carry(w io.Writer) (total int64, writeErr error) {
	body := r.loan.body
	var c chunk
	c.alloc(largeChunk)
	defer c.free()
	for r.state == running {
		r.mu.Unlock()
		n, err := body.Read(c.data)
		if n > 0 {
			r.clock.Touch()
			r.mu.Lock()
			if r.state != running {
				break
			}
			r.received += int64(n)
			r.announce()
			r.clock.Pause()
			var m int
			m, writeErr = w.Write(c.data[:n])
			r.clock.Resume()
			total += int64(m)
			if writeErr == nil && m < n {
				writeErr = io.ErrShortWrite
			}
			r.mu.Lock()
			if writeErr != nil {
				r.buf.giveBack(c.data[m:n])
			}
		} else {
			r.mu.Lock()
		}
		if err != nil {
			r.loan.over = true
			if err != io.EOF {
				r.loan.err = err
			}
		}
		if err != nil || writeErr != nil {
			break
		}
	}
	r.loan.body = nil
	r.cond.Broadcast()
	return total, writeErr
}

// Read waits for bytes of the body and takes them. It ends in io.EOF only when Err is
// nil, so that a copy of a body is known to be whole; otherwise, after every byte
// that came, in that *Error: a 404 is read to its end and then fails with
// ContentNotFoundError (rule G10). After Abort, Close or the cancellation of the
// context it fails at once.
func (r *Reply) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := r.await()
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	r.take(n)
	return n, nil
}

// await waits for unread bytes. The caller holds the lock.
func (r *Reply) await() ([]byte, error) {
	if r.m == nil {
		return nil, errUnmade()
	}
	for {
		if r.readErr != nil {
			return nil, r.readErr
		}
		if data := r.buf.head(); len(data) > 0 {
			return data, nil
		}
		if r.state != running {
			if r.err != nil {
				return nil, r.err
			}
			return nil, io.EOF
		}
		if r.wantsLoan && r.loan != nil && r.loan.body != nil {
			return nil, errLent
		}
		if r.insideCallback() {
			return nil, errWouldWait()
		}
		r.cond.Wait()
	}
}

// errLent tells WriteTo that the body is its own to read.
var errLent = errors.New("body lent")

// take marks bytes as read. The caller holds the lock.
func (r *Reply) take(n int) {
	full := r.buf.full()
	r.buf.consumed(n)
	if full && !r.buf.full() {
		r.cond.Broadcast()
	}
	if r.state == finished {
		r.buf.drain()
	}
}

// WriteTo writes the body to w as it arrives, without copying it on the way. It
// returns what Read would have ended in, nil for io.EOF.
func (r *Reply) WriteTo(w io.Writer) (int64, error) {
	var total int64
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		r.wantsLoan = true
		data, err := r.await()
		r.wantsLoan = false
		if err == errLent {
			n, err := r.carry(w)
			total += n
			if err != nil {
				return total, err
			}
			continue
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		r.buf.lent = true
		r.mu.Unlock()
		n, err := w.Write(data)
		r.mu.Lock()
		r.buf.lent = false
		total += int64(n)
		r.take(n)
		if err == nil && n < len(data) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// ReadAll waits for the end of the reply and returns what is unread of its
// body, with Err: the body of a 404 comes along with ContentNotFoundError. Inside
// OnSignal it does not wait: at ErrorOccurred that is all the same, since nothing more
// comes, and earlier it returns what is there with ErrInsideOnSignal.
func (r *Reply) ReadAll() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		return nil, errUnmade()
	}
	var all []byte
	var early error
	for r.state != finished && r.readErr == nil {
		if r.buf.limit > 0 {
			if data := r.buf.head(); len(data) > 0 {
				all = append(all, data...)
				r.take(len(data))
				continue
			}
		}
		if r.insideCallback() {
			if r.state == running {
				early = errWouldWait()
			}
			break
		}
		r.cond.Wait()
	}
	switch {
	case r.readErr != nil:
		return nil, r.readErr
	case all == nil:
		all = r.buf.whole()
	default:
		all = append(all, r.buf.whole()...)
	}
	if r.err != nil {
		return all, r.err
	}
	return all, early
}

// Peek copies bytes that are there already without taking them, and never
// waits.
func (r *Reply) Peek(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	if r.readErr != nil {
		return 0
	}
	for _, c := range r.buf.chunks {
		n += copy(p[n:], c.data[c.r:c.w])
	}
	return n
}

// BytesAvailable is how many bytes can be read without waiting.
func (r *Reply) BytesAvailable() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.unread
}

// ReadBufferSize is the number of unread bytes at which the peer is stopped; 0
// means no limit.
func (r *Reply) ReadBufferSize() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.limit
}

// SetReadBufferSize changes that number, from the next read on; 0 or less
// lifts the limit (rule B4).
func (r *Reply) SetReadBufferSize(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.limit = max(0, n)
	r.cond.Broadcast()
}
