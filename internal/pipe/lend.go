package pipe

import "io"

// bodyLoan is the body in the hands of a WriteTo, which reads it itself: that saves a
// hand-over and a copy for each piece. The producer sleeps meanwhile. The pipe's lock guards it.
type bodyLoan struct {
	body  io.Reader
	clock Clock
	taken bool  // a WriteTo is at it
	back  bool  // it was given back
	over  bool  // the body has ended, with err
	err   error // nil at its proper end
}

// Lend gives the body to a WriteTo that waits for bytes, and returns when that gives it back
// or the pipe has ended. over says that nothing is left of the body, which has ended with
// err; it is false at once when nobody waits for it. Without a limit nothing is lent: the
// body must come to its end even if the writer takes no more.
//
// When the pipe ends, the error is ErrEnded, and the reader may still be in a Read of the
// body: closing that must end it. The clock is touched for each piece, and stands still while
// it is written.
func (p *Pipe) Lend(body io.Reader, clock Clock) (over bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wantsBody || p.limit == 0 || p.unread > 0 || p.stopped {
		return false, nil
	}
	l := &bodyLoan{body: body, clock: clock}
	p.loan = l
	p.changed.Broadcast()
	p.producing = true
	for !l.back && !p.stopped {
		p.changed.Wait()
	}
	p.producing = false
	p.loan = nil
	if !l.back {
		return true, ErrEnded
	}
	return l.over, l.err
}

// copyDirect moves the lent body to w. The caller holds the lock and gets it back.
func (p *Pipe) copyDirect(w io.Writer) (total int64, err error) {
	l := p.loan
	l.taken = true
	var c chunk
	c.alloc(largeChunk)
	defer func() {
		c.free()
		l.back = true
		p.changed.Broadcast()
	}()
	for !p.stopped && !l.over && err == nil {
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

// copyPiece moves what one Read of the body gives, through buf, and keeps what w does not
// take.
func (p *Pipe) copyPiece(l *bodyLoan, w io.Writer, buf []byte) (written int, err error) {
	n, readErr := p.readLent(l, buf)
	if readErr != nil {
		l.over = true
		if readErr != io.EOF {
			l.err = readErr
		}
	}
	if n == 0 || p.stopped { // what comes after the end does not count
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
