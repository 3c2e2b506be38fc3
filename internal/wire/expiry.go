package wire

import (
	"container/heap"
	"time"
)

// expiry closes idle connections after their time. A connection has at most one entry in
// the heap, made when it first becomes idle and kept while it is used again: only when the
// entry is due is the idle time checked.
type expiry struct {
	limit time.Duration // default idle time
	due   dueHeap
	timer *time.Timer
	armed time.Time // time to which the timer is set; zero for none
}

// expiryBatch bounds how many connections are checked while the lock is held.
const expiryBatch = 256

// schedule schedules the closing of c for the end of its idle time.
func (e *expiry) schedule(c *conn, now time.Time) {
	limit := e.limit
	if c.expiry > 0 {
		limit = c.expiry
	}
	if c.hint > 0 && c.hint < limit {
		limit = c.hint
	}
	c.idleSince, c.deadline = now, now.Add(limit)
	c.probes, c.nextProbe = 0, now.Add(probeInterval(0))
	e.enter(c, now)
}

// enter makes sure that c has an entry in time.
func (e *expiry) enter(c *conn, now time.Time) {
	due := c.deadline
	if c.probed && c.nextProbe.Before(due) {
		due = c.nextProbe
	}
	switch {
	case c.heapIndex == 0:
		c.due = due
		heap.Push(&e.due, c)
	case due.Before(c.due):
		c.due = due
		heap.Fix(&e.due, c.heapIndex-1)
	default:
		return // the existing entry is early enough
	}
	e.arm(now)
}

// remove removes the entry of a connection.
func (e *expiry) remove(c *conn) {
	if c.heapIndex > 0 {
		heap.Remove(&e.due, c.heapIndex-1)
	}
}

// arm sets the timer for the first entry.
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

// discardExpired discards connections at the end of their idle time, and starts dials for
// waiters that were blocked by them.
func (p *pool) discardExpired(now time.Time) {
	e := &p.expiry
	e.armed = time.Time{}
	for range expiryBatch {
		if len(e.due) == 0 || e.due[0].due.After(now) {
			break
		}
		c := heap.Pop(&e.due).(*conn)
		switch {
		case c.streams > 0: // in use: it gets a new entry when it is idle again
		case c.deadline.After(now) && c.probed && !c.nextProbe.After(now):
			c.host.takeForProbe(c)
		case c.deadline.After(now):
			e.enter(c, now)
		default:
			p.discard(c)
			c.host.startDials()
			c.host.dropIfEmpty()
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

// dueHeap orders connections by conn.due.
type dueHeap []*conn

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i+1, j+1
}

func (h *dueHeap) Push(c any) {
	*h = append(*h, c.(*conn))
	c.(*conn).heapIndex = len(*h)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	c.heapIndex = 0
	return c
}
