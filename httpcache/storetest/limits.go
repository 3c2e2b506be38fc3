package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/netreply/netreply/httpcache"
)

// patience is how long a Store may take for what it does in the background.
var patience = 20 * time.Second

// list: a Lister yields each entry once, with its key.
func list(t testing.TB, s Subject) {
	store := s.New(t)
	l, ok := store.(httpcache.Lister)
	if !ok {
		t.Skip("it is no Lister")
	}
	want := map[string]item{}
	for n := range byte(20) {
		i := item{key: fmt.Sprint("key ", n/2), id: number(n % 2), seed: uint64(n), size: 100 * int(n)}
		put(t, store, i)
		want[string(i.meta())] = i
	}
	for key, e := range l.All(ctx) {
		i, ok := want[string(e.Meta())]
		if !ok || i.key != key {
			t.Fatalf("All yields %q of %q, or twice", e.Meta(), key)
		}
		same(t, e, i)
		delete(want, string(e.Meta()))
	}
	if len(want) > 0 {
		t.Errorf("All does not yield %d of 20 entries", len(want))
	}
	for range l.All(ctx) {
		break
	}
	for key := range l.All(ctx) { // what is yielded can be removed
		if err := store.Remove(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	for key := range l.All(ctx) {
		t.Errorf("All yields %q after it was removed", key)
	}
}

// size: that of a Lister is at least what was stored, and falls with it.
func size(t testing.TB, s Subject) {
	store := s.New(t)
	l, ok := store.(httpcache.Lister)
	if !ok {
		t.Skip("it is no Lister")
	}
	size := func() int64 {
		t.Helper()
		n, err := l.Size(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := size()
	for n := range 10 {
		put(t, store, item{key: fmt.Sprint(n), seed: uint64(n), size: 50_000})
	}
	if got := size(); got < before+500_000 || got > before+1_000_000 {
		t.Errorf("Size is %d with 10 entries of 50,000 bytes, and was %d", got, before)
	}
	put(t, store, item{key: "0", seed: 1, size: 10})
	if got := size(); got < before+450_000 || got > before+900_000 {
		t.Errorf("Size is %d with 9 entries of 50,000 bytes, and was %d", got, before)
	}
	w := create(t, store, item{key: "x"}, -1)
	write(t, w, make([]byte, 100_000))
	w.Close()
	for n := range 10 {
		if err := store.Remove(ctx, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	if got := size(); got != before {
		t.Errorf("Size is %d when all was removed, and was %d", got, before)
	}
}

// full: a Store that is full takes what is new, and has not much more than its limit.
func full(t testing.TB, s Subject) {
	if s.Limited == nil {
		t.Skip("no limited Store")
	}
	const limit = 1 << 20
	store := s.Limited(t, limit)
	held := func() (sum int64) {
		for n := range 200 {
			for _, e := range lookup(t, store, fmt.Sprint(n)) {
				if consistent(t, e, fmt.Sprint(n)) {
					sum += int64(20_000 + len(e.Meta()))
				}
			}
		}
		return sum
	}
	for n := range 200 { // 4 MB
		put(t, store, item{key: fmt.Sprint(n), seed: uint64(n), size: 20_000})
		if n%20 == 0 {
			wait(t, "the entry written last is not there", func() bool {
				list := lookup(t, store, fmt.Sprint(n))
				return len(list) == 1 && consistent(t, list[0], fmt.Sprint(n))
			})
		}
	}
	wait(t, "entries take more than the limit", func() bool { return held() <= limit })
	if held() < limit/4 {
		t.Errorf("there are only %d bytes in a Store for %d", held(), limit)
	}
}

// wait waits for what happens in the background.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// tooLarge: an entry that does not fit is refused somewhere, and changes nothing.
func tooLarge(t testing.TB, s Subject) {
	if s.Limited == nil {
		t.Skip("no limited Store")
	}
	store := s.Limited(t, 1<<20)
	old := item{key: "k", seed: 1, size: 1000}
	put(t, store, old)
	for _, announced := range []int64{4 << 20, -1, 10} {
		i := item{key: "k", seed: 2, size: 4 << 20}
		w, err := store.Create(ctx, "k", httpcache.Variant{Size: announced})
		if err != nil {
			t.Fatalf("Create of what is too large: %v", err)
		}
		if w == nil { // refused, which is no error
			continue
		}
		n, err := w.Write(i.body()[:100_000])
		for k := 1; k < 40 && err == nil; k++ {
			n, err = w.Write(i.body()[k*100_000 : (k+1)*100_000])
		}
		if err == nil {
			err = w.Commit(i.meta())
		} else {
			if n > 100_000 {
				t.Errorf("Write of 100,000 bytes returns %d", n)
			}
			p := make([]byte, 100)
			if _, err := w.ReadAt(p, 0); err != nil {
				t.Errorf("after a Write that failed, ReadAt of what was written: %v", err)
			} else {
				sameBytes(t, p, i.body()[:100])
			}
			if w.Commit(i.meta()) == nil {
				t.Error("Commit succeeds after a Write that failed")
			}
		}
		if err == nil {
			t.Error("an entry of 4 MB was stored in a Store for 1 MB")
		}
		w.Close()
	}
	list := lookup(t, store, "k")
	if len(list) == 1 { // it may have been removed to make room
		same(t, list[0], old)
	}
	i := item{key: "k", seed: 3, size: 1000}
	put(t, store, i)
	same(t, only(t, store, "k"), i)
}

// fullOfUnfinished: entries that are being written count, too, and give their room back.
func fullOfUnfinished(t testing.TB, s Subject) {
	if s.Limited == nil {
		t.Skip("no limited Store")
	}
	store := s.Limited(t, 1<<20)
	var writers []httpcache.Writer
	stored := 0
	refused := false
	for n := range 40 { // of 200,000 bytes each
		i := item{key: fmt.Sprint(n), seed: uint64(n), size: 200_000}
		w, err := store.Create(ctx, i.key, httpcache.Variant{Size: -1})
		if err != nil || w == nil {
			refused = true
			continue
		}
		if _, err := w.Write(i.body()); err != nil {
			refused = true
		} else {
			stored += i.size
		}
		writers = append(writers, w)
	}
	if !refused || stored > 3<<20 {
		t.Errorf("%d bytes are being written at once in a Store for %d", stored, 1<<20)
	}
	for _, w := range writers {
		w.Close()
	}
	for n := range 40 {
		none(t, store, fmt.Sprint(n), "nothing was committed")
	}
	i := item{key: "k", seed: 1, size: 200_000}
	put(t, store, i)
	same(t, only(t, store, "k"), i)
}
