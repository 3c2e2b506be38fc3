// Package pipe transports a body, in chunks, from the transfer that receives it to the
// program that reads it, and makes the transfer wait when the program is slower.
//
// A pipe has one producer and one reader at a time. All other methods are safe for
// concurrent use.
//
//	producer   Room and Fill in turn, or Lend
//	its end    Stop, End, Close
//	reader     Read, WriteTo, All, Take
//	any        Peek, Available, Received, Limit, SetLimit
//
// The pipe never holds its lock while it calls its Owner, a Clock, the lent body or a
// writer.
package pipe

import (
	"errors"
	"io"
	"sync"
)

// Owner is the owner of a pipe. Its methods may call the pipe.
type Owner interface {
	// Arrived reports new bytes; received is the total number. It is called by the
	// producer, or by the reader while the body is lent.
	Arrived(received int64)
	// MayWait is called before a reader waits. If it returns an error, the reader returns
	// that instead of waiting.
	MayWait() error
}

// Clock measures the peer's silence.
type Clock interface {
	Touch()  // records activity of the peer
	Pause()  // the time until Resume does not count
	Resume() // ends a Pause
}

// ErrEnded is the producer's error when the pipe accepts no more bytes.
var ErrEnded = errors.New("pipe: ended")

// Pipe is one body in transport. Its zero value is empty; Init must be called before
// anything waits for it.
type Pipe struct {
	owner Owner

	mu sync.Mutex
	// The reader waits for bytes or the end; the producer for room or for the return of the
	// lent body. nil while nobody waits.
	changed *sync.Cond

	first         chunk // enough for most bodies
	head, tail    *chunk
	unread        int64
	limit         int64 // maximum of unread; 0 for none
	received      int64
	err           error     // error at the end of the body, io.EOF for a complete one; nil before the end
	loan          *bodyLoan // nil while nothing is lent
	waiting       int16     // number of goroutines that wait
	draining      int16     // number of running calls of All
	grown         uint8     // for a body of unknown length: index in growing of its next chunk
	whole         bool      // the last chunk has room for the rest of the body
	filling       bool      // the producer uses the free space of the last chunk
	writing       bool      // the reader uses the first chunk
	readerWaits   bool      // a reader is waiting for bytes
	producerWaits bool      // the producer is waiting for the reader
	wantsBody     bool      // the waiting reader can borrow the body
	stopped       bool      // no more bytes are accepted
	closed        bool      // nothing can be read any more
	renews        bool      // Renew was called: memory is kept
	scratch       [1]byte
}

// Init sets the owner, and the number of unread bytes at which the producer waits; 0 means
// no limit.
func (p *Pipe) Init(owner Owner, limit int64) {
	p.owner, p.limit = owner, limit
}

// conds are conditions that nobody waits for.
var conds = sync.Pool{New: func() any { return new(sync.Cond) }}

// wait waits for the next wake. The caller holds the lock, which is released meanwhile.
func (p *Pipe) wait() {
	if p.changed == nil {
		p.changed = conds.Get().(*sync.Cond)
		p.changed.L = &p.mu
	}
	p.waiting++
	p.changed.Wait()
	if p.waiting--; p.waiting == 0 {
		c := p.changed
		p.changed, c.L = nil, nil
		conds.Put(c)
	}
}

// wake ends all waits. The caller holds the lock.
func (p *Pipe) wake() {
	if p.changed != nil {
		p.changed.Broadcast()
	}
}

// Renew makes a pipe whose body has ended, or an empty one, that of another body, and keeps
// memory for that one. Unread bytes are dropped. It returns false and does nothing while anybody
// uses the pipe.
func (p *Pipe) Renew(owner Owner, limit int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.filling || p.writing || p.draining > 0 || p.loan != nil {
		return false
	}
	p.renews, p.stopped, p.unread = true, true, 0
	p.release()
	p.received, p.err, p.grown = 0, nil, 0
	p.readerWaits, p.wantsBody, p.whole, p.stopped, p.closed = false, false, false, false, false
	p.scratch = [1]byte{}
	p.Init(owner, limit)
	return true
}

// Room waits until there are fewer unread bytes than the limit, and returns space for more.
// Fill must follow. left is the number of bytes to come, -1 if unknown. The clock is paused
// during the wait. Room fails with ErrEnded when the pipe accepts no more bytes.
func (p *Pipe) Room(left int64, clock Clock) ([]byte, error) {
	p.mu.Lock()
	for p.full() && !p.stopped {
		p.mu.Unlock()
		clock.Pause()
		p.mu.Lock()
		p.producerWaits = true
		for p.full() && !p.stopped {
			p.wait()
		}
		p.producerWaits = false
		p.mu.Unlock()
		clock.Resume()
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.stopped {
		return nil, ErrEnded
	}
	return p.space(left), nil
}

// Fill adds the first n bytes of the space that Room has returned, and reports whether that
// has woken a reader that waits for any bytes. Bytes after the end are dropped.
func (p *Pipe) Fill(n int) (woke bool) {
	p.mu.Lock()
	p.filling = false
	if p.stopped || n == 0 {
		p.release()
		p.mu.Unlock()
		return false
	}
	p.tail.w += int32(n)
	p.unread += int64(n)
	p.received += int64(n)
	received := p.received
	woke = p.readerWaits
	if woke || p.draining > 0 && p.mustDrain() {
		p.readerWaits = false
		p.wake()
	}
	p.mu.Unlock()
	p.owner.Arrived(received)
	return woke
}

// Scratch returns one byte of space, for a Read that is to find the end of a complete body.
func (p *Pipe) Scratch() []byte { return p.scratch[:] }

// Stop makes the pipe accept no more bytes, and returns the number received.
func (p *Pipe) Stop() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.producerWaits {
		p.wake()
	}
	return p.received
}

// End ends the body, with err or, if that is nil, as complete. Unread bytes stay readable.
// Only the first error is kept.
func (p *Pipe) End(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = io.EOF
	}
	if p.err == nil {
		p.err = err
	}
	p.stopped = true
	p.release()
	p.wake()
}

// Close ends the body and drops the unread bytes. Reading then fails with the error of End
// or, if that is nil or was not called, with err, which must not be nil.
func (p *Pipe) Close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || p.err == io.EOF {
		p.err = err
	}
	p.stopped, p.closed = true, true
	p.unread = 0
	p.release()
	p.wake()
}

// Received is the number of bytes received.
func (p *Pipe) Received() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// Available is the number of bytes that can be read without waiting.
func (p *Pipe) Available() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unread
}

// Limit is the number of unread bytes at which the producer waits; 0 means no limit.
func (p *Pipe) Limit() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// SetLimit changes the limit, for bytes still to come.
func (p *Pipe) SetLimit(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
	p.wake()
}

// Peek copies unread bytes to b without consuming them.
func (p *Pipe) Peek(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	n := 0
	for c := p.head; c != nil && n < len(b); c = c.next {
		n += copy(b[n:], c.data[c.r:c.w])
	}
	return n
}
