package storetest

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/netreply/netreply/httpcache"
)

var ctx = context.Background()

func empty(t testing.TB, s Subject) {
	store := s.New(t)
	none(t, store, "k", "nothing was stored")
	if err := store.Remove(ctx, "k"); err != nil {
		t.Errorf("Remove of nothing: %v", err)
	}
	for _, prefix := range []string{"k", ""} {
		if err := store.RemovePrefix(ctx, prefix); err != nil {
			t.Errorf("RemovePrefix of nothing: %v", err)
		}
	}
}

// sizes are around those at which stores change their ways.
var sizes = []int{0, 1, 100, 4095, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 256 << 10, 1<<20 + 7}

func roundTrip(t testing.TB, s Subject) {
	store := s.New(t)
	for n, size := range sizes {
		for _, announced := range []int64{int64(size), -1} {
			for _, piece := range []int{1 << 30, 10_007} {
				i := item{key: "k", seed: uint64(n + piece), size: size}
				w := create(t, store, i, announced)
				for b := i.body(); len(b) > 0; {
					k := min(len(b), piece)
					write(t, w, b[:k])
					b = b[k:]
				}
				commit(t, w, i)
				same(t, only(t, store, "k"), i)
			}
		}
	}
}

// wrongSizeAnnounced: what is stored is what was written.
func wrongSizeAnnounced(t testing.TB, s Subject) {
	store := s.New(t)
	for n, size := range []int{0, 50, 100_000} {
		for _, announced := range []int64{0, 10, 70_000, 1 << 20} {
			i := item{key: "k", seed: uint64(n), size: size}
			w := create(t, store, i, announced)
			write(t, w, i.body())
			commit(t, w, i)
			same(t, only(t, store, "k"), i)
		}
	}
}

func anyKey(t testing.TB, s Subject) {
	store := s.New(t)
	keys := []string{"", "a", "A", "a/", "a/../a", "/", "..", ".", "a\x00b", "a\nb", "\xff\xfe", "ä", "a*", "a?", "[a]", `\a`, "{a}b", "%61", "con", "a:b",
		strings.Repeat("x", 300), strings.Repeat("x", 8<<10), strings.Repeat("x", 8<<10) + "y"}
	for n, key := range keys {
		put(t, store, item{key: key, seed: uint64(n), size: 10 * n})
	}
	for n, key := range keys {
		same(t, only(t, store, key), item{key: key, seed: uint64(n), size: 10 * n})
	}
}

func anyMeta(t testing.TB, s Subject) {
	store := s.New(t)
	for _, meta := range [][]byte{nil, {0}, []byte("\r\n"), bytes.Repeat([]byte{0xff}, 300), bytes.Repeat([]byte("m"), 200<<10)} {
		w := create(t, store, item{key: "k"}, 0)
		if err := w.Commit(meta); err != nil {
			t.Fatalf("Commit with %d bytes of metadata: %v", len(meta), err)
		}
		w.Close()
		if e := only(t, store, "k"); !bytes.Equal(e.Meta(), meta) {
			t.Errorf("metadata %.40q, not %.40q", e.Meta(), meta)
		}
	}
}

// bytesAreCopied: what is passed to Write, Commit and Update may be used again.
func bytesAreCopied(t testing.TB, s Subject) {
	store := s.New(t)
	w := create(t, store, item{key: "k"}, -1)
	b := []byte("body")
	write(t, w, b)
	copy(b, "xxxx")
	write(t, w, b)
	meta := []byte("meta")
	if err := w.Commit(meta); err != nil {
		t.Fatal(err)
	}
	w.Close()
	copy(meta, "xxxx")
	e := only(t, store, "k")
	if string(e.Meta()) != "meta" {
		t.Errorf("metadata %q: Commit has kept the slice", e.Meta())
	}
	body := open(t, e)
	defer body.Close()
	got, err := readAll(body)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, got, []byte("bodyxxxx"))
	if err := store.Update(ctx, e, meta); err != nil {
		t.Fatal(err)
	}
	copy(meta, "yyyy")
	if e := only(t, store, "k"); string(e.Meta()) != "xxxx" {
		t.Errorf("metadata %q: Update has kept the slice", e.Meta())
	}
}

func nothingBeforeCommit(t testing.TB, s Subject) {
	store := s.New(t)
	i := item{key: "k", seed: 1, size: 200_000}
	w := create(t, store, i, int64(i.size))
	defer w.Close()
	none(t, store, "k", "it is only begun")
	write(t, w, i.body())
	none(t, store, "k", "it is only written, not committed")
	commit(t, w, i)
	same(t, only(t, store, "k"), i)
}

func closeWithoutCommit(t testing.TB, s Subject) {
	store := s.New(t)
	old := item{key: "k", seed: 1, size: 1000}
	put(t, store, old)
	for _, i := range []item{{key: "k", seed: 2, size: 300_000}, {key: "new", seed: 3, size: 10}} {
		w := create(t, store, i, int64(i.size))
		write(t, w, i.body()[:i.size/2])
		for range 2 {
			if err := w.Close(); err != nil {
				t.Errorf("Close without Commit: %v", err)
			}
		}
		if n, err := w.Write([]byte("x")); n > 0 && err == nil {
			t.Error("Write succeeds after Close")
		}
		if w.Commit(i.meta()) == nil {
			t.Error("Commit succeeds after Close")
		}
	}
	same(t, only(t, store, "k"), old)
	none(t, store, "new", "its Writer was closed without Commit")
}

func replace(t testing.TB, s Subject) {
	store := s.New(t)
	for n := range 5 { // larger, and smaller again
		i := item{key: "k", id: number(7), seed: uint64(n), size: []int{10, 100_000, 0, 300, 300}[n]}
		put(t, store, i)
		same(t, only(t, store, "k"), i)
	}
	// the last Commit counts, not the last Create
	first, second := item{key: "k", id: number(7), seed: 10, size: 5}, item{key: "k", id: number(7), seed: 11, size: 6}
	w1, w2 := create(t, store, first, -1), create(t, store, second, -1)
	write(t, w1, first.body())
	write(t, w2, second.body())
	commit(t, w2, second)
	same(t, only(t, store, "k"), second)
	commit(t, w1, first)
	same(t, only(t, store, "k"), first)
}

func variants(t testing.TB, s Subject) {
	store := s.New(t)
	items := map[string]item{}
	for n := range byte(12) {
		i := item{key: "k", id: number(n), seed: uint64(n), size: 1000 * int(n)}
		put(t, store, i)
		items[string(i.meta())] = i
	}
	replaced := item{key: "k", id: number(3), seed: 99, size: 4}
	put(t, store, replaced)
	delete(items, string(item{key: "k", id: number(3), seed: 3, size: 3000}.meta()))
	items[string(replaced.meta())] = replaced
	list := lookup(t, store, "k")
	if len(list) != len(items) {
		t.Fatalf("%d entries, not %d", len(list), len(items))
	}
	for _, e := range list {
		i, ok := items[string(e.Meta())]
		if !ok {
			t.Fatalf("there is an entry %q, of which there should be one that is not there", e.Meta())
		}
		same(t, e, i)
		delete(items, string(e.Meta()))
	}
}

func update(t testing.TB, s Subject) {
	store := s.New(t)
	i, other := item{key: "k", seed: 1, size: 70_000}, item{key: "k", id: number(1), seed: 2, size: 10}
	put(t, store, other)
	put(t, store, i)
	e := find(t, store, i)
	b := open(t, e)
	defer b.Close()
	for _, meta := range []string{"", "a", strings.Repeat("longer", 1000)} {
		if err := store.Update(ctx, e, []byte(meta)); err != nil {
			t.Fatal(err)
		}
		updated := without(t, store, other)
		if string(updated.Meta()) != meta {
			t.Fatalf("metadata %.40q, not %.40q", updated.Meta(), meta)
		}
		now := open(t, updated)
		sameBody(t, now, i)
		now.Close()
		e = updated
	}
	sameBody(t, b, i)
	same(t, find(t, store, other), other)
}

// find returns the entry of i.
func find(t testing.TB, store httpcache.Store, i item) httpcache.Entry {
	t.Helper()
	for _, e := range lookup(t, store, i.key) {
		if bytes.Equal(e.Meta(), i.meta()) {
			return e
		}
	}
	t.Fatalf("there is no entry %q", i.meta())
	return nil
}

// without returns the one entry of a key that is not i.
func without(t testing.TB, store httpcache.Store, i item) httpcache.Entry {
	t.Helper()
	list := lookup(t, store, i.key)
	if len(list) != 2 {
		t.Fatalf("there are %d entries of %q, not 2", len(list), i.key)
	}
	if bytes.Equal(list[0].Meta(), i.meta()) {
		return list[1]
	}
	return list[0]
}

func updateOnlyCurrent(t testing.TB, s Subject) {
	store := s.New(t)
	try := func(e httpcache.Entry) {
		t.Helper()
		if err := store.Update(ctx, e, []byte("late")); err != nil {
			t.Errorf("Update of an entry that is not there any more: %v", err)
		}
	}
	old, i := item{key: "k", seed: 1, size: 10}, item{key: "k", seed: 2, size: 10}
	put(t, store, old)
	e := only(t, store, "k")
	put(t, store, i)
	try(e)
	same(t, only(t, store, "k"), i)

	put(t, store, i) // the same again is another entry
	e = only(t, store, "k")
	put(t, store, i)
	try(e)
	same(t, only(t, store, "k"), i)

	e = only(t, store, "k")
	if err := store.Update(ctx, e, []byte("first")); err != nil {
		t.Fatal(err)
	}
	try(e) // it was updated meanwhile
	if meta := only(t, store, "k").Meta(); string(meta) != "first" {
		t.Errorf("metadata %q, not that of the first of two Updates of one entry", meta)
	}
	e = only(t, store, "k")
	if err := store.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	try(e)
	none(t, store, "k", "an Update has brought back what was removed")
}

// updateOfOtherStore: an entry of another Store is not one of this.
func updateOfOtherStore(t testing.TB, s Subject) {
	store, other := s.New(t), s.New(t)
	i := item{key: "k", seed: 1, size: 10}
	put(t, store, i)
	put(t, other, i)
	if err := store.Update(ctx, only(t, other, "k"), []byte("x")); err != nil {
		t.Errorf("Update with an entry of another Store: %v", err)
	}
	same(t, only(t, store, "k"), i)
	same(t, only(t, other, "k"), i)
}

func remove(t testing.TB, s Subject) {
	store := s.New(t)
	kept := item{key: "kk", seed: 9, size: 100}
	put(t, store, kept)
	for n := range byte(3) {
		put(t, store, item{key: "k", id: number(n), seed: uint64(n), size: 100})
	}
	if err := store.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	none(t, store, "k", "they were removed")
	same(t, only(t, store, "kk"), kept)
	again := item{key: "k", seed: 5, size: 10}
	put(t, store, again)
	same(t, only(t, store, "k"), again)
}

func removePrefix(t testing.TB, s Subject) {
	store := s.New(t)
	keys := []string{"https://a.test/", "https://a.test/x", "https://a.test/x/y", "https://a.test:1/", "https://a.tes", "x https://a.test/", "a*b", "a*b/", "axb", "a?", "[a]", `a\*b`}
	for n, key := range keys {
		put(t, store, item{key: key, seed: uint64(n), size: n})
		put(t, store, item{key: key, id: number(1), seed: uint64(n), size: 100 + n})
	}
	for _, prefix := range []string{"nothing", "https://a.test/", "a*", "[", ""} {
		if err := store.RemovePrefix(ctx, prefix); err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, key := range keys {
			n := len(lookup(t, store, key))
			switch gone := strings.HasPrefix(key, prefix); {
			case gone && n != 0:
				t.Errorf("RemovePrefix(%q) has left %q", prefix, key)
			case !gone && n != 2:
				t.Errorf("RemovePrefix(%q) has left %d of 2 entries of %q", prefix, n, key)
			case !gone:
				left = append(left, key)
			}
		}
		keys = left
	}
}

// removeDoesNotStopWriter: what was begun before a removal is stored after it.
func removeDoesNotStopWriter(t testing.TB, s Subject) {
	store := s.New(t)
	i := item{key: "k", seed: 1, size: 100_000}
	w := create(t, store, i, -1)
	write(t, w, i.body()[:50_000])
	if err := store.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if err := store.RemovePrefix(ctx, ""); err != nil {
		t.Fatal(err)
	}
	write(t, w, i.body()[50_000:])
	commit(t, w, i)
	same(t, only(t, store, "k"), i)
}

// endedContext: no method hangs or spoils anything.
func endedContext(t testing.TB, s Subject) {
	store := s.New(t)
	i := item{key: "k", seed: 1, size: 100_000}
	put(t, store, i)
	e := only(t, store, "k")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if list, err := store.Lookup(ended, "k"); err == nil && len(list) == 1 {
		same(t, list[0], i)
	}
	if b, err := e.Open(ended); err == nil {
		sameBody(t, b, i)
		b.Close()
	}
	if w, err := store.Create(ended, "k", httpcache.Variant{Size: -1}); err == nil && w != nil {
		w.Close()
	}
	store.Update(ended, e, i.meta())
	same(t, only(t, store, "k"), i)
	store.Remove(ended, "other")
	same(t, only(t, store, "k"), i)
	store.RemovePrefix(ended, "")
	put(t, store, i)
	same(t, only(t, store, "k"), i)
}
