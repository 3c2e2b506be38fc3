package pipe

import "io"

// bodyLoan is a body that a WriteTo reads directly, which saves a goroutine switch and a
// copy for each piece. The producer waits meanwhile. The pipe's lock guards it.
type bodyLoan struct {
	body     io.Reader
	clock    Clock
	borrowed bool  // a WriteTo is reading it
	returned bool  // WriteTo has returned it
	ended    bool  // the body has ended, with err
	err      error // nil for io.EOF
}

// Lend lends the body to a WriteTo that waits for bytes, and returns when that returns it
// or the pipe has ended. over means that the body has ended, with err. It is false, without
// waiting, when no WriteTo is waiting. Without a limit nothing is lent, because the whole
// body must be received even if the writer accepts no more.
//
// When the pipe ends, the error is ErrEnded, and the reader may still be in a Read of the
// body: closing the body must end it. The clock is touched for each piece, and paused while
// the piece is written.
func (p *Pipe) Lend(body io.Reader, clock Clock) (over bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wantsBody || p.limit == 0 || p.unread > 0 || p.stopped {
		return false, nil
	}
	l := &bodyLoan{body: body, clock: clock}
	p.loan = l
	p.wake()
	p.producerWaits = true
	for !l.returned && !p.stopped {
		p.wait()
	}
	p.producerWaits = false
	p.loan = nil
	if !l.returned {
		return true, ErrEnded
	}
	return l.ended, l.err
}

// copyDirect copies the lent body to w. The caller holds the lock, which is released during
// I/O.
func (p *Pipe) copyDirect(w io.Writer) (total int64, err error) {
	l := p.loan
	l.borrowed = true
	var c chunk
	c.alloc(largeChunk)
	defer func() {
		c.free()
		l.returned = true
		p.wake()
	}()
	for !p.stopped && !l.ended && err == nil {
		var n int
		n, err = p.copyPiece(l, w, c.data)
		total += int64(n)
	}
	return total, err
}

func (p *Pipe) readLent(l *bodyLoan, buf []byte) (int, error) {
	p.mu.Unlock()
	defer p.mu.Lock()
	n, err := l.body.Read(buf)
	if n > 0 {
		l.clock.Touch()
	}
	return n, err
}

// copyPiece copies the bytes of one Read through buf, and puts back those that w has not
// accepted.
func (p *Pipe) copyPiece(l *bodyLoan, w io.Writer, buf []byte) (written int, err error) {
	n, readErr := p.readLent(l, buf)
	if readErr != nil {
		l.ended = true
		if readErr != io.EOF {
			l.err = readErr
		}
	}
	if n == 0 || p.stopped { // bytes after the end are dropped
		return 0, nil
	}
	p.received += int64(n)
	received := p.received
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.putBack(buf[written:n])
	}()
	p.owner.Arrived(received)
	l.clock.Pause()
	defer l.clock.Resume()
	return write(w, buf[:n])
}
