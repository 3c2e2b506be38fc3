package httpcache_test

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// forEachStore runs a benchmark with a Memory and a Disk that have room for 2 GiB.
func forEachStore(b *testing.B, f func(b *testing.B, s httpcache.Store)) {
	room := httpcache.Limits{Size: 2 << 30}
	b.Run("memory", func(b *testing.B) { f(b, httpcache.NewMemory(room)) })
	b.Run("disk", func(b *testing.B) { f(b, openDisk(b, b.TempDir(), room)) })
}

// hit reads an entry as a cache does.
func hit(b *testing.B, s httpcache.Store, key string, p []byte) {
	list, err := s.Lookup(bg, key)
	if err != nil || len(list) == 0 {
		b.Fatal(list, err)
	}
	body, err := list[0].Open(bg)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := body.ReadAt(p, 0); n < len(p) {
		b.Fatal(n, err)
	}
	body.Close()
}

// BenchmarkHit reads an entry of 10,000 bytes.
func BenchmarkHit(b *testing.B) {
	forEachStore(b, func(b *testing.B, s httpcache.Store) {
		require.NoError(b, store(s, "k", 0, 1, 10_000))
		p := make([]byte, 10_000)
		b.ReportAllocs()
		for b.Loop() {
			hit(b, s, "k", p)
		}
	})
}

// BenchmarkMiss looks up what is not there.
func BenchmarkMiss(b *testing.B) {
	forEachStore(b, func(b *testing.B, s httpcache.Store) {
		require.NoError(b, store(s, "k", 0, 1, 10_000))
		b.ReportAllocs()
		for b.Loop() {
			s.Lookup(bg, "other")
		}
	})
}

// BenchmarkStore stores entries of 10,000 bytes, new ones and in place of another. For the
// latter ext4 waits for the disk.
func BenchmarkStore(b *testing.B) {
	forEachStore(b, func(b *testing.B, s httpcache.Store) {
		body, meta := content(1, 10_000), make([]byte, 300)
		put := func(b *testing.B, key string) {
			w, err := s.Create(bg, key, httpcache.Variant{Size: 10_000})
			if err != nil {
				b.Fatal(err)
			}
			w.Write(body)
			if err := w.Commit(meta); err != nil {
				b.Fatal(err)
			}
			w.Close()
		}
		b.Run("new", func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				put(b, fmt.Sprint(n))
			}
		})
		b.Run("replace", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				put(b, "k")
			}
		})
	})
}

// BenchmarkRead streams a body of 1 GiB in pieces of 64 KiB and of 32 KiB.
func BenchmarkRead(b *testing.B) {
	const size = 1 << 30
	forEachStore(b, func(b *testing.B, s httpcache.Store) {
		w, err := s.Create(bg, "k", httpcache.Variant{Size: size})
		require.NoError(b, err)
		for part := content(1, 1<<20); ; {
			if n, _ := w.ReadAt(part[:1], size-1); n == 1 {
				break
			}
			_, err := w.Write(part)
			require.NoError(b, err)
		}
		require.NoError(b, w.Commit(nil))
		require.NoError(b, w.Close())
		for _, piece := range []int{64 << 10, 32 << 10} {
			b.Run(fmt.Sprint(piece>>10, "KiB"), func(b *testing.B) {
				p := make([]byte, piece)
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					list, err := s.Lookup(bg, "k")
					require.NoError(b, err)
					body, err := list[0].Open(bg)
					require.NoError(b, err)
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(body, 0, size), p)
					require.NoError(b, err)
					require.EqualValues(b, size, n)
					body.Close()
				}
			})
		}
	})
}

// many is how many entries BenchmarkManyEntries has: NETREPLY_BENCH_ENTRIES, or 10,000,
// because file systems take long to make files.
var many = func() int {
	if n, err := strconv.Atoi(os.Getenv("NETREPLY_BENCH_ENTRIES")); err == nil {
		return n
	}
	return 10_000
}()

// fill stores many entries.
func fill(b *testing.B, s httpcache.Store) {
	var all sync.WaitGroup
	for part := range 4 {
		all.Go(func() {
			for n := part; n < many; n += 4 {
				if err := store(s, fmt.Sprint("https://example.test/", n), 0, uint64(n), 100); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkManyEntries looks up one of many entries, and opens a Disk that has them.
func BenchmarkManyEntries(b *testing.B) {
	room := httpcache.Limits{Size: 2 << 30}
	run := func(b *testing.B, s httpcache.Store) {
		n := 0
		p := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			n = (n + 7919) % many
			hit(b, s, fmt.Sprint("https://example.test/", n), p)
		}
	}
	b.Run("memory", func(b *testing.B) {
		m := httpcache.NewMemory(room)
		fill(b, m)
		run(b, m)
	})
	dir := b.TempDir()
	d := openDisk(b, dir, room)
	fill(b, d)
	b.Run("disk", func(b *testing.B) { run(b, d) })
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			d, err := httpcache.OpenDisk(dir, room)
			require.NoError(b, err)
			require.NoError(b, d.Close())
		}
	})
}
