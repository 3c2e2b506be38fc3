// Package journal keeps what has happened to something in order, for readers of which each
// comes when it likes and goes at its own pace.
//
// A Record grows with the entries that stand for themselves. Those that conflate, a progress
// for instance, make way for newer ones of their kind.
package journal

import (
	"slices"
	"time"
)

// Kind tells entries apart. What it means is the owner's matter.
type Kind uint8

// Entry is one thing that has happened.
type Entry struct {
	At   time.Duration // by the owner's clock
	A, B int64         // what the kind wants to be known
	// id is the entry's number in the upper 48 bits, the first being 1, then its kind, then flags.
	id uint64
}

const (
	conflates = 1 << iota
	refers    // A is a place in extra.values

	kindShift   = 8
	numberShift = 16
)

// Kind is what was appended.
func (e Entry) Kind() Kind { return Kind(e.id >> kindShift) }

// number orders the entries of a record.
func (e Entry) number() uint64 { return e.id >> numberShift }

// Cursor is the place of a reader: it has seen everything up to there. Its zero value has
// seen nothing.
type Cursor struct{ number uint64 }

// Passed tells whether the reader has seen an entry, or what came in its place.
func (c Cursor) Passed(e Entry) bool { return c.number >= e.number() }

// Record is an ordered list of entries. Its zero value is empty. It must not be copied, and
// has no lock: the owner's own guards it.
type Record struct {
	inline  [5]Entry // a short record allocates nothing
	entries []Entry
	extra   *extra // nil without any of it
	last    uint64 // number
	closed  bool
}

// extra is what most records do without.
type extra struct {
	values  []any         // of the entries that have one
	changed chan struct{} // nil where nobody waits
}

func (r *Record) needExtra() *extra {
	if r.extra == nil {
		r.extra = new(extra)
	}
	return r.extra
}

// Append adds an entry that stands for itself.
func (r *Record) Append(k Kind, at time.Duration, a, b int64) Entry {
	return r.add(Entry{At: at, A: a, B: b}, k, 0)
}

// AppendValue adds an entry that has a value of any type in the place of A.
func (r *Record) AppendValue(k Kind, at time.Duration, value any, b int64) Entry {
	x := r.needExtra()
	x.values = append(x.values, value)
	return r.add(Entry{At: at, A: int64(len(x.values) - 1), B: b}, k, refers)
}

// Conflate adds an entry and takes an older one of its kind away, if nothing but entries
// that conflate, of whatever kind, lies between the two.
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

// Value is what AppendValue was given, nil for an entry without a value.
func (r *Record) Value(e Entry) any {
	if e.id&refers == 0 {
		return nil
	}
	return r.extra.values[e.A]
}

// Next gives the first entry that a reader has not seen, and moves the cursor behind it. It
// returns false when there is none.
func (r *Record) Next(c *Cursor) (Entry, bool) {
	i, _ := slices.BinarySearchFunc(r.entries, c.number+1, func(e Entry, n uint64) int { return int(int64(e.number()) - int64(n)) })
	if i == len(r.entries) {
		return Entry{}, false
	}
	c.number = r.entries[i].number()
	return r.entries[i], true
}

// Last gives the newest entry of a kind.
func (r *Record) Last(k Kind) (Entry, bool) {
	for _, e := range slices.Backward(r.entries) {
		if e.Kind() == k {
			return e, true
		}
	}
	return Entry{}, false
}

// Changed is closed at the next entry, or by Close. Nothing is made where nobody waits.
func (r *Record) Changed() <-chan struct{} {
	x := r.needExtra()
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

// Close says that nothing comes any more.
func (r *Record) Close() {
	r.closed = true
	r.wake()
}

// Closed tells whether Close was called.
func (r *Record) Closed() bool { return r.closed }
