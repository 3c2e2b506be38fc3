package wire

import (
	"container/heap"
	"time"
)

// expiry knows when idle connections are to be closed. A connection has one entry at most,
// made when it first becomes idle and kept while it is used again and again: only when the
// entry is due is it looked at whether the connection has been idle for so long.
type expiry struct {
	limit time.Duration // unless something else says less
	due   dueHeap
	timer *time.Timer
	armed time.Time // what the timer is set to; zero for nothing
}

// expiryBatch bounds how many connections are looked at under one hold of the lock.
const expiryBatch = 256

// keep has c closed at a time, unless it is used before.
func (e *expiry) keep(c *conn, now time.Time) {
	limit := e.limit
	if c.expiry > 0 {
		limit = c.expiry
	}
	if c.hint > 0 && c.hint < limit {
		limit = c.hint
	}
	c.idleFrom, c.deadline = now, now.Add(limit)
	switch {
	case c.dueAt == 0:
		c.due = c.deadline
		heap.Push(&e.due, c)
	case c.deadline.Before(c.due):
		c.due = c.deadline
		heap.Fix(&e.due, c.dueAt-1)
	default:
		return // the entry is there, and early enough
	}
	e.arm(now)
}

// forget drops the entry of a connection that is out of the books.
func (e *expiry) forget(c *conn) {
	if c.dueAt > 0 {
		heap.Remove(&e.due, c.dueAt-1)
	}
}

// arm sets the timer to the first entry.
func (e *expiry) arm(now time.Time) {
	if len(e.due) == 0 {
		return
	}
	first := e.due[0].due
	if !e.armed.IsZero() && !first.Before(e.armed) {
		return
	}
	e.armed = first
	e.timer.Reset(max(0, first.Sub(now)))
}

// discardExpired discards the connections that have been idle for too long, and lets others be
// opened for those whom they had no room for.
func (p *pool) discardExpired(now time.Time) {
	e := &p.expiry
	e.armed = time.Time{}
	for range expiryBatch {
		if len(e.due) == 0 || e.due[0].due.After(now) {
			break
		}
		c := heap.Pop(&e.due).(*conn)
		switch {
		case c.streams > 0: // it gets a new entry when it is idle again
		case c.deadline.After(now):
			c.due = c.deadline
			heap.Push(&e.due, c)
		default:
			p.discard(c)
			c.host.startDials()
			c.host.forget()
		}
	}
	e.arm(now)
}

// expire runs when the timer fires.
func (t *Transport) expire() {
	now := time.Now()
	t.mu.Lock()
	t.pool.discardExpired(now)
	t.unlock()
}

// dueHeap orders connections by the time at which to look at them.
type dueHeap []*conn

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].dueAt, h[j].dueAt = i+1, j+1
}

func (h *dueHeap) Push(c any) {
	*h = append(*h, c.(*conn))
	c.(*conn).dueAt = len(*h)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	c.dueAt = 0
	return c
}
