package coding_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/coding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// encoders are the tested encoders, by coding and, if there are several, format.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"zstd": func(w io.Writer) io.WriteCloser {
		e, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		return e
	},
	"br":          func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 5) },
	"gzip":        func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate":     func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"deflate/raw": func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 6); return f },
	// servers that confuse the names
	"gzip/zlib":    func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"deflate/gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
}

func name(form string) string { n, _, _ := strings.Cut(form, "/"); return n }

func encode(t testing.TB, form string, data []byte) []byte {
	var b bytes.Buffer
	w := encoders[form](&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

var off = coding.Limits{Threshold: -1}

func decode(codings []string, data []byte, l coding.Limits) ([]byte, error) {
	r := coding.NewReader(io.NopCloser(bytes.NewReader(data)), codings, l, coding.Hooks{})
	defer r.Close()
	return io.ReadAll(r)
}

// text is hardly compressible text.
func text(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	words := strings.Fields("the reply of a server comes in pieces and the reader takes them as they are 0 1 2 3 4 5 6 7 8 9 αβγ")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[rng.IntN(len(words))])
		b.WriteByte(byte(' ' + rng.IntN(3)))
	}
	return b.Bytes()[:n]
}

func TestParse(t *testing.T) {
	for in, want := range map[string][]string{
		"gzip": {"gzip"}, "GZip": {"gzip"}, " br ": {"br"}, "gzip, br": {"gzip", "br"}, "gzip|zstd": {"gzip", "zstd"},
		"identity": nil, "gzip,identity": {"gzip"}, "x-gzip": {"gzip"}, "X-GZip,gzip": {"gzip", "gzip"}, "x-compress": nil, "gzip, compress": nil, "": nil, ",": nil,
	} {
		got, err := coding.Parse(strings.Split(in, "|"))
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
	}
	for _, in := range []string{"gzip,gzip,gzip,gzip,gzip,gzip", "br,zstd,br"} {
		_, err := coding.Parse([]string{in})
		var e *coding.Error
		require.ErrorAs(t, err, &e, in)
	}
}

// TestRoundTrip: all sizes, with sources that give one byte at a time.
func TestRoundTrip(t *testing.T) {
	for form := range encoders {
		for _, n := range []int{0, 1, 2, 100, 70_000, 1_000_000} {
			data := text(n)
			enc := encode(t, form, data)
			src := io.Reader(bytes.NewReader(enc))
			if n < 100_000 {
				src = iotest.OneByteReader(src)
			}
			reads := 0
			r := coding.NewReader(io.NopCloser(src), []string{name(form)}, off, coding.Hooks{Read: func() { reads++ }})
			got, err := io.ReadAll(r)
			require.NoError(t, err, "%s %d", form, n)
			require.True(t, bytes.Equal(data, got), "%s %d", form, n)
			assert.EqualValues(t, len(enc), r.WireBytes(), "%s %d", form, n)
			assert.Positive(t, reads)
			require.NoError(t, r.Close())
		}
	}
}

func TestEmpty(t *testing.T) {
	for form := range encoders {
		got, err := decode([]string{name(form)}, nil, off)
		require.NoError(t, err, form)
		require.Empty(t, got)
	}
}

func TestStacks(t *testing.T) {
	data := text(200_000)
	for a := range encoders {
		for b := range encoders {
			got, err := decode([]string{name(a), name(b)}, encode(t, b, encode(t, a, data)), off)
			require.NoError(t, err, "%s, %s", a, b)
			require.True(t, bytes.Equal(data, got), "%s, %s", a, b)
		}
	}
}

func TestMembers(t *testing.T) {
	for _, form := range []string{"gzip", "zstd"} {
		var all []byte
		for i := range 5 {
			all = append(all, encode(t, form, text(1000*i))...)
		}
		got, err := decode([]string{form}, all, off)
		require.NoError(t, err)
		assert.Len(t, got, 10_000)
	}
}

// TestCut: a truncated body is always an error, and the bytes before it are right.
func TestCut(t *testing.T) {
	data := text(3000)
	for form := range encoders {
		enc := encode(t, form, data)
		for n := 1; n < len(enc); n++ {
			got, err := decode([]string{name(form)}, enc[:n], off)
			var e *coding.Error
			require.ErrorAs(t, err, &e, "%s cut at %d of %d", form, n, len(enc))
			assert.Equal(t, name(form), e.Coding)
			require.True(t, bytes.HasPrefix(data, got), "%s cut at %d", form, n)
		}
	}
}

// TestFlip: with a checksum every flipped bit is an error; without one the result is
// different, but there is no panic.
func TestFlip(t *testing.T) {
	data := text(2000)
	for form := range encoders {
		enc := encode(t, form, data)
		sum := form != "br" && form != "deflate/raw"
		for i := 0; i < len(enc)*8; i += 3 {
			bad := bytes.Clone(enc)
			bad[i/8] ^= 1 << (i % 8)
			got, err := decode([]string{name(form)}, bad, off)
			if err == nil && sum {
				require.True(t, bytes.Equal(data, got), "%s bit %d", form, i)
			}
		}
	}
}

func TestTrailing(t *testing.T) {
	data := text(5000)
	for form := range encoders {
		for _, extra := range []string{"x", "garbage after the end", "\x00", strings.Repeat("\x00", 100_000)} {
			if extra[0] == 0 && (form == "gzip" || form == "deflate/gzip") {
				continue // see TestAfterGzip
			}
			for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
				enc := append(encode(t, form, data), extra...)
				r := coding.NewReader(io.NopCloser(wrap(bytes.NewReader(enc))), []string{name(form)}, off, coding.Hooks{})
				got, err := io.ReadAll(r)
				var e *coding.Error
				require.ErrorAs(t, err, &e, "%s %.5q", form, extra)
				require.True(t, bytes.Equal(data, got), "%s %.5q: the data before it is whole", form, extra)
				r.Close()
			}
		}
	}
}

func TestGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for form := range encoders {
		for n := range 300 {
			data := make([]byte, n+2)
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			decode([]string{name(form)}, data, off) // may even be valid raw deflate; must not panic
		}
		if form != "deflate/raw" {
			_, err := decode([]string{name(form)}, []byte("<html>this is no such thing</html>"), off)
			var e *coding.Error
			require.ErrorAs(t, err, &e, form)
		}
	}
}

// TestDictionary: an unknown dictionary.
func TestDictionary(t *testing.T) {
	dict := text(1000)
	var b bytes.Buffer
	z, err := zlib.NewWriterLevelDict(&b, 6, dict)
	require.NoError(t, err)
	z.Write(dict)
	z.Close()
	_, err = decode([]string{"deflate"}, b.Bytes(), off)
	require.ErrorIs(t, err, zlib.ErrDictionary)
	_, err = decode([]string{"gzip"}, b.Bytes(), off)
	require.ErrorIs(t, err, zlib.ErrDictionary)

	b.Reset()
	e, err := zstd.NewWriter(&b, zstd.WithEncoderDictRaw(77, dict))
	require.NoError(t, err)
	e.Write(dict)
	e.Close()
	_, err = decode([]string{"zstd"}, b.Bytes(), off)
	require.ErrorIs(t, err, zstd.ErrUnknownDictionary)
}

// TestWindow: RFC 9659.
func TestWindow(t *testing.T) {
	for size, ok := range map[int]bool{8 << 20: true, 16 << 20: false} {
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, zstd.WithWindowSize(size), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
		require.NoError(t, err)
		block := text(1 << 20)
		for range 20 {
			e.Write(block)
			e.Flush()
		}
		e.Close()
		_, err = decode([]string{"zstd"}, b.Bytes(), off)
		if ok {
			require.NoError(t, err)
		} else {
			var ce *coding.Error
			require.ErrorAs(t, err, &ce)
		}
	}
}

// zeros returns n bytes that compress to nearly nothing.
func zeros(t testing.TB, forms []string, n int) []byte {
	var b bytes.Buffer
	ws := []io.WriteCloser{}
	var w io.Writer = &b
	for i := len(forms) - 1; i >= 0; i-- {
		c := encoders[forms[i]](w)
		ws = append(ws, c)
		w = c
	}
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		_, err := w.Write(block)
		require.NoError(t, err)
	}
	for i := len(ws) - 1; i >= 0; i-- {
		require.NoError(t, ws[i].Close())
	}
	return b.Bytes()
}

// TestBomb: every coding and stack is stopped soon after the threshold, with little memory,
// and passes without one.
func TestBomb(t *testing.T) {
	const size = 24 << 20
	stacks := [][]string{{"gzip", "gzip"}, {"br", "gzip"}, {"zstd", "deflate"}, {"zstd", "br"}, {"gzip", "gzip", "gzip"}}
	for form := range encoders {
		stacks = append(stacks, []string{form})
	}
	for _, forms := range stacks {
		bomb := zeros(t, forms, size)
		var names []string
		for _, f := range forms {
			names = append(names, name(f))
		}
		r := coding.NewReader(io.NopCloser(bytes.NewReader(bomb)), names, coding.Limits{Threshold: 10 << 20}, coding.Hooks{})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n, err := io.Copy(io.Discard, struct{ io.Reader }{r})
		runtime.ReadMemStats(&after)
		var e *coding.Error
		require.ErrorAs(t, err, &e, "%v", forms)
		require.ErrorIs(t, err, coding.ErrBomb, "%v", forms)
		assert.LessOrEqual(t, n, int64(12<<20), "%v", forms)
		assert.Less(t, int64(after.TotalAlloc-before.TotalAlloc), int64(22<<20), "%v", forms)
		r.Close()

		_, err = decode(names, bomb, coding.Limits{Threshold: -1, Max: size / 2})
		require.ErrorIs(t, err, coding.ErrTooLarge, "%v", forms)
	}
}

// TestRatioOfStack: no coding alone exceeds its ratio, but the stack does.
func TestRatioOfStack(t *testing.T) {
	member := encode(t, "gzip", append(bytes.Repeat([]byte{0}, 30_000), text(3_000)...))
	inner := bytes.Repeat(member, 20)
	outer := encode(t, "gzip", inner)
	limits := coding.Limits{Threshold: 1000}
	for _, one := range [][]byte{inner, outer} {
		_, err := decode([]string{"gzip"}, one, limits)
		require.NoError(t, err)
	}
	_, err := decode([]string{"gzip", "gzip"}, outer, limits)
	require.ErrorIs(t, err, coding.ErrBomb)
}

func TestThreshold(t *testing.T) {
	enc := encode(t, "gzip", make([]byte, 200_000))
	_, err := decode([]string{"gzip"}, enc, coding.Limits{Threshold: 300_000})
	require.NoError(t, err, "below the threshold any ratio is fine")
	got, err := decode([]string{"gzip"}, enc, coding.Limits{Threshold: 1000})
	require.ErrorIs(t, err, coding.ErrBomb)
	assert.LessOrEqual(t, len(got), 40*len(enc))
	_, err = decode([]string{"gzip"}, encode(t, "gzip", text(200_000)), coding.Limits{Threshold: 1000})
	require.NoError(t, err, "an honest ratio")
}

// TestSourceError: an error of the source is returned as it is.
func TestSourceError(t *testing.T) {
	broken := errors.New("connection gone")
	for form := range encoders {
		enc := encode(t, form, text(5000))
		for _, n := range []int{0, 1, 5, len(enc) / 2, len(enc)} {
			src := io.MultiReader(bytes.NewReader(enc[:n]), iotest.ErrReader(broken))
			r := coding.NewReader(io.NopCloser(src), []string{name(form)}, off, coding.Hooks{})
			_, err := io.ReadAll(r)
			require.Same(t, broken, err, "%s %d", form, n)
			_, err = r.Read(make([]byte, 10))
			require.Same(t, broken, err, "%s %d: it stays", form, n)
			r.Close()
		}
	}
}

// TestClose: Close during a waiting Read, and twice.
func TestClose(t *testing.T) {
	for form := range encoders {
		enc := encode(t, form, text(5000))
		server, client := net.Pipe()
		r := coding.NewReader(client, []string{name(form)}, off, coding.Hooks{})
		done := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, r)
			done <- err
		}()
		server.Write(enc[:len(enc)/2])
		r.Close()
		require.Error(t, <-done)
		r.Close()
		_, err := r.Read(make([]byte, 1))
		require.Error(t, err)
		server.Close()
	}
}

// TestPools: many concurrent readers, of valid and invalid data, do not affect each other.
func TestPools(t *testing.T) {
	var wg sync.WaitGroup
	for form := range encoders {
		for i := range 4 {
			wg.Go(func() {
				for j := range 30 {
					data := text(1000*(i+1) + j)
					enc := encode(t, form, data)
					if j%3 == 2 {
						decode([]string{name(form)}, enc[:len(enc)/2], off)
						continue
					}
					got, err := decode([]string{name(form)}, enc, off)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("%s: %v", form, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestErrorText(t *testing.T) {
	_, err := decode([]string{"gzip"}, encode(t, "gzip", text(100))[:20], off)
	require.EqualError(t, err, "gzip: the data is truncated")
}

func FuzzDecode(f *testing.F) {
	for form := range encoders {
		f.Add(encode(f, form, text(300)), name(form))
	}
	f.Add(encode(f, "gzip", encode(f, "br", text(300))), "br,gzip")
	f.Fuzz(func(t *testing.T, data []byte, codings string) {
		list, err := coding.Parse([]string{codings})
		if err != nil || len(list) == 0 {
			return
		}
		r := coding.NewReader(io.NopCloser(bytes.NewReader(data)), list, coding.Limits{Threshold: 1 << 16, Max: 4 << 20}, coding.Hooks{})
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		var e *coding.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T %v", err, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := text(8 << 20)
	for _, form := range []string{"zstd", "br", "gzip", "deflate"} {
		b.Run(form, func(b *testing.B) {
			enc := encode(b, form, data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r := coding.NewReader(io.NopCloser(bytes.NewReader(enc)), []string{form}, off, coding.Hooks{})
				if n, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}

func Example() {
	list, _ := coding.Parse([]string{"gzip"})
	fmt.Println(list, coding.Accept)
	// Output: [gzip] zstd, br, gzip, deflate
}
