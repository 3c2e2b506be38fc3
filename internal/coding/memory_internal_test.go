package coding

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errFull = errors.New("full")

// TestBudget: free memory is taken at once; otherwise requests are granted in order, until
// memoryWait or their cancellation.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, errFull)
		size := func(n int64) amount { return amount{all: n} }
		require.True(t, b.take(size(60)))
		require.False(t, b.take(size(50)))
		began := time.Now()
		require.False(t, b.await(size(101), nil, nil))
		require.Zero(t, time.Since(began), "a request above the limit is refused at once")

		results := make(chan int64) // the memory taken, 0 for a refusal
		ask := func(n int64, done chan struct{}) {
			if !b.await(size(n), nil, done) {
				n = 0
			}
			results <- n
		}
		for _, n := range []int64{50, 10, 90} {
			go ask(n, nil)
			synctest.Wait()
		}
		require.True(t, b.take(size(40)), "a decoder with memory is served before waiting ones")
		b.release(size(40))
		synctest.Wait()
		select {
		case <-results:
			require.Fail(t, "requests are granted in order")
		default:
		}
		b.release(size(60))
		assert.ElementsMatch(t, []int64{50, 10}, []int64{<-results, <-results})
		require.Zero(t, <-results, "the third has waited long enough")
		assert.Equal(t, memoryWait, time.Since(began))
		assert.Zero(t, b.waiting.Len())

		done := make(chan struct{})
		go ask(90, done)
		synctest.Wait()
		go ask(40, nil)
		synctest.Wait()
		close(done)
		assert.ElementsMatch(t, []int64{0, 40}, []int64{<-results, <-results}, "a cancelled request does not block later ones")
		b.release(size(100))
		assert.Zero(t, b.used)
	})
}

// TestBacking: received bytes free the unbacked part of the limit for others.
func TestBacking(t *testing.T) {
	b := NewBudget(4*maxUnbacked, errFull)
	r := &Reader{limits: Limits{Memory: b}}
	first, second := memory{r: r}, memory{r: &Reader{limits: Limits{Memory: b}}}
	require.NoError(t, first.atLeast(uncounted))
	require.Zero(t, b.used)
	require.NoError(t, first.atLeast(uncounted+maxUnbacked-1000))
	require.Equal(t, amount{maxUnbacked - 1000, maxUnbacked - 1000}, b.used)
	require.False(t, b.take(amount{1001, 1001}))
	r.wire.Store(10)
	first.received()
	require.Equal(t, amount{maxUnbacked - 1000, maxUnbacked - 2000}, b.used)
	require.NoError(t, second.atLeast(uncounted+2000))
	require.ErrorIs(t, second.atLeast(uncounted+2001), errFull)
	r.wire.Store(maxUnbacked)
	first.received()
	require.Equal(t, amount{maxUnbacked + 1000, 2000}, b.used)
	require.NoError(t, first.atLeast(2*maxUnbacked))
	first.release()
	second.release()
	require.Zero(t, b.used)
	assert.Equal(t, amount{1000, 1000}, NewBudget(1000, nil).limit)
}

// lies are short inputs that make a decoder allocate much memory.
var lies = sync.OnceValue(func() map[string][]byte {
	zeros := make([]byte, 16<<20)
	var br bytes.Buffer
	w := brotli.NewWriterOptions(&br, brotli.WriterOptions{Quality: 9, LGWin: 24})
	w.Write(zeros)
	w.Close()
	list := map[string][]byte{"br": br.Bytes()}

	// the same after a short block, where the header is not visible at the start
	var late bytes.Buffer
	w = brotli.NewWriterOptions(&late, brotli.WriterOptions{Quality: 9, LGWin: 24})
	w.Write(zeros[:100])
	w.Flush()
	w.Write(zeros)
	w.Close()
	list["br/late"] = late.Bytes()

	// WBITS 16, a block of 65,536 bytes with 256 trees of literals of which it uses one
	var bits bitWriter
	for _, f := range [][2]int{{0, 1}, {0, 1}, {0, 2}, {65535, 16}, {0, 1}, {0, 3}, {0, 6}, {0, 2}, {1, 1}, {7, 3}, {127, 7}, {0, 1}, {1, 2}, {0, 2}, {0, 8}, {0, 1}, {0, 1}} {
		bits.put(f[0], f[1])
	}
	list["br/tables"] = append(bits.bytes, 0, 0, 0)

	// a frame with a window of 8 MiB and one block of 1,000 zeros
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 1000<<3&0xff | 2, 1000 >> 5, 0, 0}
	list["zstd"] = frame
	// after a skippable frame and a small one
	list["zstd/late"] = append([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello"), frame...)
	return list
})

type bitWriter struct {
	bytes []byte
	n     int
}

func (w *bitWriter) put(v, bits int) {
	for i := range bits {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// stopped returns a body, then reports the next Read, and blocks.
type stopped struct {
	io.Reader
	asked, end chan struct{}
}

func (s *stopped) Read(p []byte) (int, error) {
	if n, _ := s.Reader.Read(p); n > 0 {
		return n, nil
	}
	close(s.asked)
	<-s.end
	return 0, io.ErrUnexpectedEOF
}

func (s *stopped) Close() error { return nil }

// TestMemoryIsCounted: the memory of a decoder is counted when it waits, wherever in the
// stream it was requested.
func TestMemoryIsCounted(t *testing.T) {
	for form, data := range lies() {
		name, _, _ := bytes.Cut([]byte(form), []byte("/"))
		b := NewBudget(64<<20, errFull)
		heap := func() int64 {
			for range 3 { // the second collection empties the pools
				runtime.GC()
			}
			var ms runtime.MemStats
			runtime.ReadMemStats(&ms)
			return int64(ms.HeapAlloc)
		}
		before := heap()
		// read little of the body: the decoded rest is in the decoder
		src := &stopped{bytes.NewReader(data[:min(len(data), 60)]), make(chan struct{}), make(chan struct{})}
		r := NewReader(src, []string{string(name)}, Limits{Threshold: -1, Memory: b}, Hooks{})
		var err error
		read := make(chan struct{})
		go func() {
			defer close(read)
			for range 8 {
				if _, err = r.Read(make([]byte, 200)); err != nil {
					return
				}
			}
		}()
		select {
		case <-read:
			require.NoError(t, err, form)
		case <-src.asked:
		}
		held := heap() - before
		t.Logf("%s: %d bytes of input, %d kB of heap, %d kB accounted for", form, min(len(data), 60), held>>10, b.used.all>>10)
		assert.Greater(t, b.used.all, int64(500<<10), form)
		assert.Less(t, held, b.used.all+(512<<10), form)
		close(src.end)
		<-read
		r.Close()
		assert.Zero(t, b.used, form)
	}
}

// TestMemoryRefused: with its own error, and all memory is returned.
func TestMemoryRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for form, data := range lies() {
			name, _, _ := bytes.Cut([]byte(form), []byte("/"))
			b := NewBudget(400<<10, errFull)
			waits := 0
			r := NewReader(io.NopCloser(bytes.NewReader(data)), []string{string(name)}, Limits{Threshold: -1, Memory: b},
				Hooks{Wait: func(bool) { waits++ }})
			_, err := io.Copy(io.Discard, struct{ io.Reader }{r})
			require.ErrorIs(t, err, errFull, form)
			var e *Error
			require.ErrorAs(t, err, &e, form)
			assert.Equal(t, 0, waits%2, form)
			r.Close()
			assert.Zero(t, b.used, form)
		}
	})
}

// TestMemoryIsWaitedFor: bodies with large windows are decoded one after the other, and
// Close ends the wait.
func TestMemoryIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := lies()["zstd"]
		b := NewBudget(zstdMemory(maxWindow), errFull)
		first := NewReader(&stopped{bytes.NewReader(data), make(chan struct{}), make(chan struct{})}, []string{"zstd"}, Limits{Memory: b}, Hooks{})
		_, err := first.Read(make([]byte, 10))
		require.NoError(t, err)
		second := NewReader(&stopped{bytes.NewReader(data), make(chan struct{}), make(chan struct{})}, []string{"zstd"}, Limits{Memory: b}, Hooks{})
		third := NewReader(io.NopCloser(bytes.NewReader(data)), []string{"zstd"}, Limits{Memory: b}, Hooks{})
		results := make(chan error)
		for _, r := range []*Reader{second, third} {
			go func() {
				_, err := r.Read(make([]byte, 10))
				results <- err
			}()
			synctest.Wait()
		}
		third.Close()
		require.Error(t, <-results)
		first.Close()
		require.NoError(t, <-results)
		second.Close()
		assert.Zero(t, b.used)
	})
}

// TestMemoryGivenBack: memory is returned at every kind of end of a body.
func TestMemoryGivenBack(t *testing.T) {
	b := NewBudget(64<<20, errFull)
	for form, data := range lies() {
		name, _, _ := bytes.Cut([]byte(form), []byte("/"))
		for n := range min(len(data), 100) {
			r := NewReader(io.NopCloser(bytes.NewReader(data[:n])), []string{string(name)}, Limits{Threshold: 1 << 16, Memory: b}, Hooks{})
			if n%2 == 0 {
				io.CopyN(io.Discard, r, 1000)
			} else {
				io.Copy(io.Discard, struct{ io.Reader }{r})
			}
			r.Close()
			require.Zero(t, b.used, "%s %d", form, n)
		}
	}
}

// TestZstdFrames: the windows of all frames are found, whatever the sizes of the Reads.
func TestZstdFrames(t *testing.T) {
	var all []byte
	var want []int64
	add := func(size, window int, opts ...zstd.EOption) {
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, append(opts, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))...)
		require.NoError(t, err)
		if size < 0 { // in one piece, with its length
			b.Write(e.EncodeAll(make([]byte, -size), nil))
			var h zstd.Header
			require.NoError(t, h.Decode(b.Bytes()))
			if h.SingleSegment {
				window = max(-size, 0)
			}
		} else {
			e.Write(make([]byte, size))
			e.Flush()
			e.Write([]byte("behind"))
			require.NoError(t, e.Close())
		}
		all = append(all, b.Bytes()...)
		want = append(want, zstdMemory(int64(window)))
	}
	for _, size := range []int{1 << 10, 1 << 14, 1 << 20, 8 << 20} {
		add(300_000, size)
		add(300_000, size, zstd.WithEncoderCRC(false))
	}
	for _, size := range []int{1, 255, 256, 300, 65_535, 65_536 + 300, 1 << 20} {
		add(-size, 8<<20, zstd.WithSingleSegment(true))
		all = append(all, "\x5a\x2a\x4d\x18\x05\x00\x00\x00abcde"...)
	}
	for _, step := range []int{1, 2, 3, 7, 1 << 20} {
		var got []int64
		f := zstdFrames{want: 4, reserve: func(n int64) error { got = append(got, n); return nil }}
		for rest := all; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			require.NoError(t, f.scan(rest[:min(step, len(rest))]))
		}
		require.Equal(t, want, got, "by %d", step)
	}
	f := zstdFrames{want: 4}
	require.NoError(t, f.scan([]byte("no zstd at all")))
}

// TestBrotliHeader compares with the parameters of the encoder.
func TestBrotliHeader(t *testing.T) {
	for wbits := 10; wbits <= 24; wbits++ {
		for _, size := range []int{1, 1000, 65_536, 65_537, 300_000} {
			var b bytes.Buffer
			w := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 5, LGWin: wbits})
			w.Write(make([]byte, size))
			require.NoError(t, w.Close())
			need := brotliHeader(b.Bytes()[:min(8, b.Len())])
			if b.Len() < 5 {
				assert.Zero(t, need)
				continue
			}
			assert.LessOrEqual(t, need, int64(1)<<wbits)
			r := brotli.NewReader(bytes.NewReader(b.Bytes()))
			_, err := io.CopyN(io.Discard, r, 1)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, brotliMemory(r), need, "%d %d", wbits, size)
			assert.Less(t, brotliMemory(r), need+(128<<10), "%d %d", wbits, size)
		}
	}
	assert.Zero(t, brotliHeader(nil))
}

// TestMemoryWaitEnds: a Read that waits for memory ends with Hooks.Done.
func TestMemoryWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(maxWindow*2, errFull)
		require.True(t, b.take(amount{all: maxWindow * 2}))
		done := make(chan struct{})
		r := NewReader(io.NopCloser(bytes.NewReader(lies()["zstd"])), []string{"zstd"}, Limits{Memory: b}, Hooks{Done: done})
		began := time.Now()
		time.AfterFunc(time.Second, func() { close(done) })
		_, err := r.Read(make([]byte, 1))
		require.ErrorIs(t, err, errFull)
		require.Equal(t, time.Second, time.Since(began))
	})
}
