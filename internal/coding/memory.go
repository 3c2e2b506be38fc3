package coding

import (
	"container/list"
	"math"
	"math/bits"
	"sync"
	"time"
)

// uncounted is what every decoder may hold without asking. It covers gzip and deflate,
// and the buffers, tables and windows of short bodies.
const uncounted = 128 << 10

// backing is how many bytes of memory each byte from the wire stands for. A decoder that
// holds more has only been told to by its peer, which can say so in a few bytes.
const backing = 100

// maxUnbacked is what all decoders of a Budget may hold without such bytes: enough for any
// single one.
const maxUnbacked = 24 << 20

// patience is how long a decoder that has nothing yet waits for others to give memory
// back. Those of replies that nobody reads never do, so that the wait must end by itself.
const patience = 5 * time.Second

// Budget bounds the memory that all decoders of a client hold together beyond a small
// allowance for each: a peer chooses the window of its body, up to 16 MiB. Little of it is
// for what is not backed by received bytes. It also keeps the decoders that are not in
// use, so that they end with the client.
type Budget struct {
	limit   amount
	refused error // what fails a Read that finds nothing left

	brotlis, zstds pools

	mu      sync.Mutex
	used    amount
	waiting list.List // of *request, the oldest first
}

// amount is an amount of memory, and how much of it nothing has been received for.
type amount struct{ all, unbacked int64 }

func (a amount) plus(b amount) amount  { return amount{a.all + b.all, a.unbacked + b.unbacked} }
func (a amount) minus(b amount) amount { return amount{a.all - b.all, a.unbacked - b.unbacked} }
func (a amount) fits(b amount) bool    { return a.all <= b.all && a.unbacked <= b.unbacked }

// unlimited is for Readers that have no Budget.
var unlimited = NewBudget(math.MaxInt64, nil)

// NewBudget makes a Budget of a number of bytes. refused is the cause of the error that
// ends a body for which there is not enough.
func NewBudget(limit int64, refused error) *Budget {
	return &Budget{limit: amount{limit, min(limit, maxUnbacked)}, refused: refused}
}

// request is memory that is waited for.
type request struct {
	amount  amount
	granted chan struct{}
}

// take takes memory if there is enough.
func (b *Budget) take(a amount) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.used.plus(a).fits(b.limit) {
		return false
	}
	b.used = b.used.plus(a)
	return true
}

// await takes memory as soon as others have given enough back, for as long as patience
// allows and until closed or done is closed.
func (b *Budget) await(a amount, closed, done <-chan struct{}) bool {
	if !a.fits(b.limit) {
		return false
	}
	r := &request{a, make(chan struct{})}
	b.mu.Lock()
	place := b.waiting.PushBack(r)
	b.grant()
	b.mu.Unlock()
	timer := time.NewTimer(patience)
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
		b.grant() // what was too large for the rest may have kept smaller ones waiting
		return false
	}
}

func (b *Budget) give(a amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = b.used.minus(a)
	b.grant()
}

// grant serves those that wait, in order. The caller holds the lock.
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

// memory is what one decoder has taken from a Budget.
type memory struct {
	r    *Reader
	held amount
	err  error // once refused
}

// atLeast accounts for size bytes, or more if more were needed before. A decoder that has
// nothing yet waits for them; one that has some might wait for others that wait for it.
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
		b.give(amount{}.minus(more))
	case b.take(more), m.held.all == 0 && m.r.wait(more):
	default:
		m.err = b.refused
		return m.err
	}
	m.held = want
	return nil
}

// received gives back what has come to be backed.
func (m *memory) received() {
	if m.held.unbacked > 0 {
		m.atLeast(0)
	}
}

func (m *memory) release() {
	if m.held.all == 0 {
		return
	}
	m.r.limits.Memory.give(m.held)
	m.held = amount{}
}

// pools keep decoders by the memory they hold, in powers of two: one with a large window
// never serves a body that needs a small one.
type pools [32]sync.Pool

func (p *pools) of(size int64) *sync.Pool { return &p[min(bits.Len64(uint64(size)), len(p)-1)] }
