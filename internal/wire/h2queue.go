package wire

import (
	"net"
	"runtime"
	"sync"
)

// Sizes of what an h2Queue writes.
const (
	// h2QueuedWrite is the largest write that is queued. Larger ones carry request bodies:
	// they are not copied, and do not return before they were written.
	h2QueuedWrite = 4 << 10
	// h2QueueLimit is the number of queued bytes from which on writes wait.
	h2QueueLimit = 64 << 10
	// h2QueueKeep is the largest buffer that is kept for the next bytes.
	h2QueueKeep = 16 << 10
)

// h2Queue joins the small writes of an HTTP/2 connection. net/http writes the head of every
// request, and every WINDOW_UPDATE, by itself, under a lock that all its exchanges need.
// While a connection has several streams these writes return at once, and one goroutine
// writes what has come together: in fewer system calls and TLS records, and without keeping
// the exchanges waiting.
type h2Queue struct {
	conn net.Conn
	// failed is called, on the goroutine of the queue, when a queued write has failed.
	failed func(error)

	mu      sync.Mutex
	more    sync.Cond // something was queued, a write has ended, or the queue was closed
	less    sync.Cond // a write has begun or ended, or the queue was closed
	bytes   []byte    // queued
	spare   []byte    // an empty buffer
	running bool      // the goroutine was started
	writing bool      // a write is running
	closed  bool
	err     error // of a write
}

func (q *h2Queue) init(conn net.Conn, failed func(error)) {
	q.conn, q.failed = conn, failed
	q.more.L, q.less.L = &q.mu, &q.mu
}

// add queues p, which is small. It waits only while too much is queued.
func (q *h2Queue) add(p []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.bytes) > h2QueueLimit && q.usable() == nil {
		q.less.Wait()
	}
	if err := q.usable(); err != nil {
		return err
	}
	q.bytes = append(q.bytes, p...)
	switch {
	case !q.running:
		q.running = true
		go q.run()
	case len(q.bytes) == len(p):
		q.more.Signal()
	}
	return nil
}

// usable returns why nothing can be written any more. The caller holds the lock.
func (q *h2Queue) usable() error {
	if q.err == nil && q.closed {
		return net.ErrClosed
	}
	return q.err
}

// write writes what is queued, and p after it.
func (q *h2Queue) write(p []byte) error {
	q.mu.Lock()
	for q.writing && q.usable() == nil {
		q.less.Wait()
	}
	if err := q.usable(); err != nil {
		q.mu.Unlock()
		return err
	}
	if len(q.bytes) > 0 && len(p) <= h2QueuedWrite {
		q.bytes = append(q.bytes, p...)
		p = nil
	}
	err := q.flush(p)
	q.more.Signal()
	q.mu.Unlock()
	return err
}

// flush writes what is queued, and p after it. The caller holds the lock, which is released
// during the writes; no other write is running.
func (q *h2Queue) flush(p []byte) (err error) {
	first := q.bytes
	q.bytes, q.spare = q.spare, nil
	q.writing = true
	q.less.Broadcast()
	q.mu.Unlock()
	if len(first) > 0 {
		_, err = q.conn.Write(first)
	}
	if err == nil && len(p) > 0 {
		_, err = q.conn.Write(p)
	}
	q.mu.Lock()
	q.writing = false
	if cap(first) <= h2QueueKeep {
		q.spare = first[:0]
	}
	if q.err == nil {
		q.err = err
	}
	q.less.Broadcast()
	return err
}

// run writes what is queued. It ends with the connection.
func (q *h2Queue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for q.usable() == nil && (q.writing || len(q.bytes) == 0) {
			q.more.Wait()
		}
		if q.usable() != nil {
			return
		}
		// let the exchanges that can run add theirs
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
		if q.writing || len(q.bytes) == 0 || q.usable() != nil {
			continue
		}
		if err := q.flush(nil); err != nil && !q.closed {
			q.mu.Unlock()
			q.failed(err)
			q.mu.Lock()
			return
		}
	}
}

// close ends the queue; what has not been written is dropped. The caller then closes the
// connection, which ends a running write.
func (q *h2Queue) close() {
	q.mu.Lock()
	q.closed = true
	q.more.Broadcast()
	q.less.Broadcast()
	q.mu.Unlock()
}
