package coding_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/coding"
)

// uneven returns data that compresses a little.
func uneven(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(1 + i%9))
	}
	return b
}

func decoded(t *testing.T, data []byte, codings ...string) string {
	t.Helper()
	r := coding.NewReader(io.NopCloser(bytes.NewReader(data)), codings, coding.Limits{Threshold: -1}, coding.Hooks{})
	defer r.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out)
}

// TestEncoders: what is encoded can be decoded, and the output does not depend on how the
// data is read, so that a body can be sent again and its digest stays right.
func TestEncoders(t *testing.T) {
	for _, name := range []string{"gzip", "zstd"} {
		require.True(t, coding.CanEncode(name))
		for _, n := range []int{0, 1, 4096, 32 << 10, 128 << 10, 128<<10 + 1, 1_300_000} {
			data := uneven(n)
			want, err := coding.Encode(data, name)
			require.NoError(t, err)
			require.NotEmpty(t, want, "an empty body is not an encoding of one")
			assert.Equal(t, string(data), decoded(t, want, name), "%s of %d", name, n)
			if n > 4096 {
				assert.Less(t, len(want), n)
			}
			for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader, pieceByPiece} {
				e := coding.NewEncoder(io.NopCloser(wrap(bytes.NewReader(data))), name)
				got, err := io.ReadAll(iotest.HalfReader(e))
				require.NoError(t, err)
				assert.True(t, bytes.Equal(want, got), "%s of %d", name, n)
				_, err = e.Read(make([]byte, 1))
				assert.Equal(t, io.EOF, err)
				require.NoError(t, e.Close())
			}
		}
	}
	for _, name := range []string{"", "br", "deflate", "GZIP", "identity"} {
		assert.False(t, coding.CanEncode(name), name)
	}
}

// pieceByPiece returns few bytes of r at a time.
func pieceByPiece(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) { return r.Read(p[:min(len(p), 1007)]) })
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestEncoderErrors: an error of the source is returned as it is, and again.
func TestEncoderErrors(t *testing.T) {
	bad := errors.New("gone")
	for _, name := range []string{"gzip", "zstd"} {
		e := coding.NewEncoder(io.NopCloser(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(bad))), name)
		for range 2 {
			_, err := io.Copy(io.Discard, e)
			assert.Equal(t, bad, err)
		}
		require.NoError(t, e.Close())
		_, err := e.Read(make([]byte, 1))
		assert.Error(t, err)

		e = coding.NewEncoder(io.NopCloser(noReader{}), name)
		_, err = e.Read(make([]byte, 1))
		assert.Equal(t, io.ErrNoProgress, err)
		require.NoError(t, e.Close())
	}
}

type noReader struct{}

func (noReader) Read([]byte) (int, error) { return 0, nil }

// slowSource blocks in Read until it is closed.
type slowSource struct {
	reading, closed chan struct{}
	closes          atomic.Int32
}

func (s *slowSource) Read([]byte) (int, error) {
	close(s.reading)
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s *slowSource) Close() error {
	s.closes.Add(1)
	close(s.closed)
	return nil
}

// TestEncoderClose: Close ends a Read that waits for the source. The encoder goes back to its
// pool once, in a state in which it can be used again.
func TestEncoderClose(t *testing.T) {
	for _, name := range []string{"gzip", "zstd"} {
		for range 5 {
			s := &slowSource{reading: make(chan struct{}), closed: make(chan struct{})}
			e := coding.NewEncoder(s, name)
			ended := make(chan error)
			go func() {
				_, err := e.Read(make([]byte, 10))
				ended <- err
			}()
			<-s.reading
			require.NoError(t, e.Close())
			assert.Equal(t, io.ErrClosedPipe, <-ended)
			assert.EqualValues(t, 1, s.closes.Load())

			unread := coding.NewEncoder(io.NopCloser(bytes.NewReader(uneven(1<<20))), name)
			_, err := unread.Read(make([]byte, 1)) // leaves encoded bytes behind
			require.NoError(t, err)
			require.NoError(t, unread.Close())
			got, err := coding.Encode([]byte("text"), name)
			require.NoError(t, err)
			assert.Equal(t, "text", decoded(t, got, name))
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	data := uneven(4 << 20)
	for _, name := range []string{"gzip", "zstd"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				e := coding.NewEncoder(io.NopCloser(bytes.NewReader(data)), name)
				if _, err := io.Copy(io.Discard, e); err != nil {
					b.Fatal(err)
				}
				e.Close()
			}
		})
	}
}
