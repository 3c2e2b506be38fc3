package storetest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/storetest"
)

// dirStore is a Store that has its bodies in files, and knows of them as long as the program
// runs. It has no limit.
type dirStore struct {
	root *os.Root

	mu   sync.Mutex
	keys map[string][]*dirEntry
}

func (s *dirStore) Lookup(_ context.Context, key string) ([]httpcache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []httpcache.Entry
	for _, e := range s.keys[key] {
		list = append(list, e)
	}
	return list, nil
}

func (s *dirStore) Create(_ context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
	name := rand.Text()
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &dirWriter{File: f, entry: dirEntry{store: s, key: key, id: v.ID, name: name}}, nil
}

func (s *dirStore) Update(_ context.Context, e httpcache.Entry, meta []byte) error {
	old, ok := e.(*dirEntry)
	if !ok || old.store != s {
		return nil
	}
	updated := *old
	updated.meta = bytes.Clone(meta)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.keys[old.key], old); i >= 0 {
		s.keys[old.key][i] = &updated
	}
	return nil
}

func (s *dirStore) Remove(_ context.Context, key string) error {
	return s.removeIf(func(k string) bool { return k == key })
}

func (s *dirStore) RemovePrefix(_ context.Context, prefix string) error {
	return s.removeIf(func(k string) bool { return strings.HasPrefix(k, prefix) })
}

func (s *dirStore) removeIf(gone func(key string) bool) error {
	s.mu.Lock()
	var files []string
	for key, list := range s.keys {
		if gone(key) {
			for _, e := range list {
				files = append(files, e.name)
			}
			delete(s.keys, key)
		}
	}
	s.mu.Unlock()
	return s.removeFiles(files)
}

func (s *dirStore) removeFiles(names []string) (failed error) {
	for _, name := range names {
		if err := s.root.Remove(name); err != nil {
			failed = err
		}
	}
	return failed
}

// commit puts an entry in the place of the one with the same key and ID.
func (s *dirStore) commit(e *dirEntry) {
	s.mu.Lock()
	var files []string
	list := slices.DeleteFunc(s.keys[e.key], func(old *dirEntry) bool {
		if old.id == e.id {
			files = append(files, old.name)
		}
		return old.id == e.id
	})
	s.keys[e.key] = append(list, e)
	s.mu.Unlock()
	s.removeFiles(files)
}

type dirEntry struct {
	store *dirStore
	key   string
	id    [32]byte
	name  string
	size  int64
	meta  []byte
}

func (e *dirEntry) Meta() []byte { return e.meta }

func (e *dirEntry) Open(context.Context) (httpcache.Body, error) {
	f, err := e.store.root.Open(e.name)
	if err != nil {
		return nil, err
	}
	return dirBody{f, e.size}, nil
}

type dirBody struct {
	*os.File
	size int64
}

func (b dirBody) Size() int64 { return b.size }

// dirWriter has Write and ReadAt of its file.
type dirWriter struct {
	*os.File
	entry            dirEntry
	committed, ended bool
}

func (w *dirWriter) Commit(meta []byte) error {
	st, err := w.Stat()
	if err != nil {
		return err
	}
	w.entry.size, w.entry.meta = st.Size(), bytes.Clone(meta)
	w.entry.store.commit(&w.entry)
	w.committed = true
	return nil
}

func (w *dirWriter) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	err := w.File.Close()
	if !w.committed {
		w.entry.store.root.Remove(w.entry.name)
	}
	return err
}

func newDirStore(dir string) (*dirStore, error) {
	root, err := os.OpenRoot(dir)
	return &dirStore{root: root, keys: map[string][]*dirEntry{}}, err
}

func TestDirStore(t *testing.T) {
	storetest.Test(t, storetest.Subject{New: func(t testing.TB) httpcache.Store {
		s, err := newDirStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.root.Close() })
		return s
	}})
}

// A Store of the program's own. Its test is that of TestDirStore in the same file.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := newDirStore(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.root.Close()
	cache := httpcache.New(store) // for netreply.Config

	ctx := context.Background()
	w, err := store.Create(ctx, "key", httpcache.Variant{Size: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	io.WriteString(w, "a body")
	fmt.Println(w.Commit([]byte("metadata")))
	list, err := store.Lookup(ctx, "key")
	fmt.Println(len(list), err)
	fmt.Println(cache.Clear(ctx))
	list, err = store.Lookup(ctx, "key")
	fmt.Println(len(list), err)
	// Output:
	// <nil>
	// 1 <nil>
	// <nil>
	// 0 <nil>
}
