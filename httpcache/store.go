package httpcache

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
)

// Store keeps entries: texts (keys) with metadata and a body, which are bytes to it. It does
// not know HTTP. The cache decides what is stored, when an entry may be used, and when it must
// go; a Store may lose any entry at any time, but must never return one with other bytes than
// those that were committed, or with the metadata of another.
//
// All methods are safe for concurrent use, and so are several Stores, in one process or in
// several, that keep the same entries: what one has committed the others may see later, but
// whole. A method that waits for something (a disk, a network, a lock) returns when ctx ends,
// or within a bound of its own. An error never fails a request: it counts as nothing found,
// or as not stored. Watch tells a program of it.
//
// Package storetest has tests for Stores. A Store may also be a [Lister] and a [Reserver].
type Store interface {
	// Lookup returns the entries of a key, at most one for each ID, in any order. Any string
	// can be a key, also a long one or none at all. No entry is no error. The slice belongs to the Store and must not be changed.
	Lookup(ctx context.Context, key string) ([]Entry, error)
	// Create begins a new entry, which appears at Writer.Commit and then takes the place of
	// the one with the same key and ID, whenever that was begun. Any number of Writers may be at work for the same
	// key and ID; the last Commit counts. Create returns nil without an error if the
	// Store does not want the entry, because it is too large, for instance. ctx is for
	// Create alone.
	Create(ctx context.Context, key string, v Variant) (Writer, error)
	// Update gives e, which Lookup has returned, new metadata, if it is still what is stored:
	// if another has taken its place, it was updated meanwhile, it was removed, or it is of a
	// Store with other entries, Update does nothing and returns no error. The body stays, and
	// bodies and entries in use, e included, are not disturbed. meta is not kept.
	Update(ctx context.Context, e Entry, meta []byte) error
	// Remove removes all entries of a key. Writers at work are not affected.
	Remove(ctx context.Context, key string) error
	// RemovePrefix removes all entries whose key begins with prefix, thus all for "". It
	// may take long, in proportion to the number of entries of the Store.
	RemovePrefix(ctx context.Context, prefix string) error
}

// Variant is what a Store is told of a new entry.
type Variant struct {
	ID   [32]byte // which of the entries of the key it is
	Size int64    // how many bytes of body to expect, -1 if unknown; it need not be right
}

// Entry is one stored entry, as it was when it was looked up: it is not changed by an Update,
// a replacement or a removal. Its methods are safe for concurrent use.
type Entry interface {
	// Meta is the metadata, which must not be changed.
	Meta() []byte
	// Open opens the body. It may fail for an entry that was replaced or removed after its
	// Lookup; a Body that is open stays readable. Open also fails if it finds damage, and
	// the damaged entry is then removed. ctx is for Open alone.
	Open(ctx context.Context) (Body, error)
}

// Body is an open body. ReadAt and Size are safe for concurrent use, Close is called last,
// once. A ReadAt that finds damage fails with an error that is ErrDamaged, and returns no
// bytes from the damaged place on; the entry is then removed.
type Body interface {
	io.ReaderAt
	io.Closer
	// Size is the number of bytes.
	Size() int64
}

// Writer writes a new entry. Write, Commit and Close are called by one goroutine at a time.
type Writer interface {
	// Write appends to the body. It fails if the Store is full, or if the entry becomes too
	// large; all that is left then is Close, and what was written before can be read by
	// ReadAt. p is not kept.
	io.Writer
	// ReadAt reads what was written up to now, until Close; io.EOF means no more than that
	// it is not written yet. It is safe for concurrent use, also with Write and Commit, so
	// that several can read an entry while it arrives.
	io.ReaderAt
	// Commit makes the entry visible to Lookup, at once and whole: body and meta, which is
	// not kept. If it fails nothing has changed. It is called at most once, and nothing is
	// written after it.
	Commit(meta []byte) error
	// Close ends the use of the Writer. Without a successful Commit nothing is stored, and
	// what was there before stays. Write, Commit and ReadAt fail then, and further calls of
	// Close do nothing.
	io.Closer
}

// Lister is a Store that can say what it has.
type Lister interface {
	// All yields all entries with their keys, in any order; those that come or go meanwhile
	// may be missing. It ends early when ctx does, or at an error.
	All(ctx context.Context) iter.Seq2[string, Entry]
	// Size is the number of bytes that entries take, with metadata and everything else. It
	// may be an estimate.
	Size(ctx context.Context) (int64, error)
}

// Reserver is a Store in which one of several processes can fetch what all of them miss.
type Reserver interface {
	// Reserve announces that the caller is about to fetch an entry of key. If another
	// process has announced the same, Reserve waits until that has ended, or for as long as
	// the Store allows, and returns waited true: look up again, and fetch if that does not
	// help. release, which is never nil, takes the announcement back; an announcement ends by
	// itself when its process has died. Without a connection to the others Reserve returns at once.
	Reserve(ctx context.Context, key string) (release func(), waited bool)
}

// Memo is an Entry that stays in memory: what each Lookup returns for it has the same Memo.
type Memo interface {
	// Memo is where the cache keeps the decoded metadata, so that it decodes them once. An
	// Update begins with an empty one.
	Memo() *atomic.Value
}

// ErrDamaged is the error of an entry whose stored form is not what was written.
var ErrDamaged = errors.New("httpcache: damaged entry")

var (
	errOffset   = errors.New("httpcache: negative offset")
	errFull     = errors.New("httpcache: store is full")
	errTooLarge = errors.New("httpcache: entry is too large for the store")
	errClosed   = errors.New("httpcache: store or writer is closed")

	errNoDirectory = errors.New("httpcache: OpenDisk without a directory")
	errNoEntry     = errors.New("httpcache: Metadata of no stored response")
	errNoPartition = errors.New("httpcache: the partition is empty")
)

// Limits bound a Memory or a Disk store. A value below 0 means the default.
type Limits struct {
	// Size is the largest number of bytes that entries take, with their metadata and what
	// is being written. 0 means 50 MiB.
	Size int64
	// Entry is the largest body in bytes. 0, or more than three quarters of Size, means three
	// quarters of Size.
	Entry int64
}

const defaultSize = 50 << 20

// withDefaults fills in the defaults.
func (l Limits) withDefaults() Limits {
	if l.Size <= 0 {
		l.Size = defaultSize
	}
	l.Size = min(l.Size, maxBody) // sums of sizes must not overflow
	if most := l.Size / 4 * 3; l.Entry <= 0 || l.Entry > most {
		l.Entry = most
	}
	return l
}
