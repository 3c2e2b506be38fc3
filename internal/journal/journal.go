// Package journal records events in order, for any number of readers, which may start at
// any time and read at their own pace.
//
// Entries that conflate, such as progress, are replaced by newer ones of their kind, so
// that a Record grows only with the others.
package journal

import (
	"slices"
	"time"
)

// Kind distinguishes entries. The owner of the Record defines its values.
type Kind uint8

// Entry is one event.
type Entry struct {
	At   time.Duration // by the owner's clock
	A, B int64         // data of the event
	// id is the entry's number in the upper 48 bits, from 1 on, then 8 bits each of kind
	// and flags.
	id uint64
}

const (
	conflates = 1 << iota
	hasValue  // A is an index of extra.values

	kindShift   = 8
	numberShift = 16
)

// Kind is the kind of the entry.
func (e Entry) Kind() Kind { return Kind(e.id >> kindShift) }

// number is the sequence number in the record.
func (e Entry) number() uint64 { return e.id >> numberShift }

// Cursor is the position of a reader. The zero value is before the first entry.
type Cursor struct{ number uint64 }

// Passed reports whether the cursor is past an entry, or past the one that replaced it.
func (c Cursor) Passed(e Entry) bool { return c.number >= e.number() }

// Record is an ordered list of entries. Its zero value is empty. It must not be copied, and
// is not safe for concurrent use: a lock of the owner guards it.
type Record struct {
	inline  [5]Entry // a short record allocates nothing
	entries []Entry
	extra   *extra // nil without any of it
	last    uint64 // sequence number of the last entry
	closed  bool
}

// extra is the part that most records do not need.
type extra struct {
	values  []any         // values of entries
	changed chan struct{} // nil if no reader waits
}

func (r *Record) ensureExtra() *extra {
	if r.extra == nil {
		r.extra = new(extra)
	}
	return r.extra
}

// Append adds an entry that is never replaced.
func (r *Record) Append(k Kind, at time.Duration, a, b int64) Entry {
	return r.add(Entry{At: at, A: a, B: b}, k, 0)
}

// AppendValue adds an entry with a value of any type instead of A.
func (r *Record) AppendValue(k Kind, at time.Duration, value any, b int64) Entry {
	x := r.ensureExtra()
	x.values = append(x.values, value)
	return r.add(Entry{At: at, A: int64(len(x.values) - 1), B: b}, k, hasValue)
}

// Conflate adds an entry and removes the previous one of its kind, if only entries that
// conflate lie between the two.
func (r *Record) Conflate(k Kind, at time.Duration, a, b int64) Entry {
	for i, e := range slices.Backward(r.entries) {
		if e.id&conflates == 0 {
			break
		}
		if e.Kind() == k {
			r.entries = slices.Delete(r.entries, i, i+1)
			break
		}
	}
	return r.add(Entry{At: at, A: a, B: b}, k, conflates)
}

func (r *Record) add(e Entry, k Kind, flags uint64) Entry {
	if r.entries == nil {
		r.entries = r.inline[:0]
	}
	r.last++
	e.id = r.last<<numberShift | uint64(k)<<kindShift | flags
	r.entries = append(r.entries, e)
	r.wake()
	return e
}

// Value returns the value of an entry, nil if it has none.
func (r *Record) Value(e Entry) any {
	if e.id&hasValue == 0 {
		return nil
	}
	return r.extra.values[e.A]
}

// Next returns the first entry after a cursor, and advances the cursor. It returns false if
// there is none.
func (r *Record) Next(c *Cursor) (Entry, bool) {
	i, _ := slices.BinarySearchFunc(r.entries, c.number+1, func(e Entry, n uint64) int { return int(int64(e.number()) - int64(n)) })
	if i == len(r.entries) {
		return Entry{}, false
	}
	c.number = r.entries[i].number()
	return r.entries[i], true
}

// Last returns the newest entry of a kind.
func (r *Record) Last(k Kind) (Entry, bool) {
	for _, e := range slices.Backward(r.entries) {
		if e.Kind() == k {
			return e, true
		}
	}
	return Entry{}, false
}

// Changed returns a channel that is closed at the next entry, or by Close.
func (r *Record) Changed() <-chan struct{} {
	x := r.ensureExtra()
	if x.changed == nil {
		x.changed = make(chan struct{})
	}
	return x.changed
}

func (r *Record) wake() {
	if r.extra != nil && r.extra.changed != nil {
		close(r.extra.changed)
		r.extra.changed = nil
	}
}

// Clear makes r an empty Record. Cursors of before must not be used any more.
func (r *Record) Clear() { *r = Record{} }

// Close means that no more entries follow.
func (r *Record) Close() {
	r.closed = true
	r.wake()
}

// Closed reports whether Close was called.
func (r *Record) Closed() bool { return r.closed }
