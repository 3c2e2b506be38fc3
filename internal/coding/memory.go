package coding

import (
	"container/list"
	"math"
	"math/bits"
	"sync"
	"time"
)

// uncounted is the memory of every decoder that is not counted. It is enough for gzip and
// deflate, and for short bodies.
const uncounted = 128 << 10

// backing is how many bytes of memory are justified by each received byte. A decoder that
// holds more does so only because a few bytes of its peer request it.
const backing = 100

// maxUnbacked is the maximum memory that is not backed by received bytes, of all decoders
// of a Budget together: enough for any single one.
const maxUnbacked = 24 << 20

// memoryWait is how long a decoder without any memory waits for others to return memory. It
// is limited, because decoders of replies that are not read never do.
const memoryWait = 5 * time.Second

// Budget limits the total memory of all decoders of a client, beyond a small allowance for
// each: a peer chooses the window of its body, up to 16 MiB. Only a small part of it is for
// memory that is not backed by received bytes. It also owns the pools of unused decoders,
// so that these are freed with the client.
type Budget struct {
	limit   amount
	refused error // error of a Read that gets no memory

	brotlis, zstds pools

	mu      sync.Mutex
	used    amount
	waiting list.List // of *request, oldest first
}

// amount is an amount of memory, and the part of it that is not backed by received bytes.
type amount struct{ all, unbacked int64 }

func (a amount) plus(b amount) amount  { return amount{a.all + b.all, a.unbacked + b.unbacked} }
func (a amount) minus(b amount) amount { return amount{a.all - b.all, a.unbacked - b.unbacked} }
func (a amount) fits(b amount) bool    { return a.all <= b.all && a.unbacked <= b.unbacked }

// unlimited is for Readers without a Budget.
var unlimited = NewBudget(math.MaxInt64, nil)

// NewBudget makes a Budget of limit bytes. refused is the error of a body for which too
// little memory is left.
func NewBudget(limit int64, refused error) *Budget {
	return &Budget{limit: amount{limit, min(limit, maxUnbacked)}, refused: refused}
}

// request is a pending request for memory.
type request struct {
	amount  amount
	granted chan struct{}
}

// take takes memory if enough is left.
func (b *Budget) take(a amount) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.used.plus(a).fits(b.limit) {
		return false
	}
	b.used = b.used.plus(a)
	return true
}

// await takes memory as soon as enough is left. It fails after memoryWait, or when closed or
// done is closed.
func (b *Budget) await(a amount, closed, done <-chan struct{}) bool {
	if !a.fits(b.limit) {
		return false
	}
	r := &request{a, make(chan struct{})}
	b.mu.Lock()
	place := b.waiting.PushBack(r)
	b.grant()
	b.mu.Unlock()
	timer := time.NewTimer(memoryWait)
	defer timer.Stop()
	select {
	case <-r.granted:
		return true
	case <-closed:
	case <-done:
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-r.granted:
		return true
	default:
		b.waiting.Remove(place)
		b.grant() // it may have blocked smaller requests
		return false
	}
}

func (b *Budget) release(a amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = b.used.minus(a)
	b.grant()
}

// grant grants pending requests in order. The caller holds the lock.
func (b *Budget) grant() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		r := e.Value.(*request)
		if !b.used.plus(r.amount).fits(b.limit) {
			return
		}
		b.used = b.used.plus(r.amount)
		b.waiting.Remove(e)
		close(r.granted)
	}
}

// memory is the memory that one decoder has taken from a Budget.
type memory struct {
	r    *Reader
	held amount
	err  error // set when a request was refused
}

// atLeast takes memory so that at least size bytes are counted. Only a decoder without any
// memory waits: one that has some could wait for others that wait for it.
func (m *memory) atLeast(size int64) error {
	size -= uncounted
	if m.err != nil || size <= 0 && m.held.all == 0 {
		return m.err
	}
	b := m.r.limits.Memory
	want := amount{all: max(size, m.held.all)}
	want.unbacked = max(0, want.all-backing*m.r.WireBytes())
	switch more := want.minus(m.held); {
	case more == amount{}:
	case more.all <= 0 && more.unbacked <= 0:
		b.release(amount{}.minus(more))
	case b.take(more), m.held.all == 0 && m.r.wait(more):
	default:
		m.err = b.refused
		return m.err
	}
	m.held = want
	return nil
}

// received updates the unbacked part after bytes were received.
func (m *memory) received() {
	if m.held.unbacked > 0 {
		m.atLeast(0)
	}
}

func (m *memory) release() {
	if m.held.all == 0 {
		return
	}
	m.r.limits.Memory.release(m.held)
	m.held = amount{}
}

// pools are pools of decoders by their memory, in powers of two, so that a decoder with a
// large window is not used for a body that needs a small one.
type pools [32]sync.Pool

func (p *pools) of(size int64) *sync.Pool { return &p[min(bits.Len64(uint64(size)), len(p)-1)] }
