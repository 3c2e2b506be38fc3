package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// sinkConn is a connection that records what is written. Each Write takes a token of gate,
// if there is one.
type sinkConn struct {
	net.Conn
	began  chan struct{} // gets a value from each Write that begins, if there is room
	gate   chan struct{} // nil for none
	failed error         // of the next Write

	mu     sync.Mutex
	writes int
	all    bytes.Buffer

	closing sync.Once
	closed  chan struct{}
}

func newSinkConn(gate chan struct{}) *sinkConn {
	return &sinkConn{gate: gate, began: make(chan struct{}, 1000), closed: make(chan struct{})}
}

func (c *sinkConn) Write(p []byte) (int, error) {
	select {
	case c.began <- struct{}{}:
	default:
	}
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	c.writes++
	return c.all.Write(p)
}

func (c *sinkConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *sinkConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return nil
}

func (c *sinkConn) content() (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.String(), c.writes
}

// openGuard is a guard with some open streams, on c.
func openGuard(c net.Conn, streams uint32) *h2Guard {
	g := newH2Guard(c, 1<<20)
	g.skip = 0
	for id := range streams {
		g.store(2*id+1, guardedStream{})
		g.last = 2*id + 1
	}
	return g
}

// windowFrame is a WINDOW_UPDATE.
func windowFrame(stream, n uint32) []byte {
	return binary.BigEndian.AppendUint32(frameHead{length: 4, kind: frameWindow, stream: stream}.append(nil), n)
}

// TestH2QueueJoins: while one write is in the connection, the small ones of many streams
// return at once, and then go out together.
func TestH2QueueJoins(t *testing.T) {
	c := newSinkConn(make(chan struct{}))
	g := openGuard(c, 2)
	defer g.Close()
	var want bytes.Buffer
	write := func(i int) {
		p := windowFrame(1, uint32(i))
		want.Write(p)
		n, err := g.Write(p)
		require.NoError(t, err)
		require.Equal(t, len(p), n)
	}
	write(1)
	<-c.began
	for i := range 100 {
		write(2 + i)
	}
	c.gate <- struct{}{}
	c.gate <- struct{}{}
	require.Eventually(t, func() bool { all, _ := c.content(); return len(all) == want.Len() }, soonEnough, tick)
	all, writes := c.content()
	assert.Equal(t, want.String(), all)
	assert.Equal(t, 2, writes)
}

// TestH2QueueOneStream: with one stream nothing is queued, and there is no goroutine.
func TestH2QueueOneStream(t *testing.T) {
	c := newSinkConn(nil)
	g := openGuard(c, 1)
	defer g.Close()
	for range 3 {
		_, err := g.Write(windowFrame(1, 1))
		require.NoError(t, err)
	}
	_, writes := c.content()
	assert.Equal(t, 3, writes)
	assert.False(t, g.queue.running)
}

// TestH2QueueOrder: bytes keep their order, whatever is queued and whatever is not.
func TestH2QueueOrder(t *testing.T) {
	c := newSinkConn(nil)
	g := openGuard(c, 2)
	defer g.Close()
	var want bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		size := r.IntN(64)
		if i%50 == 0 {
			size = r.IntN(3 * h2QueuedWrite)
		}
		p := frameHead{length: size, kind: frameData, stream: 1}.append(nil)
		for range size {
			p = append(p, byte(r.Uint32()))
		}
		if i%300 == 299 { // one stream only, and then two again
			g.mu.Lock()
			delete(g.streams, 3)
			g.mu.Unlock()
		} else if i%300 == 20 {
			g.mu.Lock()
			g.streams[3] = guardedStream{}
			g.mu.Unlock()
		}
		want.Write(p)
		_, err := g.Write(p)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { all, _ := c.content(); return len(all) == want.Len() }, soonEnough, tick)
	all, _ := c.content()
	assert.True(t, want.String() == all)
}

// TestH2QueueBounded: a peer that takes nothing makes writes wait when much is queued, and
// closing the connection ends them.
func TestH2QueueBounded(t *testing.T) {
	c := newSinkConn(make(chan struct{}))
	g := openGuard(c, 2)
	p := frameHead{length: 1000 - frameHeadLen, kind: frameData, stream: 1}.append(nil)
	p = append(p, make([]byte, 1000-frameHeadLen)...)
	ended := make(chan error)
	go func() {
		for {
			if _, err := g.Write(p); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-c.began
	waits := func() bool { // until more is queued than may be
		g.queue.mu.Lock()
		defer g.queue.mu.Unlock()
		return len(g.queue.bytes) > h2QueueLimit
	}
	require.Eventually(t, waits, soonEnough, tick)
	g.Close()
	require.ErrorIs(t, <-ended, net.ErrClosed)
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	assert.LessOrEqual(t, len(g.queue.bytes), h2QueueLimit+len(p))
}

// TestH2QueueFails: the error of a queued write ends the connection, and is that of reading
// and of later writes.
func TestH2QueueFails(t *testing.T) {
	c := newSinkConn(nil)
	c.failed = errors.New("cable cut")
	g := openGuard(c, 2)
	read := make(chan error)
	go func() {
		_, err := g.Read(make([]byte, 100))
		read <- err
	}()
	_, err := g.Write(windowFrame(1, 1))
	require.NoError(t, err)
	require.Equal(t, c.failed, <-read)
	<-g.ended
	_, err = g.Write(windowFrame(1, 1))
	require.ErrorIs(t, err, c.failed)
	_, err = g.Write(make([]byte, 2*h2QueuedWrite))
	require.ErrorIs(t, err, c.failed)
}

// TestH2WindowWithheld: the peer is told of the growth of the connection's window in large
// steps, which add up; other frames stay as they are.
func TestH2WindowWithheld(t *testing.T) {
	c := newSinkConn(nil)
	g := openGuard(c, 1)
	defer g.Close()
	other := windowFrame(1, 5)
	for range 3 * h2Owed / 5000 {
		p := append(windowFrame(0, 5000), other...)
		n, err := g.Write(p)
		require.NoError(t, err)
		require.Equal(t, len(p), n)
		n, err = g.Write(windowFrame(0, 1))
		require.NoError(t, err)
		require.Equal(t, frameHeadLen+4, n)
	}
	all, _ := c.content()
	told, others := uint32(0), 0
	fr := http2.NewFramer(io.Discard, bytes.NewReader([]byte(all)))
	for {
		f, err := fr.ReadFrame()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if w := f.(*http2.WindowUpdateFrame); w.StreamID == 0 {
			assert.GreaterOrEqual(t, w.Increment, uint32(h2Owed))
			told += w.Increment
		} else {
			others++
		}
	}
	assert.Equal(t, 3*h2Owed/5000, others)
	assert.EqualValues(t, 3*h2Owed/5000*5001, int64(told)+g.owed)
	assert.Less(t, g.owed, int64(h2Owed))
	assert.GreaterOrEqual(t, told, uint32(2*h2Owed))
}

// TestH2SmallBodiesUntold: small responses make the client write nothing but its requests.
func TestH2SmallBodiesUntold(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			var windows int
			url := newH2Peer(t, encrypted, nil, func(p *h2Peer, r peerRequest) {
				p.ok(r.stream, string(make([]byte, 2000)))
			}, func(f http2.Frame) {
				if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 && w.Increment < 1<<29 {
					windows++
				}
			})
			b := newRig(t, Config{})
			for range 100 {
				_, body, err := b.exchangeOnce(call{url: url, proto: h2Protocol(encrypted)})
				require.NoError(t, err)
				assert.Len(t, body, 2000)
			}
			b.tr.Close()
			assert.Zero(t, windows)
		})
	}
}
