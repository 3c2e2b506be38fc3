package storetest

import (
	"bytes"
	"io"
	"sync"
	"testing"

	"github.com/netreply/netreply/httpcache"
)

// openBodyStays: an open body can be read to its end, whatever happens to its entry.
func openBodyStays(t testing.TB, s Subject) {
	for _, size := range []int{10, 500_000} {
		for name, end := range map[string]func(httpcache.Store, item) error{
			"replaced": func(store httpcache.Store, i item) error {
				put(t, store, item{key: i.key, seed: 99, size: size})
				return nil
			},
			"updated": func(store httpcache.Store, i item) error {
				return store.Update(ctx, only(t, store, i.key), []byte("updated"))
			},
			"removed":              func(store httpcache.Store, i item) error { return store.Remove(ctx, i.key) },
			"removed with all":     func(store httpcache.Store, _ item) error { return store.RemovePrefix(ctx, "") },
			"removed and replaced": func(store httpcache.Store, i item) error { store.Remove(ctx, i.key); put(t, store, i); return nil },
		} {
			store := s.New(t)
			i := item{key: "k", seed: 1, size: size}
			put(t, store, i)
			b := open(t, only(t, store, "k"))
			first := make([]byte, 5)
			if _, err := b.ReadAt(first, 0); err != nil {
				t.Fatal(err)
			}
			if err := end(store, i); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(b)
			if err != nil {
				t.Fatalf("the body of an entry that was %s breaks off: %v", name, err)
			}
			sameBytes(t, got, i.body())
			b.Close()
		}
	}
}

// entryStays: an entry that was looked up keeps its metadata, and never gets the body of
// another.
func entryStays(t testing.TB, s Subject) {
	for _, size := range []int{10, 100_000} {
		store := s.New(t)
		i := item{key: "k", seed: 1, size: size}
		put(t, store, i)
		e := only(t, store, "k")
		check := func(mustOpen bool) {
			t.Helper()
			if !bytes.Equal(e.Meta(), i.meta()) {
				t.Fatalf("the metadata of an entry became %q", e.Meta())
			}
			b, err := e.Open(ctx)
			if err != nil {
				if mustOpen {
					t.Fatalf("Open after an Update: %v", err)
				}
				return
			}
			defer b.Close()
			sameBody(t, b, i)
		}
		if err := store.Update(ctx, e, []byte("updated")); err != nil {
			t.Fatal(err)
		}
		check(true)
		put(t, store, item{key: "k", seed: 2, size: size})
		check(false)
		if err := store.Remove(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		check(false)
	}
}

// readAt: every part of a body can be read, and the end is io.EOF.
func readAt(t testing.TB, s Subject) {
	store := s.New(t)
	for _, size := range []int{0, 10, 64 << 10, 300_000} {
		i := item{key: "k", seed: uint64(size), size: size}
		put(t, store, i)
		b := open(t, only(t, store, "k"))
		body := i.body()
		for _, off := range []int{0, 1, 9, 10, 1000, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128<<10 - 3, 299_999, 300_000, 400_000, 1 << 40} {
			for _, n := range []int{0, 1, 7, 4096, 64 << 10, 70_000, 1 << 20} {
				p := make([]byte, n)
				got, err := b.ReadAt(p, int64(off))
				want := min(n, max(0, size-off))
				if got != want || got < n && err != io.EOF || err != nil && err != io.EOF {
					t.Fatalf("ReadAt of %d bytes at %d of %d: %d, %v", n, off, size, got, err)
				}
				if want > 0 {
					sameBytes(t, p[:got], body[off:off+got])
				}
			}
		}
		if _, err := b.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("ReadAt at a negative offset: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close of a body: %v", err)
		}
	}
}

// readWhileWritten: several goroutines follow a Writer.
func readWhileWritten(t testing.TB, s Subject) {
	store := s.New(t)
	for _, announced := range []int64{-1, 400_000, 1000} {
		i := item{key: "k", seed: 1, size: 400_000}
		body := i.body()
		w := create(t, store, i, announced)
		if n, err := w.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
			t.Fatalf("ReadAt of nothing: %d, %v", n, err)
		}
		var mu sync.Mutex
		moved := sync.NewCond(&mu)
		written, committed := 0, false
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				var got []byte
				p := make([]byte, 20_000)
				for len(got) < len(body) {
					mu.Lock()
					for written <= len(got) && !committed {
						moved.Wait()
					}
					atLeast := written - len(got)
					mu.Unlock()
					n, err := w.ReadAt(p, int64(len(got)))
					if n < min(len(p), atLeast) || n < len(p) && err == nil || err != nil && err != io.EOF {
						t.Errorf("ReadAt, with %d bytes more that are written: %d, %v", atLeast, n, err)
						return
					}
					got = append(got, p[:n]...)
				}
				if !bytes.Equal(got, body) {
					t.Errorf("a reader of what is being written got other bytes")
				}
			})
		}
		for b := body; len(b) > 0; {
			k := min(len(b), 7001)
			write(t, w, b[:k])
			b = b[k:]
			last := make([]byte, k)
			at := len(body) - len(b) - k
			if n, err := w.ReadAt(last, int64(at)); n != k || err != nil && err != io.EOF || !bytes.Equal(last, body[at:at+k]) {
				t.Errorf("ReadAt of the %d bytes that were just written: %d, %v, or other bytes", k, n, err)
			}
			mu.Lock()
			written += k
			mu.Unlock()
			moved.Broadcast()
		}
		if err := w.Commit(i.meta()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		committed = true
		mu.Unlock()
		moved.Broadcast()
		readers.Wait()
		w.Close()
		same(t, only(t, store, "k"), i)
	}
}

// readAfterCommit: a Writer can be read until Close, even if its entry is gone already.
func readAfterCommit(t testing.TB, s Subject) {
	store := s.New(t)
	i := item{key: "k", seed: 1, size: 150_000}
	w := create(t, store, i, -1)
	write(t, w, i.body())
	if err := w.Commit(i.meta()); err != nil {
		t.Fatal(err)
	}
	read := func(when string) {
		t.Helper()
		got, err := io.ReadAll(io.NewSectionReader(w, 0, int64(i.size)+1))
		if err != nil {
			t.Fatalf("ReadAt of a Writer after %s: %v", when, err)
		}
		sameBytes(t, got, i.body())
	}
	read("Commit")
	put(t, store, item{key: "k", seed: 2, size: 10})
	read("replacement")
	if err := store.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	read("Remove")
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	none(t, store, "k", "Close of its Writer has brought it back")
}

// largeBody is larger than what a Store should have in memory for one reader or writer.
func largeBody(t testing.TB, s Subject) {
	const size = 12<<20 + 123
	store := s.New(t)
	for n, announced := range []int64{size, -1} {
		i := item{key: "k", seed: uint64(n), size: size}
		w := create(t, store, i, announced)
		defer w.Close()
		if n, err := io.Copy(w, io.LimitReader(source(i.seed), size)); n != size || err != nil {
			t.Fatalf("Write of a large body: %d, %v", n, err)
		}
		commit(t, w, i)
		b := open(t, only(t, store, "k"))
		got, want := make([]byte, 32<<10), make([]byte, 32<<10)
		r, all := io.NewSectionReader(b, 0, b.Size()+1), io.LimitReader(source(i.seed), size)
		for at := 0; at < size; {
			k, err := io.ReadFull(all, want)
			if err != nil && err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, got[:k]); err != nil {
				t.Fatalf("reading a large body at %d: %v", at, err)
			}
			sameBytes(t, got[:k], want[:k])
			at += k
		}
		if n, err := r.Read(got); n != 0 || err != io.EOF {
			t.Fatalf("a large body does not end where it should: %d, %v", n, err)
		}
		b.Close()
	}
}

// memo: what is in a Memo belongs to the metadata.
func memo(t testing.TB, s Subject) {
	store := s.New(t)
	put(t, store, item{key: "k", seed: 1, size: 10})
	m, ok := only(t, store, "k").(httpcache.Memo)
	if !ok {
		t.Skip("its entries are no Memos")
	}
	if m.Memo().Load() != nil {
		t.Fatal("the Memo of a new entry is not empty")
	}
	m.Memo().Store("parsed")
	if v := only(t, store, "k").(httpcache.Memo).Memo().Load(); v != "parsed" {
		t.Fatalf("the Memo has %v, not what was stored", v)
	}
	if err := store.Update(ctx, only(t, store, "k"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	if v := only(t, store, "k").(httpcache.Memo).Memo().Load(); v != nil {
		t.Fatalf("after an Update the Memo has %v, made of the old metadata", v)
	}
}

func concurrentReadAt(t testing.TB, s Subject) {
	store := s.New(t)
	i := item{key: "k", seed: 1, size: 1_000_000}
	put(t, store, i)
	b := open(t, only(t, store, "k"))
	defer b.Close()
	body := i.body()
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			p := make([]byte, 3001+n*20_000)
			for at := n * 11; at < len(body); at += len(p) {
				k, err := b.ReadAt(p, int64(at))
				if err != nil && err != io.EOF || !bytes.Equal(p[:k], body[at:at+k]) || k < min(len(p), len(body)-at) {
					t.Errorf("ReadAt of %d bytes at %d by one of several: %d, %v, or other bytes", len(p), at, k, err)
					return
				}
			}
		})
	}
	all.Wait()
}
