package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/netreply/netreply/httpcache"
)

// reopen: everything that was committed is there after a restart.
func reopen(t testing.TB, s Subject) {
	if s.Reopen == nil {
		t.Skip("it cannot be reopened")
	}
	store := s.New(t)
	var items []item
	for n := range 30 {
		i := item{key: fmt.Sprint("k", n/2), id: number(byte(n % 2)), seed: uint64(n), size: n * 5000}
		put(t, store, i)
		items = append(items, i)
	}
	if err := store.Remove(ctx, "k3"); err != nil {
		t.Fatal(err)
	}
	put(t, store, item{key: "updated", seed: 1, size: 5})
	if err := store.Update(ctx, only(t, store, "updated"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		store = s.Reopen(t, store)
		for _, i := range items {
			if i.key == "k3" {
				none(t, store, "k3", "it was removed before the restart")
			} else {
				same(t, find(t, store, i), i)
			}
		}
		if meta := only(t, store, "updated").Meta(); string(meta) != "new" {
			t.Errorf("metadata %q after a restart, not that of the Update", meta)
		}
	}
	i := item{key: "k3", seed: 77, size: 10}
	put(t, store, i)
	same(t, only(t, store, "k3"), i)
}

// reopenUnfinished: what was being written is not there after a restart.
func reopenUnfinished(t testing.TB, s Subject) {
	if s.Reopen == nil {
		t.Skip("it cannot be reopened")
	}
	store := s.New(t)
	old := item{key: "k", seed: 1, size: 100}
	put(t, store, old)
	for _, key := range []string{"k", "new"} {
		i := item{key: key, seed: 2, size: 200_000}
		w := create(t, store, i, int64(i.size))
		defer w.Close()
		write(t, w, i.body()[:150_000])
	}
	store = s.Reopen(t, store)
	same(t, only(t, store, "k"), old)
	none(t, store, "new", "it was not committed before the restart")
}

// shared: what one Store does, another one that shares its entries sees.
func shared(t testing.TB, s Subject) {
	if s.Join == nil {
		t.Skip("it cannot be shared")
	}
	one := s.New(t)
	two := s.Join(t, one)
	i := item{key: "k", seed: 1, size: 100_000}
	put(t, one, i)
	wait(t, "the other Store does not see a Commit", func() bool { return len(lookup(t, two, "k")) == 1 })
	same(t, only(t, two, "k"), i)
	b := open(t, only(t, one, "k"))
	defer b.Close()

	replaced := item{key: "k", seed: 2, size: 70_000}
	put(t, two, replaced)
	wait(t, "the other Store does not see a replacement", func() bool { return bytes.Equal(only(t, one, "k").Meta(), replaced.meta()) })
	same(t, only(t, one, "k"), replaced)
	sameBody(t, b, i)

	if err := two.Update(ctx, only(t, two, "k"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	wait(t, "the other Store does not see an Update", func() bool { return string(only(t, one, "k").Meta()) == "new" })

	if err := one.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the other Store does not see a Remove", func() bool { return len(lookup(t, two, "k")) == 0 })
	put(t, two, i)
	if err := one.RemovePrefix(ctx, ""); err != nil {
		t.Fatal(err)
	}
	wait(t, "the other Store does not see a RemovePrefix", func() bool { return len(lookup(t, two, "k")) == 0 })
}

// sharedUpdate: an Update with an entry that another Store has replaced does nothing.
func sharedUpdate(t testing.TB, s Subject) {
	if s.Join == nil {
		t.Skip("it cannot be shared")
	}
	one := s.New(t)
	two := s.Join(t, one)
	i, replaced := item{key: "k", seed: 1, size: 10}, item{key: "k", seed: 2, size: 10}
	put(t, one, i)
	e := only(t, one, "k")
	put(t, two, replaced)
	if err := one.Update(ctx, e, []byte("late")); err != nil {
		t.Fatal(err)
	}
	same(t, only(t, two, "k"), replaced)
	updateAtOnce(t, one, two)
}

// sharedReplacement: as concurrentReplacement, with several Stores.
func sharedReplacement(t testing.TB, s Subject) {
	if s.Join == nil {
		t.Skip("it cannot be shared")
	}
	one := s.New(t)
	replaceAtOnce(t, one, s.Join(t, one))
	// variants of one key, written by several: none is lost
	two := s.Join(t, one)
	var all sync.WaitGroup
	for n, store := range []httpcache.Store{one, two} {
		all.Go(func() {
			for k := range 10 {
				i := item{key: "variants", id: number(byte(n*10 + k)), seed: uint64(n*10 + k), size: 100}
				w, err := store.Create(ctx, i.key, httpcache.Variant{ID: i.id, Size: 100})
				if err != nil || w == nil {
					t.Errorf("Create: %v, %v", w, err)
					return
				}
				w.Write(i.body())
				if err := w.Commit(i.meta()); err != nil {
					t.Errorf("Commit: %v", err)
				}
				w.Close()
			}
		})
	}
	all.Wait()
	if n := len(lookup(t, one, "variants")); n != 20 {
		t.Errorf("of 20 variants that two Stores have written at once %d are there", n)
	}
}

// reserve: of several processes that miss an entry, one fetches it.
func reserve(t testing.TB, s Subject) {
	if s.Join == nil {
		t.Skip("it cannot be shared")
	}
	one := s.New(t)
	first, ok := one.(httpcache.Reserver)
	if !ok {
		t.Skip("it is no Reserver")
	}
	two := s.Join(t, one)
	second := two.(httpcache.Reserver)
	release, waited := first.Reserve(ctx, "k")
	if waited {
		t.Fatal("the first one has waited")
	}
	other, waited := second.Reserve(ctx, "other")
	if waited {
		t.Fatal("who wants another key has waited")
	}
	other()

	ended, cancel := context.WithCancel(ctx)
	cancel()
	r, _ := second.Reserve(ended, "k") // returns
	r()

	i := item{key: "k", seed: 1, size: 10}
	found := make(chan bool)
	go func() {
		release, waited := second.Reserve(ctx, "k")
		defer release()
		list, err := two.Lookup(ctx, "k")
		found <- waited && err == nil && len(list) == 1
	}()
	put(t, one, i)
	release()
	release() // does nothing
	select {
	case ok := <-found:
		if !ok {
			t.Error("who has waited does not find what was fetched")
		}
	case <-time.After(patience):
		t.Fatal("a reservation that was released still holds")
	}
	again, waited := first.Reserve(ctx, "k")
	if waited {
		t.Error("nobody has the reservation any more")
	}
	again()
}

// damage: of what was changed on the way, nothing is served, and it can be stored again.
func damage(t testing.TB, s Subject) {
	if s.Damage == nil {
		t.Skip("it cannot be damaged")
	}
	store := s.New(t)
	var items []item
	for n, size := range sizes {
		i := item{key: fmt.Sprint("k", n), seed: uint64(n), size: size}
		put(t, store, i)
		items = append(items, i)
	}
	s.Damage(t, store)
	for _, i := range items {
		if i.size == 0 { // may be whole
			continue
		}
		list, err := store.Lookup(ctx, i.key)
		if err != nil {
			t.Errorf("Lookup of a damaged entry: %v", err)
		}
		for _, e := range list {
			if !bytes.Equal(e.Meta(), i.meta()) {
				t.Errorf("metadata %.60q, not %.60q", e.Meta(), i.meta())
			}
			b, err := e.Open(ctx)
			if err != nil {
				continue
			}
			got, err := readAll(b)
			b.Close()
			if err == nil {
				t.Errorf("the damage of a body of %d bytes was not found", i.size)
			}
			if len(got) > i.size || !bytes.Equal(got, i.body()[:len(got)]) {
				t.Errorf("a damaged body of %d bytes was read as other bytes than those written", i.size)
			}
		}
		none(t, store, i.key, "its damage was found")
		put(t, store, i)
		same(t, only(t, store, i.key), i)
	}
}
