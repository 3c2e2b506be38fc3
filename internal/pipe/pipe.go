// Package pipe carries a body from the transfer that receives it to the program that reads
// it, in chunks, and holds the transfer back when the program does not keep up.
//
// A pipe has one producer and one reader at a time. Everything else may be called from any
// goroutine.
//
//	producer   Room and Fill in turn, or Lend
//	its end    Stop, End, Close
//	reader     Read, WriteTo, All, Take
//	anybody    Peek, Available, Received, Limit, SetLimit
//
// The pipe calls its Owner, a Clock, the lent body and a writer, and never under its lock.
package pipe

import (
	"errors"
	"io"
	"sync"
)

// Owner is told what happens in a pipe, and may call it.
type Owner interface {
	// Arrived tells that bytes have arrived, received of them in all. It is called by the
	// producer, or by the reader while the body is lent.
	Arrived(received int64)
	// MayWait is asked by the reader when it would have to wait. An error refuses that, and is
	// what the reading returns.
	MayWait() error
}

// Clock measures how long the peer is silent.
type Clock interface {
	Touch()  // the peer was heard of
	Pause()  // something of ours is waited for
	Resume() // no more
}

// ErrEnded tells a producer that the pipe takes no more bytes.
var ErrEnded = errors.New("pipe: ended")

// Pipe is one body under way. Its zero value is an empty one; before anything waits for it,
// Init must have been called.
type Pipe struct {
	owner Owner

	mu sync.Mutex
	// The reader waits for bytes or for the end; the producer for room or for the body that
	// it has lent.
	changed sync.Cond

	first      chunk // the one that most bodies do with
	head, tail *chunk
	unread     int64
	limit      int64 // of unread bytes; 0 for none
	received   int64
	err        error     // what reading ends in, io.EOF for a body that is whole; nil before the end
	loan       *bodyLoan // nil while nothing is lent
	size       int32     // of the last chunk for a body of unknown length
	filling    bool      // the producer has the free space of the last chunk
	writing    bool      // the reader has the first chunk
	wanted     bool      // a reader waits for bytes
	producing  bool      // the producer waits for the reader
	wantsBody  bool      // and takes the body itself
	stopped    bool      // no more bytes are taken
	closed     bool      // nothing can be read any more
	scratch    [1]byte
}

// Init says whom the pipe belongs to, and at how many unread bytes its producer waits; 0 for
// no limit.
func (p *Pipe) Init(owner Owner, limit int64) {
	p.owner, p.limit = owner, limit
	p.changed.L = &p.mu
}

// Room waits until there are fewer unread bytes than the limit, and returns space for more,
// for the Fill that must follow. left is what is missing of the body, -1 when that is not
// known. The clock stands still while the reader is waited for. It fails with ErrEnded when
// the pipe takes no more bytes.
func (p *Pipe) Room(left int64, clock Clock) ([]byte, error) {
	p.mu.Lock()
	for p.full() && !p.stopped {
		p.mu.Unlock()
		clock.Pause()
		p.mu.Lock()
		p.producing = true
		for p.full() && !p.stopped {
			p.changed.Wait()
		}
		p.producing = false
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

// Fill adds the first n bytes of the space that Room has returned, and tells whether that
// wakes a reader. Bytes that come after the end do not count.
func (p *Pipe) Fill(n int) (woke bool) {
	p.mu.Lock()
	p.filling = false
	if p.stopped || n == 0 {
		p.drain()
		p.mu.Unlock()
		return false
	}
	p.tail.w += int32(n)
	p.unread += int64(n)
	p.received += int64(n)
	received := p.received
	if woke = p.wanted; woke {
		p.wanted = false
		p.changed.Broadcast()
	}
	p.mu.Unlock()
	p.owner.Arrived(received)
	return woke
}

// Scratch is where the producer may read the end of a body that is complete: space for the
// one byte that would be too much.
func (p *Pipe) Scratch() []byte { return p.scratch[:] }

// Stop takes no more bytes, and returns how many have come.
func (p *Pipe) Stop() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.producing {
		p.changed.Broadcast()
	}
	return p.received
}

// End says how the body has ended: with err, or whole when it is nil. What is unread stays
// readable. The first end stands.
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
	p.drain()
	p.changed.Broadcast()
}

// Close ends the body and throws away what is unread. Reading then fails with what the body
// has failed with, or else with err, which must not be nil.
func (p *Pipe) Close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || p.err == io.EOF {
		p.err = err
	}
	p.stopped, p.closed = true, true
	p.unread = 0
	p.drain()
	p.changed.Broadcast()
}

// Received is how many bytes have arrived.
func (p *Pipe) Received() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// Available is how many bytes can be read without waiting.
func (p *Pipe) Available() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unread
}

// Limit is the number of unread bytes at which the producer waits, 0 for no limit.
func (p *Pipe) Limit() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// SetLimit changes that number, for the bytes that are still to come.
func (p *Pipe) SetLimit(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
	p.changed.Broadcast()
}

// Peek copies bytes that are there, without taking them.
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
