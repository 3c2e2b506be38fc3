package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// pattern fills p with the bytes of a stream from an offset on.
func pattern(p []byte, offset int) {
	for i := range p {
		j := offset + i
		p[i] = byte(j ^ j>>8*31 ^ j>>16*17)
	}
}

func patterned(n int) []byte {
	p := make([]byte, n)
	pattern(p, 0)
	return p
}

// tlsPair is a connection whose client is a tlsStream.
type tlsPair struct {
	client *tlsStream
	server *tls.Conn
}

// tlsPairs returns a function that makes connections. client and server, if not nil, wrap what is
// below TLS.
func tlsPairs(t testing.TB) func(t testing.TB, client, server func(net.Conn) net.Conn) tlsPair {
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	cfg.ServerName = "example.com"
	cfg.SessionTicketsDisabled = true
	certificate := origin.TLS.Clone()
	certificate.SessionTicketsDisabled = true
	return func(t testing.TB, client, server func(net.Conn) net.Conn) tlsPair {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		local, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		remote, err := ln.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { local.Close(); remote.Close() })
		records := newRecordConn(local, newSocket(local))
		if client != nil {
			records = newRecordConn(client(local), nil)
		}
		if server != nil {
			remote = server(remote)
		}
		p := tlsPair{&tlsStream{Conn: tls.Client(records, cfg), records: records}, tls.Server(remote, certificate)}
		shaken := make(chan error, 1)
		go func() { shaken <- p.server.Handshake() }()
		require.NoError(t, p.client.Handshake())
		require.NoError(t, <-shaken)
		return p
	}
}

// splitter writes in pieces of random sizes.
type splitter struct {
	net.Conn
	r *rand.Rand
}

func (s splitter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := 1 + s.r.IntN(200)
		if s.r.IntN(3) > 0 {
			piece = 1 + s.r.IntN(90_000)
		}
		var m int
		m, err = s.Conn.Write(p[n:min(len(p), n+piece)])
		n += m
		runtime.Gosched()
	}
	return n, err
}

var readSizes = []int{1, 5, 700, 4 << 10, 16 << 10, 33_000, 100_000, largeRead, largeRead + 1, 300_000, 512 << 10}

// FuzzRecordReads: whatever the sizes of records, of what arrives at once, and of Reads, the
// stream is the same.
func FuzzRecordReads(f *testing.F) {
	for seed := range uint64(24) {
		f.Add(seed)
	}
	newPair := tlsPairs(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPair(t, nil, func(c net.Conn) net.Conn { return splitter{c, rand.New(rand.NewPCG(seed, 2))} })
		want := patterned(r.IntN(3 << 20))
		large, single := r.IntN(2) == 0, r.IntN(len(readSizes)*2)
		sent := make(chan error, 1)
		go func() {
			r := rand.New(rand.NewPCG(seed, 3))
			for rest := want; len(rest) > 0; {
				n := 1 + r.IntN(300)
				if large || r.IntN(2) == 0 {
					n = 1 + r.IntN(200_000)
				}
				n = min(n, len(rest))
				if _, err := p.server.Write(rest[:n]); err != nil {
					sent <- err
					return
				}
				rest = rest[n:]
			}
			sent <- p.server.Close()
		}()
		var got []byte
		for buf := make([]byte, 512<<10); ; {
			size := readSizes[r.IntN(len(readSizes))]
			if single < len(readSizes) {
				size = max(readSizes[single], 700)
			}
			n, err := p.client.Read(buf[:size])
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			require.NotZero(t, n)
		}
		require.NoError(t, <-sent)
		require.True(t, bytes.Equal(want, got))
		require.False(t, p.client.records.ahead.pending())
	})
}

// TestRecordsTruncated: a stream that ends without a close_notify within a record is cut, after
// all records that were complete.
func TestRecordsTruncated(t *testing.T) {
	newPair := tlsPairs(t)
	for _, size := range []int{4 << 10, 64 << 10, 512 << 10} {
		var cut *cutter
		p := newPair(t, nil, func(c net.Conn) net.Conn { cut = &cutter{Conn: c}; return cut })
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			p.server.Write(patterned(300_000)) // beyond the small records
			cut.armed = true
			p.server.Write(patterned(10_000))
			cut.Conn.Close()
		}()
		var got []byte
		var err error
		for buf := make([]byte, size); err == nil; {
			var n int
			n, err = p.client.Read(buf)
			got = append(got, buf[:n]...)
		}
		<-sent
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Len(t, got, 300_000, size)
	}
}

// cutter drops the end of writes.
type cutter struct {
	net.Conn
	armed bool
}

func (c *cutter) Write(p []byte) (int, error) {
	n := len(p)
	if c.armed {
		p = p[:len(p)/2]
	}
	_, err := c.Conn.Write(p)
	return n, err
}

// counter counts writes.
type counter struct {
	net.Conn
	mu    sync.Mutex
	sizes []int
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.sizes = append(c.sizes, len(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *counter) take() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sizes := c.sizes
	c.sizes = nil
	return sizes
}

// TestRecordsTogether: a large Write makes few writes of the connection, of bounded size, and
// nothing is left when it returns. A small one makes one.
func TestRecordsTogether(t *testing.T) {
	var count *counter
	p := tlsPairs(t)(t, func(c net.Conn) net.Conn { count = &counter{Conn: c}; return count }, nil)
	count.take()
	for _, r := range []struct{ size, most int }{{1, 1}, {1000, 1}, {128 << 10, 3}, {16 << 10, 1}, {16<<10 + 1, 1}, {64 << 10, 1}, {1 << 20, 16}, {1, 1}} {
		got := make(chan []byte)
		go func() {
			buf := make([]byte, r.size)
			io.ReadFull(p.server, buf)
			got <- buf
		}()
		n, err := p.client.Write(patterned(r.size))
		require.NoError(t, err)
		require.Equal(t, r.size, n)
		require.True(t, bytes.Equal(patterned(r.size), <-got))
		sizes := count.take()
		assert.LessOrEqual(t, len(sizes), r.most, r.size)
		for _, size := range sizes {
			assert.LessOrEqual(t, size, heldBytes)
		}
		assert.Nil(t, p.client.records.held)
	}
}

// TestRecordsEchoed: nothing of a Write is held back, so a peer can answer it before the next.
func TestRecordsEchoed(t *testing.T) {
	p := tlsPairs(t)(t, nil, nil)
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		io.Copy(p.server, p.server)
		p.server.Close()
	}()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 300 {
		size := 1 + r.IntN(40)
		if i%3 == 0 {
			size = 1 + r.IntN(200_000)
		}
		sent := patterned(size)
		done := make(chan error, 1)
		go func() {
			_, err := p.client.Write(sent)
			done <- err
		}()
		got := make([]byte, size)
		_, err := io.ReadFull(p.client, got)
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.True(t, bytes.Equal(sent, got))
	}
	require.NoError(t, p.client.CloseWrite())
	_, err := p.client.Read(make([]byte, largeRead))
	assert.Equal(t, io.EOF, err)
	<-echoed
}

// TestRecordsOfSeveralWriters: Writes at the same time do not mix their records.
func TestRecordsOfSeveralWriters(t *testing.T) {
	p := tlsPairs(t)(t, nil, nil)
	const writers, writes = 6, 40
	var want [writers]int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 5))
			for range writes {
				size := 1 + r.IntN(100)
				if r.IntN(2) == 0 {
					size = 1 + r.IntN(100_000)
				}
				want[w] += int64(size)
				_, err := p.client.Write(bytes.Repeat([]byte{byte(w)}, size))
				assert.NoError(t, err)
			}
		})
	}
	go func() {
		wg.Wait()
		p.client.CloseWrite()
	}()
	got, err := io.ReadAll(p.server)
	require.NoError(t, err)
	for w := range writers {
		assert.Equal(t, int(want[w]), bytes.Count(got, []byte{byte(w)}))
	}
}

// failing accepts a number of bytes, and then fails.
type failing struct {
	net.Conn
	room int
}

var errBroken = errors.New("broken")

func (c *failing) Write(p []byte) (int, error) {
	fits := min(len(p), c.room)
	n, err := c.Conn.Write(p[:fits])
	c.room -= n
	if err == nil && n < len(p) {
		err = errBroken
	}
	return n, err
}

// TestRecordsUnsent: of a Write that fails, not more is reported as sent than has been, and at
// most a record less. After that every Write fails.
func TestRecordsUnsent(t *testing.T) {
	newPair := tlsPairs(t)
	for _, room := range []int{0, 1, 1000, 2000, 16_000, 40_000, 70_000, 131_000, 200_000, 390_000} {
		for _, size := range []int{100, 20_000, 128 << 10, 400_000} {
			var fail *failing
			p := newPair(t, func(c net.Conn) net.Conn { fail = &failing{c, 1 << 30}; return fail }, nil)
			fail.room = room
			received := make(chan int)
			go func() {
				got, _ := io.Copy(io.Discard, p.server)
				received <- int(got)
			}()
			n, err := p.client.Write(patterned(size))
			_, again := p.client.Write([]byte("x"))
			p.client.records.Close()
			got := <-received
			if room > size+size/8+100 {
				require.NoError(t, err)
				require.Equal(t, size, n)
				continue
			}
			if room < size {
				require.ErrorIs(t, err, errBroken)
				require.ErrorIs(t, again, errBroken)
			}
			assert.LessOrEqual(t, n, room)
			assert.InDelta(t, got, n, maxRecord+1000, "room %d of %d", room, size) // a part of a record may have been sent
		}
	}
}

// stuck blocks in Write until it is closed.
type stuck struct {
	net.Conn
	armed   atomic.Bool
	entered chan struct{}
	closed  chan struct{}
	limited atomic.Bool
}

func (c *stuck) Write(p []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Write(p)
	}
	close(c.entered)
	<-c.closed
	return 0, net.ErrClosed
}

func (c *stuck) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func (c *stuck) SetWriteDeadline(d time.Time) error {
	c.limited.Store(true)
	return c.Conn.SetWriteDeadline(d)
}

// TestCloseDuringLargeWrite: Close ends a Write that waits for the peer, and does not wait for
// the peer itself, to send a close_notify.
func TestCloseDuringLargeWrite(t *testing.T) {
	newPair := tlsPairs(t)
	for _, size := range []int{1, 20_000, 1 << 20} { // blocks in crypto/tls, at the flush, and before it
		var s *stuck
		p := newPair(t, func(c net.Conn) net.Conn {
			s = &stuck{Conn: c, entered: make(chan struct{}), closed: make(chan struct{})}
			return s
		}, nil)
		s.armed.Store(true)
		failed := make(chan error)
		go func() {
			_, err := p.client.Write(patterned(size))
			failed <- err
		}()
		<-s.entered
		require.NoError(t, p.client.Close())
		assert.ErrorIs(t, <-failed, net.ErrClosed)
		assert.False(t, s.limited.Load(), "a close_notify was sent")
	}
}

// TestRecordsBelow: what is below TLS is what was passed to it, and says if it is no socket.
func TestRecordsBelow(t *testing.T) {
	c := newRecordConn(struct{ net.Conn }{}, nil)
	assert.Equal(t, struct{ net.Conn }{}, c.NetConn())
	_, err := c.SyscallConn()
	assert.ErrorIs(t, err, errors.ErrUnsupported)
}
