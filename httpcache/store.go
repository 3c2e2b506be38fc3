package httpcache

import (
	"context"
	"io"
	"iter"
)

// Store keeps responses. It does not know HTTP: a key is a text, and an entry is metadata
// and a body, both bytes.
//
// Its methods are safe for concurrent use. Several Stores, in several processes, may have the
// same entries: what one has stored the others may see late, but whole. An error never fails a
// request: it counts as nothing found, or not stored.
type Store interface {
	// Lookup returns the entries of a key: its variants, in any order. None is no error.
	Lookup(ctx context.Context, key string) ([]Entry, error)
	// Create begins a new entry, which replaces the one with the same key and Variant.ID at
	// Writer.Commit. It returns nil, without an error, for an entry that the Store does not
	// take: one that is too large, for instance.
	Create(ctx context.Context, key string, v Variant) (Writer, error)
	// Update replaces the metadata of an entry that Lookup has returned. It does nothing if
	// another one has taken its place, or it was removed.
	Update(ctx context.Context, e Entry, meta []byte) error
	// Remove removes all entries of a key.
	Remove(ctx context.Context, key string) error
	// RemovePrefix removes all entries whose key begins with prefix; all there are for "".
	RemovePrefix(ctx context.Context, prefix string) error
}

// Variant says which of the entries of a key is meant.
type Variant struct {
	ID   [32]byte
	Size int64 // of the body in bytes, -1 if unknown
}

// Entry is a stored response. It stays as it is when it is replaced or removed: also its
// body can still be opened, except if that is not kept by the Store for long enough; then
// Open returns an error.
type Entry interface {
	// Meta is the metadata. It must not be changed.
	Meta() []byte
	// Open opens the body.
	Open(ctx context.Context) (Body, error)
}

// Body is the body of an Entry, which is safe for concurrent use. What was damaged is
// an error of ReadAt, never other bytes than those that were written.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Writer writes a new entry. Write, Commit and Close are called by one goroutine at a time;
// ReadAt concurrently with them.
type Writer interface {
	// Write appends to the body. After an error the entry can only be closed.
	io.Writer
	// ReadAt reads what was written, until Close.
	io.ReaderAt
	// Commit makes the entry visible, whole, with its metadata. It is called at most once.
	Commit(meta []byte) error
	// Close ends the use of the Writer. Without a Commit nothing is stored.
	io.Closer
}

// Lister is a Store that can say what it has.
type Lister interface {
	// All yields every key with one of its entries, in any order. The iteration ends
	// early when ctx does.
	All(ctx context.Context) iter.Seq2[string, Entry]
	// Size is the number of bytes that the entries take.
	Size(ctx context.Context) (int64, error)
}
