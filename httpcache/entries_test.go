package httpcache_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// content makes n bytes that differ with the seed.
func content(seed uint64, n int) []byte {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	b := make([]byte, n)
	rand.NewChaCha8(s).Read(b)
	return b
}

// store stores an entry whose metadata say what its body is.
func store(s httpcache.Store, key string, id byte, seed uint64, size int) error {
	w, err := s.Create(bg, key, httpcache.Variant{ID: [32]byte{id}, Size: int64(size)})
	if err != nil || w == nil {
		return fmt.Errorf("Create: %v, %w", w, err)
	}
	defer w.Close()
	if _, err := w.Write(content(seed, size)); err != nil {
		return err
	}
	return w.Commit(fmt.Appendf(nil, "%d %d %s", seed, size, key))
}

// check reads an entry. It returns an error if the metadata are not those of the key or do
// not fit the body, and false if the entry cannot be read any more.
func check(e httpcache.Entry, key string) (bool, error) {
	var seed uint64
	var size int
	var of string
	if _, err := fmt.Sscanf(string(e.Meta()), "%d %d %s", &seed, &size, &of); err != nil || of != key {
		return false, fmt.Errorf("metadata %q of %q", e.Meta(), key)
	}
	b, err := e.Open(bg)
	if err != nil {
		return false, nil
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()+1))
	if !bytes.Equal(got, content(seed, size)[:min(size, len(got))]) || len(got) > size {
		return false, fmt.Errorf("%q has other bytes than those written", e.Meta())
	}
	if err == nil && len(got) < size {
		return false, fmt.Errorf("%q has %d bytes, and no error", e.Meta(), len(got))
	}
	return err == nil, nil
}

// there returns how many entries of a key are there and readable. Those that are not must
// not be wrong.
func there(t testing.TB, s httpcache.Store, key string) (n int) {
	list, err := s.Lookup(bg, key)
	require.NoError(t, err)
	for _, e := range list {
		ok, err := check(e, key)
		require.NoError(t, err)
		if ok {
			n++
		}
	}
	return n
}
