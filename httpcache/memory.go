package httpcache

import (
	"bytes"
	"context"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
)

// entryCost is what an entry takes besides its key, metadata and body.
const entryCost = 256

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
