package httpcache

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"sync/atomic"
)

// Watch returns a Store that keeps its entries in s and calls failed for each failure of s, which
// otherwise nobody learns of: to a request it is as if nothing were stored. operation is the name of
// the method that has failed: Lookup, Create, Update, Remove, RemovePrefix or Size of the Store, Open
// of an Entry, Read of a Body (ReadAt), Write, Commit or Reread (ReadAt) of a Writer. It is not told
// which entry it was: keys hold secrets, such as those in URLs.
//
// failed is called by the goroutine that uses the Store, without a lock, perhaps by several at the
// same time, and as often as there are failures: a log should bound their number. It is not called
// for a context that has ended, an entry that has become too large, or one that was removed after its
// Lookup, where the Store says so by fs.ErrNotExist.
//
// The Store is a Lister and a Reserver if s is. Watch returns nil for a nil s.
func Watch(s Store, failed func(operation string, err error)) Store {
	if s == nil {
		return nil
	}
	w := &watched{s, failed}
	l, lists := s.(Lister)
	r, reserves := s.(Reserver)
	switch {
	case lists && reserves:
		return struct {
			*watched
			watchedLister
			Reserver
		}{w, watchedLister{l, w}, r}
	case lists:
		return struct {
			*watched
			watchedLister
		}{w, watchedLister{l, w}}
	case reserves:
		return struct {
			*watched
			Reserver
		}{w, r}
	}
	return w
}

type watched struct {
	s      Store
	failed func(operation string, err error)
}

// note tells a failure, unless it is none of the Store. It returns err.
func (w *watched) note(operation string, err error) error {
	if err == nil || err == io.EOF || w.failed == nil || errors.Is(err, errTooLarge) {
		return err
	}
	w.failed(operation, err)
	return err
}

// noteWithin is note for an operation that ends with ctx.
func (w *watched) noteWithin(ctx context.Context, operation string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return w.note(operation, err)
}

func (w *watched) Lookup(ctx context.Context, key string) ([]Entry, error) {
	found, err := w.s.Lookup(ctx, key)
	w.noteWithin(ctx, "Lookup", err)
	if len(found) == 0 {
		return nil, err
	}
	list := make([]Entry, len(found))
	for i, e := range found {
		list[i] = w.entry(e)
	}
	return list, err
}

func (w *watched) Create(ctx context.Context, key string, v Variant) (Writer, error) {
	n, err := w.s.Create(ctx, key, v)
	w.noteWithin(ctx, "Create", err)
	if n == nil {
		return nil, err
	}
	return &watchedWriter{n, w}, err
}

func (w *watched) Update(ctx context.Context, e Entry, meta []byte) error {
	switch own := e.(type) {
	case *watchedEntry:
		e = own.Entry
	case *watchedMemo:
		e = own.Entry
	}
	return w.noteWithin(ctx, "Update", w.s.Update(ctx, e, meta))
}

func (w *watched) Remove(ctx context.Context, key string) error {
	return w.noteWithin(ctx, "Remove", w.s.Remove(ctx, key))
}

func (w *watched) RemovePrefix(ctx context.Context, prefix string) error {
	return w.noteWithin(ctx, "RemovePrefix", w.s.RemovePrefix(ctx, prefix))
}

func (w *watched) entry(e Entry) Entry {
	own := watchedEntry{e, w}
	if m, keeps := e.(Memo); keeps {
		return &watchedMemo{own, m}
	}
	return &own
}

type watchedEntry struct {
	Entry
	w *watched
}

func (e *watchedEntry) Open(ctx context.Context) (Body, error) {
	b, err := e.Entry.Open(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		e.w.noteWithin(ctx, "Open", err)
	}
	if b == nil {
		return nil, err
	}
	return &watchedBody{b, e.w}, err
}

type watchedMemo struct {
	watchedEntry
	memo Memo
}

func (e *watchedMemo) Memo() *atomic.Value { return e.memo.Memo() }

type watchedBody struct {
	Body
	w *watched
}

func (b *watchedBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	return n, b.w.note("Read", err)
}

type watchedWriter struct {
	Writer
	w *watched
}

func (n *watchedWriter) Write(p []byte) (int, error) {
	k, err := n.Writer.Write(p)
	return k, n.w.note("Write", err)
}

func (n *watchedWriter) ReadAt(p []byte, off int64) (int, error) {
	k, err := n.Writer.ReadAt(p, off)
	return k, n.w.note("Reread", err)
}

func (n *watchedWriter) Commit(meta []byte) error { return n.w.note("Commit", n.Writer.Commit(meta)) }

type watchedLister struct {
	l Lister
	w *watched
}

func (l watchedLister) All(ctx context.Context) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for key, e := range l.l.All(ctx) {
			if !yield(key, l.w.entry(e)) {
				return
			}
		}
	}
}

func (l watchedLister) Size(ctx context.Context) (int64, error) {
	n, err := l.l.Size(ctx)
	return n, l.w.noteWithin(ctx, "Size", err)
}
