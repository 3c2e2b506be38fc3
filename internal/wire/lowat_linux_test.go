package wire

import (
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestLowat: the mark is set while a long body arrives, and removed before its end. Bytes below
// it arrive although the server waits until they have.
func TestLowat(t *testing.T) {
	const size, piece = 16 << 20, 70_000
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		t.Run(string(kind), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				next := make(chan struct{}, 1)
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", strconv.Itoa(size))
					w.Write(make([]byte, size/2-10*piece))
					for range 10 { // slowly
						w.Write(make([]byte, piece))
						w.(http.Flusher).Flush()
						select {
						case <-next:
						case <-r.Context().Done():
							return
						}
					}
					w.Write(make([]byte, size/2))
				}))
				b := with(Config{})
				b.tls = &Profile{Config: cfg}
				resp, x, err := b.send(t.Context(), call{url: s.URL})
				require.NoError(t, err)
				mark := func() (n int) {
					raw, err := x.carrier.nc.(syscall.Conn).SyscallConn()
					require.NoError(t, err)
					raw.Control(func(fd uintptr) { n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT) })
					require.NoError(t, err)
					return n
				}
				assert.Equal(t, lowatMark, mark())
				read := func(total, upTo int) int {
					for buf := make([]byte, 512<<10); total < upTo; {
						n, err := resp.Body.Read(buf)
						total += n
						if err != io.EOF {
							require.NoError(t, err)
						}
					}
					return total
				}
				total := read(0, size/2-9*piece)
				for i := range 10 {
					next <- struct{}{}
					if i < 9 {
						total = read(total, size/2-(8-i)*piece)
					}
				}
				require.Eventually(t, func() bool { return mark() == 1 || total > size/2 }, 10*time.Second, time.Millisecond, "the server is slow")
				total = read(total, size-lowatUntil+1)
				assert.Equal(t, 1, mark(), "near the end")
				assert.Equal(t, size, read(total, size))
				resp.Body.Close()
				assert.Equal(t, 1, mark())
			})
		})
	}
}

// TestLowatLeft: the mark is removed when a body is left early, and when its connection ends.
func TestLowatLeft(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(64<<20))
			w.Write(make([]byte, 3<<20))
			panic(http.ErrAbortHandler)
		}))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		resp, x, err := b.send(t.Context(), call{url: s.URL})
		require.NoError(t, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 512<<10))
		fault, phase := faultOf(err)
		assert.Equal(t, Closed, fault)
		assert.Equal(t, Body, phase)
		assert.Greater(t, n, int64(2<<20))
		assert.True(t, x.body.lowat.ended)

		resp, x, err = b.send(t.Context(), call{url: s.URL})
		require.NoError(t, err)
		require.NotNil(t, x.body.lowat)
		resp.Body.Close()
		assert.True(t, x.body.lowat.ended)
	})
}
