package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/netreply/netreply/httpcache"
)

// item is an entry that was or will be stored. Its body can be told from its metadata, so
// that a mix of two entries is found.
type item struct {
	key  string
	id   [32]byte
	seed uint64
	size int
}

// number makes an ID.
func number(n byte) [32]byte { return [32]byte{n, 31: n} }

func (i item) meta() []byte { return fmt.Appendf(nil, "%d %d %q", i.seed, i.size, i.key) }

// source yields the body.
func source(seed uint64) io.Reader {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

func (i item) body() []byte {
	b := make([]byte, i.size)
	io.ReadFull(source(i.seed), b)
	return b
}

// create begins an entry that the Store must take.
func create(t testing.TB, s httpcache.Store, i item, size int64) httpcache.Writer {
	t.Helper()
	w, err := s.Create(context.Background(), i.key, httpcache.Variant{ID: i.id, Size: size})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if w == nil {
		t.Fatal("Create refuses an entry for which there is room")
	}
	return w
}

// put stores an entry.
func put(t testing.TB, s httpcache.Store, i item) {
	t.Helper()
	w := create(t, s, i, int64(i.size))
	defer w.Close()
	write(t, w, i.body())
	commit(t, w, i)
}

func write(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if n, err := w.Write(b); n != len(b) || err != nil {
		t.Fatalf("Write of %d bytes: %d, %v", len(b), n, err)
	}
}

func commit(t testing.TB, w httpcache.Writer, i item) {
	t.Helper()
	if err := w.Commit(i.meta()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close after Commit: %v", err)
	}
}

func lookup(t testing.TB, s httpcache.Store, key string) []httpcache.Entry {
	t.Helper()
	list, err := s.Lookup(context.Background(), key)
	if err != nil {
		t.Fatalf("Lookup: %v", err)
	}
	return list
}

// only returns the one entry of a key.
func only(t testing.TB, s httpcache.Store, key string) httpcache.Entry {
	t.Helper()
	list := lookup(t, s, key)
	if len(list) != 1 {
		t.Fatalf("there are %d entries of %.40q, not 1", len(list), key)
	}
	return list[0]
}

// none wants no entry of a key.
func none(t testing.TB, s httpcache.Store, key, why string) {
	t.Helper()
	if n := len(lookup(t, s, key)); n != 0 {
		t.Fatalf("there are %d entries of %.40q: %s", n, key, why)
	}
}

func open(t testing.TB, e httpcache.Entry) httpcache.Body {
	t.Helper()
	b, err := e.Open(context.Background())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return b
}

// readAll reads a body in pieces of 10,007 bytes.
func readAll(b httpcache.Body) ([]byte, error) {
	return io.ReadAll(io.MultiReader(pieces{io.NewSectionReader(b, 0, b.Size()+1)}))
}

type pieces struct{ r io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), 10_007)]) }

// same wants an entry to be i.
func same(t testing.TB, e httpcache.Entry, i item) {
	t.Helper()
	if !bytes.Equal(e.Meta(), i.meta()) {
		t.Fatalf("metadata %.60q, not %.60q", e.Meta(), i.meta())
	}
	b := open(t, e)
	defer b.Close()
	sameBody(t, b, i)
}

func sameBody(t testing.TB, b httpcache.Body, i item) {
	t.Helper()
	if b.Size() != int64(i.size) {
		t.Fatalf("Size is %d, not %d", b.Size(), i.size)
	}
	got, err := readAll(b)
	if err != nil {
		t.Fatalf("reading a body of %d bytes: %v", i.size, err)
	}
	sameBytes(t, got, i.body())
}

func sameBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for n := range min(len(got), len(want)) {
		if got[n] != want[n] {
			t.Fatalf("byte %d of %d is wrong", n, len(want))
		}
	}
	t.Fatalf("%d bytes, not %d", len(got), len(want))
}

// consistent wants an entry of key to be one that was written, if it can be opened: its body
// is what its metadata says. It reports whether it could be read.
func consistent(t testing.TB, e httpcache.Entry, key string) bool {
	t.Helper()
	i := item{}
	if _, err := fmt.Sscanf(string(e.Meta()), "%d %d %q", &i.seed, &i.size, &i.key); err != nil || i.key != key {
		t.Errorf("metadata %.60q of %q", e.Meta(), key)
		return false
	}
	b, err := e.Open(context.Background())
	if err != nil { // it was replaced or removed
		return false
	}
	defer b.Close()
	got, err := readAll(b)
	if err != nil {
		t.Errorf("a body that was opened breaks off: %v", err)
		return false
	}
	if !bytes.Equal(got, i.body()) {
		t.Errorf("the body of %d bytes does not belong to the metadata %q", len(got), e.Meta())
		return false
	}
	return true
}
