// Package journal records events in order, for any number of readers, which may start at
// any time and read at their own pace.
//
// Entries that conflate, such as progress, are replaced by newer ones of their kind, so
// that a Record grows only with the others.
package journal

import (
	"math/bits"
	"slices"
	"sort"
	"time"
)

// Kind distinguishes entries. The owner of the Record defines its values.
type Kind uint8

// Entry is one event.
type Entry struct {
	At   time.Duration // by the owner's clock
	A, B int64         // data of the event
	// id is the entry's number in the upper 48 bits, from 1 on, then 8 bits of kind and 4 of
	// flags.
	id uint64
}

const (
	conflates = 1 << iota
	hasValue  // A is an index of extra.values

	slotShift   = 4 // for short records, see pair
	kindShift   = 8
	numberShift = 16
)

// Kind is the kind of the entry.
func (e Entry) Kind() Kind { return kindOf(e.id) }

func kindOf(id uint64) Kind { return Kind(id >> kindShift) }

// number is the sequence number in the record.
func (e Entry) number() uint64 { return e.id >> numberShift }

// Cursor is the position of a reader. The zero value is before the first entry.
type Cursor struct{ number uint64 }

// Passed reports whether c is at or behind the entry of e, or of the one that replaced it.
func (c Cursor) Passed(e Cursor) bool { return c.number >= e.number }

// Record is an ordered list of entries. Its zero value is empty. It must not be copied, and
// is not safe for concurrent use: a lock of the owner guards it.
type Record struct {
	// A short record is here and allocates nothing; a longer one is in extra.entries.
	stamps [5]stamp
	pairs  [2]pair
	extra  *extra // nil without any of it
	length uint8  // number of stamps in use
	closed bool
}

// stamp is an entry of a short record. Few entries have data: the pair of those has the index
// of bits 4 to 7 of id, minus 1.
type stamp struct {
	at time.Duration
	id uint64 // as in Entry
}

// pair is the data of an entry.
type pair struct{ a, b int64 }

// slot is the index of the pair, -1 without one.
func (s stamp) slot() int { return int(s.id>>slotShift&0xf) - 1 }

// extra is the part that most records do not need.
type extra struct {
	entries []Entry       // all; nil for a short record
	values  []any         // values of entries
	changed chan struct{} // nil if no reader waits
}

func (r *Record) ensureExtra() *extra {
	if r.extra == nil {
		r.extra = new(extra)
	}
	return r.extra
}

// Append adds an entry that is never replaced, and returns its position, as the other methods
// that add one do.
func (r *Record) Append(k Kind, at time.Duration, a, b int64) Cursor {
	return r.add(Entry{at, a, b, entryID(r.nextNumber(), k, 0)})
}

// AppendValue adds an entry with a value of any type instead of A.
func (r *Record) AppendValue(k Kind, at time.Duration, value any, b int64) Cursor {
	x := r.ensureExtra()
	x.values = append(x.values, value)
	return r.add(Entry{at, int64(len(x.values) - 1), b, entryID(r.nextNumber(), k, hasValue)})
}

// Conflate adds an entry and removes the previous one of its kind, if only entries that
// conflate lie between the two.
func (r *Record) Conflate(k Kind, at time.Duration, a, b int64) Cursor {
	number := r.nextNumber()
	for i := r.len() - 1; i >= 0; i-- {
		id := r.id(i)
		if id&conflates == 0 {
			break
		}
		if kindOf(id) == k {
			r.remove(i)
			break
		}
	}
	return r.add(Entry{at, a, b, entryID(number, k, conflates)})
}

func entryID(number uint64, k Kind, flags uint64) uint64 {
	return number<<numberShift | uint64(k)<<kindShift | flags
}

// nextNumber is the sequence number of the next entry.
func (r *Record) nextNumber() uint64 {
	if n := r.len(); n > 0 {
		return r.id(n-1)>>numberShift + 1
	}
	return 1
}

func (r *Record) isLong() bool { return r.extra != nil && r.extra.entries != nil }

func (r *Record) len() int {
	if r.isLong() {
		return len(r.extra.entries)
	}
	return int(r.length)
}

// id is that of the entry with an index, but for the slot.
func (r *Record) id(i int) uint64 {
	if r.isLong() {
		return r.extra.entries[i].id
	}
	return r.stamps[i].id
}

func (r *Record) entry(i int) Entry {
	if r.isLong() {
		return r.extra.entries[i]
	}
	s := r.stamps[i]
	e := Entry{At: s.at, id: s.id &^ (0xf << slotShift)}
	if slot := s.slot(); slot >= 0 {
		e.A, e.B = r.pairs[slot].a, r.pairs[slot].b
	}
	return e
}

func (r *Record) remove(i int) {
	if r.isLong() {
		r.extra.entries = slices.Delete(r.extra.entries, i, i+1)
		return
	}
	copy(r.stamps[i:], r.stamps[i+1:r.length])
	r.length--
}

func (r *Record) add(e Entry) Cursor {
	if !r.addShort(&e) {
		r.addLong(&e)
	}
	r.wake()
	return Cursor{e.number()}
}

// addLong adds an entry to a long record, as which a short one continues.
func (r *Record) addLong(e *Entry) {
	x := r.ensureExtra()
	if x.entries == nil {
		all := make([]Entry, r.length, 2*len(r.stamps))
		for i := range all {
			all[i] = r.entry(i)
		}
		x.entries = all
	}
	x.entries = append(x.entries, *e)
}

// addShort adds an entry to a short record. It returns false if there is no room.
func (r *Record) addShort(e *Entry) bool {
	if r.isLong() || int(r.length) == len(r.stamps) {
		return false
	}
	s := stamp{e.At, e.id}
	if e.A != 0 || e.B != 0 {
		slot := r.freeSlot()
		if slot == len(r.pairs) {
			return false
		}
		r.pairs[slot] = pair{e.A, e.B}
		s.id |= uint64(slot+1) << slotShift
	}
	r.stamps[r.length] = s
	r.length++
	return true
}

// freeSlot is the index of a pair that no entry has, or the number of pairs.
func (r *Record) freeSlot() int {
	used := 0
	for i := range r.stamps[:r.length] {
		used |= 1 << (r.stamps[i].slot() + 1) // the lowest bit is of no pair
	}
	return bits.TrailingZeros(^uint(used >> 1))
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
	i := sort.Search(r.len(), func(i int) bool { return r.id(i)>>numberShift > c.number })
	if i == r.len() {
		return Entry{}, false
	}
	e := r.entry(i)
	c.number = e.number()
	return e, true
}

// Last returns the newest entry of a kind.
func (r *Record) Last(k Kind) (Entry, bool) {
	for i := r.len() - 1; i >= 0; i-- {
		if kindOf(r.id(i)) == k {
			return r.entry(i), true
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
