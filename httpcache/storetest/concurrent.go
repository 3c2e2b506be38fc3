package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/netreply/netreply/httpcache"
)

// rounds is how often each of several goroutines does something.
const rounds = 30

// concurrentReplacement: who reads while entries are replaced gets one of them, whole.
func concurrentReplacement(t testing.TB, s Subject) {
	replaceAtOnce(t, s.New(t))
}

// replaceAtOnce lets goroutines write and read the same keys, in Stores with the same entries.
func replaceAtOnce(t testing.TB, stores ...httpcache.Store) {
	keys := []string{"a", "b"}
	for _, key := range keys {
		put(t, stores[0], item{key: key, seed: 1, size: 1000})
	}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	var read atomic.Int64
	for n, store := range append(stores, stores...) {
		writers.Go(func() {
			for k := range rounds {
				i := item{key: keys[k%2], seed: uint64(n*1000 + k), size: []int{0, 200, 70_000, 150_000}[(k+n)%4]}
				w, err := store.Create(ctx, i.key, httpcache.Variant{ID: i.id, Size: -1})
				if err != nil || w == nil {
					t.Errorf("Create: %v, %v", w, err)
					return
				}
				if _, err := w.Write(i.body()); err != nil {
					t.Errorf("Write: %v", err)
				}
				if k%5 != 4 { // else it is given up
					if err := w.Commit(i.meta()); err != nil {
						t.Errorf("Commit: %v", err)
					}
				}
				w.Close()
			}
		})
		readers.Go(func() {
			for k := 0; !done.Load(); k++ {
				key := keys[k%2]
				list, err := store.Lookup(ctx, key)
				if err != nil || len(list) != 1 {
					t.Errorf("Lookup while an entry is replaced: %d entries, %v", len(list), err)
					return
				}
				if consistent(t, list[0], key) {
					read.Add(1)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for _, store := range stores {
		for _, key := range keys {
			if !consistent(t, only(t, store, key), key) {
				t.Errorf("the last entry of %q cannot be opened", key)
			}
		}
	}
	if read.Load() == 0 {
		t.Error("no entry could be read while others were written")
	}
}

// concurrentRemoval: writers, readers and removals of the same keys.
func concurrentRemoval(t testing.TB, s Subject) {
	store := s.New(t)
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() {
			for k := range rounds {
				i := item{key: fmt.Sprint("k", k%3), id: number(byte(k % 2)), seed: uint64(n*1000 + k), size: 1 + k*3000}
				w, err := store.Create(ctx, i.key, httpcache.Variant{ID: i.id, Size: int64(i.size)})
				if err != nil || w == nil {
					t.Errorf("Create: %v, %v", w, err)
					return
				}
				w.Write(i.body())
				if err := w.Commit(i.meta()); err != nil {
					t.Errorf("Commit while others remove: %v", err)
				}
				w.Close()
				list, err := store.Lookup(ctx, i.key)
				if err != nil {
					t.Errorf("Lookup while others remove: %v", err)
				}
				for _, e := range list {
					consistent(t, e, i.key)
				}
			}
		})
	}
	all.Go(func() {
		for k := range rounds {
			var err error
			if k%4 == 3 {
				err = store.RemovePrefix(ctx, "k")
			} else {
				err = store.Remove(ctx, fmt.Sprint("k", k%3))
			}
			if err != nil {
				t.Errorf("removal while others write: %v", err)
			}
		}
	})
	all.Wait()
	if err := store.RemovePrefix(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	for k := range 3 {
		none(t, store, fmt.Sprint("k", k), "all were removed, and no Writer is at work")
	}
}

// concurrentUpdate: of several Updates of one entry, one succeeds.
func concurrentUpdate(t testing.TB, s Subject) {
	updateAtOnce(t, s.New(t))
}

func updateAtOnce(t testing.TB, stores ...httpcache.Store) {
	i := item{key: "k", seed: 1, size: 1000}
	put(t, stores[0], i)
	for k := range rounds {
		entries := make([]httpcache.Entry, 2*len(stores))
		for n := range entries {
			entries[n] = only(t, stores[n%len(stores)], "k")
		}
		var all sync.WaitGroup
		for n, e := range entries {
			all.Go(func() {
				if err := stores[n%len(stores)].Update(ctx, e, fmt.Appendf(nil, "%d.%d", k, n)); err != nil {
					t.Errorf("Update: %v", err)
				}
			})
		}
		if k%3 == 2 {
			w := create(t, stores[0], i, -1)
			write(t, w, i.body())
			if err := w.Commit([]byte("replaced")); err != nil {
				t.Errorf("Commit: %v", err)
			}
			w.Close()
		}
		all.Wait()
		e := only(t, stores[0], "k")
		if k%3 == 2 && string(e.Meta()) != "replaced" {
			t.Fatalf("an Update of an older entry has changed its replacement: %q", e.Meta())
		}
		if k%3 != 2 && !strings.HasPrefix(string(e.Meta()), fmt.Sprint(k, ".")) {
			t.Fatal("none of several Updates at once has happened")
		}
		b := open(t, e)
		sameBody(t, b, i)
		b.Close()
	}
}
