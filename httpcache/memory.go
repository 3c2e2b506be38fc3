package httpcache

import (
	"bytes"
	"context"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	chunkSize  = 64 << 10 // of a body in memory
	firstChunk = 1 << 10
	// entryCost is what an entry takes besides its key, metadata and body.
	entryCost = 256
)

// Memory is a Store in memory. When it is full the entries go that have not been used for
// longest. Entries and bodies in use stay readable when they have been removed; the Store does not
// count them any more. Lookup, Create, Update and Remove take constant time in the number of
// entries. A Memory is also a Lister, and its Entries are Memos.
//
// The zero Memory has the default Limits.
type Memory struct {
	limits Limits

	mu    sync.Mutex
	keys  map[string][]Entry // *memoryEntry each; a slice is never changed, but replaced
	ring  *memoryEntry       // the entry used last, whose prev is the one to go first
	size  int64              // of entries and of what is being written
	count int
}

// NewMemory returns an empty Memory.
func NewMemory(l Limits) *Memory { return &Memory{limits: l} }

// memoryEntry is a stored entry. prev and next are guarded by Memory.mu.
type memoryEntry struct {
	key  string
	id   [32]byte
	meta []byte
	body memoryBody
	memo atomic.Value
	list [1]Entry  // what Memory.keys has for key if there is no other entry
	one  [1][]byte // the chunks of body if there is one

	prev, next *memoryEntry // nil if it is not stored any more
	store      *Memory
}

func (m *Memory) newEntry(key string, id [32]byte, meta []byte, b memoryBody) *memoryEntry {
	e := &memoryEntry{key: key, id: id, meta: bytes.Clone(meta), body: b, store: m}
	if len(b.chunks) == 1 {
		e.body.chunks = append(e.one[:0], b.chunks...)
	}
	return e
}

func (e *memoryEntry) Meta() []byte        { return e.meta }
func (e *memoryEntry) Memo() *atomic.Value { return &e.memo }

func (e *memoryEntry) Open(context.Context) (Body, error) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.store.touch(e)
	return &e.body, nil
}

// cost is what the entry counts of the Store's size.
func (e *memoryEntry) cost() int64 {
	return e.body.cost() + int64(len(e.key)+len(e.meta)+entryCost)
}

// Lookup returns the entries of a key.
func (m *Memory) Lookup(_ context.Context, key string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.keys[key]
	if len(list) == 1 { // of several, Open says which is used
		m.touch(list[0].(*memoryEntry))
	}
	return list, nil
}

// Create begins a new entry.
func (m *Memory) Create(_ context.Context, key string, v Variant) (Writer, error) {
	if v.Size > m.limits.withDefaults().Entry {
		return nil, nil
	}
	return &memoryWriter{store: m, key: strings.Clone(key), id: v.ID, expect: v.Size}, nil
}

// Update replaces the metadata of an entry.
func (m *Memory) Update(_ context.Context, e Entry, meta []byte) error {
	old, ok := e.(*memoryEntry)
	if !ok || old.store != m {
		return nil
	}
	updated := m.newEntry(old.key, old.id, meta, old.body)
	m.mu.Lock()
	defer m.mu.Unlock()
	if old.next == nil {
		return nil
	}
	m.put(updated)
	m.evict()
	return nil
}

// Remove removes the entries of a key.
func (m *Memory) Remove(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeKey(key)
	return nil
}

// RemovePrefix removes the entries of all keys that begin with prefix.
func (m *Memory) RemovePrefix(_ context.Context, prefix string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.keys {
		if strings.HasPrefix(key, prefix) {
			m.removeKey(key)
		}
	}
	return nil
}

// All yields all entries that there are when it begins.
func (m *Memory) All(ctx context.Context) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		m.mu.Lock()
		list := make([]*memoryEntry, 0, m.count)
		if e := m.ring; e != nil {
			for ok := true; ok; ok = e != m.ring {
				list = append(list, e)
				e = e.next
			}
		}
		m.mu.Unlock()
		for _, e := range list {
			if ctx.Err() != nil || !yield(e.key, e) {
				return
			}
		}
	}
}

// Size is the number of bytes that entries take, with those that are being written.
func (m *Memory) Size(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size, nil
}

// commit stores an entry whose body counts already.
func (m *Memory) commit(e *memoryEntry) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.cost() > m.limits.withDefaults().Size {
		return false
	}
	m.size -= e.body.cost()
	m.put(e)
	m.evict()
	return true
}

// reserve takes n bytes for an entry that is being written, and reports whether there is
// room for them.
func (m *Memory) reserve(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size += n
	m.evict()
	if n > 0 && m.size > m.limits.withDefaults().Size { // all of it is being written
		m.size -= n
		return false
	}
	return true
}

// The methods below are called with mu held.

// put stores an entry in place of the one with the same key and ID.
func (m *Memory) put(e *memoryEntry) {
	old := m.keys[e.key]
	list := e.list[:0:1]
	for _, o := range old {
		if o := o.(*memoryEntry); o.id == e.id {
			m.unlink(o)
		} else {
			list = append(list, o)
		}
	}
	if m.keys == nil {
		m.keys = map[string][]Entry{}
	}
	m.keys[e.key] = append(list, e)
	m.link(e)
	m.size += e.cost()
	m.count++
}

// link makes an entry the one that was used last.
func (m *Memory) link(e *memoryEntry) {
	if m.ring == nil {
		e.prev, e.next = e, e
	} else {
		e.prev, e.next = m.ring.prev, m.ring
		e.prev.next, e.next.prev = e, e
	}
	m.ring = e
}

// unlink takes an entry out of the order of use, and out of the size.
func (m *Memory) unlink(e *memoryEntry) {
	m.cut(e)
	m.size -= e.cost()
	m.count--
}

func (m *Memory) cut(e *memoryEntry) {
	if m.ring == e {
		m.ring = e.next
	}
	if m.ring == e {
		m.ring = nil
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// touch marks an entry as used, if it is stored.
func (m *Memory) touch(e *memoryEntry) {
	if e.next != nil && e != m.ring {
		m.cut(e)
		m.link(e)
	}
}

func (m *Memory) removeKey(key string) {
	for _, e := range m.keys[key] {
		m.unlink(e.(*memoryEntry))
	}
	delete(m.keys, key)
}

// evict removes entries until the others fit.
func (m *Memory) evict() {
	for limit := m.limits.withDefaults().Size; m.size > limit && m.ring != nil; {
		e := m.ring.prev
		m.unlink(e)
		old := m.keys[e.key]
		if len(old) == 1 {
			delete(m.keys, e.key)
			continue
		}
		list := make([]Entry, 0, len(old)-1)
		for _, o := range old {
			if o != Entry(e) {
				list = append(list, o)
			}
		}
		m.keys[e.key] = list
	}
}

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
