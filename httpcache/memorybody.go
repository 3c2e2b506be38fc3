package httpcache

import (
	"bytes"
	"io"
	"sync"
)

const (
	chunkSize  = 64 << 10 // of a body in memory
	firstChunk = 1 << 10
)

// memoryBody is a body in chunks of chunkSize, of which only the last one can be shorter.
// All bytes of chunks up to size are written, and are not changed any more.
type memoryBody struct {
	chunks [][]byte
	size   int64
}

// Size is the number of bytes.
func (b *memoryBody) Size() int64 { return b.size }

// Close does nothing: the memory belongs to whoever uses it.
func (b *memoryBody) Close() error { return nil }

// from returns bytes from off on: the rest of a chunk, nil at the end.
func (b *memoryBody) from(off int64) []byte {
	if off < 0 || off >= b.size {
		return nil
	}
	chunk := b.chunks[off/chunkSize]
	start := off % chunkSize
	end := min(int64(len(chunk)), start+b.size-off)
	return chunk[start:end:end]
}

// ReadAt copies bytes from off on.
func (b *memoryBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n := 0
	for n < len(p) {
		part := b.from(off + int64(n))
		if len(part) == 0 {
			return n, io.EOF
		}
		n += copy(p[n:], part)
	}
	return n, nil
}

// cost is how much memory the chunks take.
func (b *memoryBody) cost() int64 {
	const header = 24 // of a slice
	k := len(b.chunks)
	if k == 0 {
		return 0
	}
	return int64(k-1)*(chunkSize+header) + int64(len(b.chunks[k-1])) + header
}

// memoryWriter writes an entry.
type memoryWriter struct {
	store  *Memory
	key    string
	id     [32]byte
	expect int64 // how large the body is said to become, -1 if unknown
	failed error // of the next Write or Commit
	stored bool
	closed bool

	mu   sync.Mutex // guards body, which only the writing goroutine changes
	body memoryBody
	one  [1][]byte // the first list of chunks
}

// Write appends to the body.
func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.failed == nil && int64(len(p)) > w.store.limits.withDefaults().Entry-w.body.size {
		w.failed = errTooLarge
	}
	if w.failed != nil {
		return 0, w.failed
	}
	for n := 0; n < len(p); {
		room := w.room()
		if len(room) == 0 {
			if !w.grow(int64(len(p) - n)) {
				w.failed = errFull
				return n, w.failed
			}
			room = w.room()
		}
		k := copy(room, p[n:])
		w.mu.Lock()
		w.body.size += int64(k)
		w.mu.Unlock()
		n += k
	}
	return len(p), nil
}

// room is the unwritten part of the last chunk.
func (w *memoryWriter) room() []byte {
	k := len(w.body.chunks)
	if k == 0 {
		return nil
	}
	return w.body.chunks[k-1][w.body.size-int64(k-1)*chunkSize:]
}

// grow makes room, if the Store has it: a new chunk, or a larger one in place of the last,
// which is full. n is how many bytes are to be written.
func (w *memoryWriter) grow(n int64) bool {
	full := w.body.size % chunkSize // bytes in the last chunk, 0 if it cannot be larger
	length := max(2*full, full+n, firstChunk)
	if rest := w.expect - w.body.size; rest >= n { // exactly what was announced
		length = full + rest
	}
	chunk := make([]byte, min(length, chunkSize))
	next := memoryBody{size: w.body.size}
	if full == 0 {
		if next.chunks = w.body.chunks; next.chunks == nil {
			next.chunks = w.one[:0]
		}
		next.chunks = append(next.chunks, chunk)
	} else { // readers may have the old list
		k := len(w.body.chunks)
		copy(chunk, w.body.chunks[k-1])
		next.chunks = append(w.body.chunks[:k-1:k-1], chunk)
	}
	return w.set(next)
}

// set replaces the body by the same bytes in other chunks, if the Store has room for them.
func (w *memoryWriter) set(next memoryBody) bool {
	if !w.store.reserve(next.cost() - w.body.cost()) {
		return false
	}
	w.mu.Lock()
	w.body = next
	w.mu.Unlock()
	return true
}

// ReadAt reads what is written.
func (w *memoryWriter) ReadAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	now := w.body
	w.mu.Unlock()
	return now.ReadAt(p, off)
}

// Commit stores the entry.
func (w *memoryWriter) Commit(meta []byte) error {
	if w.failed != nil {
		return w.failed
	}
	w.failed = errClosed
	if spare := int64(len(w.room())); spare > w.body.size/8 {
		k := len(w.body.chunks)
		next := memoryBody{size: w.body.size, chunks: w.body.chunks[: k-1 : k-1]}
		if used := len(w.body.chunks[k-1]) - int(spare); used > 0 {
			next.chunks = append(next.chunks, bytes.Clone(w.body.chunks[k-1][:used]))
		}
		w.set(next)
	}
	e := w.store.newEntry(w.key, w.id, meta, w.body)
	if !w.store.commit(e) {
		return errTooLarge
	}
	w.stored = true
	return nil
}

// Close gives the memory back if the entry was not stored.
func (w *memoryWriter) Close() error {
	w.failed = errClosed
	if !w.closed {
		w.closed = true
		if !w.stored {
			w.store.reserve(-w.body.cost())
		}
	}
	return nil
}
