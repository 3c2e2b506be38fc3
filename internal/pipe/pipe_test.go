package pipe_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/pipe"
)

// owner is an Owner that records its calls.
type owner struct {
	mu      sync.Mutex
	arrived []int64
	refused error       // result of MayWait
	then    func(int64) // called by Arrived
}

func (o *owner) Arrived(received int64) {
	o.mu.Lock()
	o.arrived = append(o.arrived, received)
	o.mu.Unlock()
	if o.then != nil {
		o.then(received)
	}
}

func (o *owner) MayWait() error { return o.refused }

// clock counts its calls.
type clock struct {
	mu                       sync.Mutex
	touches, pauses, running int
}

func (c *clock) Touch()  { c.mu.Lock(); c.touches++; c.mu.Unlock() }
func (c *clock) Pause()  { c.mu.Lock(); c.pauses++; c.running--; c.mu.Unlock() }
func (c *clock) Resume() { c.mu.Lock(); c.running++; c.mu.Unlock() }

// counts returns the number of Touch and Pause; every pause must have ended.
func (c *clock) counts(t testing.TB) (touches, pauses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Zero(t, c.running, "pauses that are not over")
	return c.touches, c.pauses
}

func newPipe(limit int64) (*pipe.Pipe, *owner) {
	p, o := new(pipe.Pipe), new(owner)
	p.Init(o, limit)
	return p, o
}

// put writes bytes with Room and Fill.
func put(t testing.TB, p *pipe.Pipe, s string) {
	for len(s) > 0 {
		space, err := p.Room(-1, new(clock))
		require.NoError(t, err)
		n := copy(space, s)
		p.Fill(n)
		s = s[n:]
	}
}

var errBroken, errClosed, errRefused = errors.New("broken"), errors.New("closed"), errors.New("refused")

// readings are the methods to read a pipe to its end.
var readings = map[string]func(*pipe.Pipe) (string, error){
	"Read": func(p *pipe.Pipe) (string, error) {
		b, err := io.ReadAll(struct{ io.Reader }{p})
		return string(b), err
	},
	"ReadByte": func(p *pipe.Pipe) (string, error) {
		var all []byte
		for b := make([]byte, 1); ; {
			n, err := p.Read(b)
			all = append(all, b[:n]...)
			if err == io.EOF {
				return string(all), nil
			}
			if err != nil {
				return string(all), err
			}
		}
	},
	"WriteTo": func(p *pipe.Pipe) (string, error) {
		var b strings.Builder
		n, err := p.WriteTo(&b)
		if int(n) != b.Len() {
			return "", errors.New("wrong count")
		}
		return b.String(), err
	},
	"All": func(p *pipe.Pipe) (string, error) {
		b, err := p.All()
		return string(b), err
	},
}

// TestStates: the results for reader and producer in each state of a pipe that has received
// "body". The first error of an end is kept.
func TestStates(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*pipe.Pipe)
		body string
		err  error
	}{
		{"End", func(p *pipe.Pipe) { p.End(nil) }, "body", nil},
		{"End with an error", func(p *pipe.Pipe) { p.End(errBroken) }, "body", errBroken},
		{"Stop and End", func(p *pipe.Pipe) { p.Stop(); p.End(nil) }, "body", nil},
		{"twice", func(p *pipe.Pipe) { p.End(errBroken); p.End(nil) }, "body", errBroken},
		{"End and another", func(p *pipe.Pipe) { p.End(nil); p.End(errBroken) }, "body", nil},
		{"Close", func(p *pipe.Pipe) { p.Close(errClosed) }, "", errClosed},
		{"Close of a whole body", func(p *pipe.Pipe) { p.End(nil); p.Close(errClosed) }, "", errClosed},
		{"Close of a broken body", func(p *pipe.Pipe) { p.End(errBroken); p.Close(errClosed) }, "", errBroken},
		{"End of a closed one", func(p *pipe.Pipe) { p.Close(errClosed); p.End(errBroken) }, "", errClosed},
	} {
		for way, read := range readings {
			for _, limit := range []int64{0, 100} {
				t.Run(row.name+", "+way, func(t *testing.T) {
					p, o := newPipe(limit)
					put(t, p, "body")
					late, err := p.Room(-1, new(clock)) // running at the end
					require.NoError(t, err)
					row.end(p)
					assert.EqualValues(t, 4, p.Stop())
					assert.False(t, p.Fill(copy(late, "late")))

					_, err = p.Room(-1, new(clock))
					assert.ErrorIs(t, err, pipe.ErrEnded)
					over, err := p.Lend(strings.NewReader("late"), new(clock))
					assert.False(t, over)
					assert.NoError(t, err)
					assert.EqualValues(t, 4, p.Received())
					assert.Equal(t, []int64{4}, o.arrived)

					assert.EqualValues(t, len(row.body), p.Available())
					peeked := make([]byte, 9)
					assert.Equal(t, row.body, string(peeked[:p.Peek(peeked)]))
					for _, want := range []string{row.body, ""} {
						body, err := read(p)
						assert.ErrorIs(t, err, row.err)
						assert.Equal(t, want, body)
						assert.Zero(t, p.Available())
						assert.Nil(t, p.Take())
					}
				})
			}
		}
	}
}

// TestAllIsNotNil: as io.ReadAll does for an empty body.
func TestAllIsNotNil(t *testing.T) {
	p, _ := newPipe(0)
	p.End(nil)
	all, err := p.All()
	assert.Equal(t, []byte{}, all)
	assert.NoError(t, err)
}

// TestReaderWaits: every method returns bytes as they arrive, until the end.
func TestReaderWaits(t *testing.T) {
	for way, read := range readings {
		for _, limit := range []int64{0, 3} {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newPipe(limit)
				body, done := "", error(nil)
				go func() { body, done = read(p) }()
				for _, s := range []string{"a", "bc", "", "defghijk"} {
					synctest.Wait()
					if limit > 0 || way != "All" {
						assert.Zero(t, p.Available(), way)
					}
					put(t, p, s)
				}
				synctest.Wait()
				assert.Empty(t, body, "not before the end")
				p.End(errBroken)
				synctest.Wait()
				assert.Equal(t, "abcdefghijk", body, way)
				assert.Equal(t, errBroken, done, way)
			})
		}
	}
}

// TestEndWakes: a waiting reader returns at every kind of end.
func TestEndWakes(t *testing.T) {
	for way, read := range readings {
		for _, limit := range []int64{0, 100} {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newPipe(limit)
				var err error
				go func() { _, err = read(p) }()
				synctest.Wait()
				p.Stop()
				synctest.Wait()
				assert.NoError(t, err, "Stop does not say how it ends")
				p.Close(errClosed)
				synctest.Wait()
				assert.Equal(t, errClosed, err, way)
			})
		}
	}
}

// TestMayWait: a reader that may not wait returns the available bytes and the error.
func TestMayWait(t *testing.T) {
	for way, read := range readings {
		for _, limit := range []int64{0, 4} {
			p, o := newPipe(limit)
			o.refused = errRefused
			put(t, p, "some")
			body, err := read(p)
			assert.Equal(t, "some", body, way)
			assert.Equal(t, errRefused, err, way)
			put(t, p, "more")
			p.End(nil)
			body, err = read(p)
			assert.Equal(t, "more", body, way)
			assert.NoError(t, err, "nothing is waited for")
		}
	}
}

// TestArrivedMayRead: Arrived is called without the lock, for all bytes.
func TestArrivedMayRead(t *testing.T) {
	p, o := newPipe(0)
	var got []string
	o.then = func(received int64) {
		assert.Equal(t, received, p.Received())
		got = append(got, string(p.Take()))
	}
	put(t, p, "one")
	put(t, p, "two")
	assert.Equal(t, []string{"one", "two"}, got)
	assert.Equal(t, []int64{3, 6}, o.arrived)
}

// TestFillReportsReaders: Fill returns true only for a reader that was waiting for bytes.
func TestFillReportsReaders(t *testing.T) {
	fill := func(p *pipe.Pipe) bool {
		space, err := p.Room(-1, new(clock))
		require.NoError(t, err)
		return p.Fill(copy(space, "x"))
	}
	for way, read := range readings {
		synctest.Test(t, func(t *testing.T) {
			p, _ := newPipe(0)
			assert.False(t, fill(p))
			go read(p)
			synctest.Wait()
			assert.Equal(t, way != "All", fill(p), way)
			p.End(nil)
		})
	}
}

// TestRoomWaits: the producer waits while the limit is reached, with its clock paused.
func TestRoomWaits(t *testing.T) {
	for _, row := range []struct {
		name string
		free func(*pipe.Pipe)
		size int // size of the space; 0 at the end
	}{
		{"Read", func(p *pipe.Pipe) { p.Read(make([]byte, 3)) }, 3},
		{"Take", func(p *pipe.Pipe) { p.Take() }, 10},
		{"All", func(p *pipe.Pipe) { p.All() }, 10},
		{"SetLimit", func(p *pipe.Pipe) { p.SetLimit(11) }, 1},
		{"Stop", func(p *pipe.Pipe) { p.Stop() }, 0},
		{"End", func(p *pipe.Pipe) { p.End(errBroken) }, 0},
		{"Close", func(p *pipe.Pipe) { p.Close(errClosed) }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newPipe(10)
				put(t, p, "0123456789")
				var space []byte
				var err error
				c := new(clock)
				go func() { space, err = p.Room(-1, c) }()
				synctest.Wait()
				assert.Nil(t, space)
				assert.Equal(t, 1, c.pauses)
				assert.Equal(t, -1, c.running)
				go row.free(p)
				synctest.Wait()
				if row.size == 0 {
					assert.Equal(t, pipe.ErrEnded, err)
				} else {
					assert.Len(t, space, row.size)
					assert.NoError(t, err)
				}
				_, pauses := c.counts(t)
				assert.Equal(t, 1, pauses)
				p.End(nil)
			})
		})
	}
}

// TestRoomDoesNotWait: without a limit, and below it, the clock is not paused.
func TestRoomDoesNotWait(t *testing.T) {
	c := new(clock)
	for _, limit := range []int64{0, 5} {
		p, _ := newPipe(limit)
		put(t, p, "0123")
		space, err := p.Room(-1, c)
		require.NoError(t, err)
		if limit > 0 {
			assert.Len(t, space, 1)
		}
	}
	assert.Zero(t, c.pauses)
}

// TestKeptChunk: a small body of known length is returned without a copy.
func TestKeptChunk(t *testing.T) {
	for _, read := range []func(*pipe.Pipe) []byte{
		(*pipe.Pipe).Take,
		func(p *pipe.Pipe) []byte { p.End(nil); b, _ := p.All(); return b },
	} {
		p, _ := newPipe(0)
		space, err := p.Room(4, new(clock))
		require.NoError(t, err)
		assert.Len(t, space, 4)
		p.Fill(copy(space, "body"))
		got := read(p)
		assert.Equal(t, "body", string(got))
		assert.Same(t, &space[0], &got[0])
	}
}

// TestSpaceIsReused: for a fast reader one chunk is enough, and the reader gets a copy of
// its bytes.
func TestSpaceIsReused(t *testing.T) {
	p, _ := newPipe(0)
	var first *byte
	var got [][]byte
	for i := range 3 {
		space, err := p.Room(-1, new(clock))
		require.NoError(t, err)
		if i == 0 {
			first = &space[0]
		}
		assert.Same(t, first, &space[0])
		p.Fill(copy(space, bytes.Repeat([]byte{byte('a' + i)}, 3)))
		got = append(got, p.Take())
	}
	assert.Equal(t, "aaabbbccc", string(bytes.Join(got, nil)))
}

// TestScratch: the scratch space is not part of the body.
func TestScratch(t *testing.T) {
	p, _ := newPipe(0)
	p.Scratch()[0] = 'x'
	p.End(nil)
	assert.Len(t, p.Scratch(), 1)
	body, err := p.All()
	assert.Empty(t, body)
	assert.NoError(t, err)
}

// TestAllocations: a small body allocates only its bytes.
func TestAllocations(t *testing.T) {
	o, c := new(owner), new(clock)
	o.arrived = make([]int64, 0, 1<<10)
	n := testing.AllocsPerRun(100, func() {
		var p pipe.Pipe
		p.Init(o, 0)
		space, _ := p.Room(100, c)
		p.Fill(len(space))
		p.End(nil)
		if b, err := p.All(); len(b) != 100 || err != nil {
			t.Error(len(b), err)
		}
	})
	assert.LessOrEqual(t, n, 2.0, "the pipe itself, and its one chunk")
}

// panicking is a writer that panics.
type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("writer") }

// TestWriterPanics: after a panic of the writer, the pipe can still be read.
func TestWriterPanics(t *testing.T) {
	p, _ := newPipe(0)
	put(t, p, "body")
	p.End(nil)
	assert.PanicsWithValue(t, "writer", func() { p.WriteTo(panicking{}) })
	body, err := p.All()
	assert.Equal(t, "body", string(body))
	assert.NoError(t, err)
}

// lying is a writer that returns impossible counts.
type lying int

func (n lying) Write([]byte) (int, error) { return int(n), nil }

// TestBadWriter: an impossible count is an error, and so is a short write.
func TestBadWriter(t *testing.T) {
	p, _ := newPipe(0)
	put(t, p, "body")
	p.End(nil)
	for _, n := range []int{-1, 5} {
		written, err := p.WriteTo(lying(n))
		assert.Zero(t, written)
		assert.ErrorContains(t, err, "impossible")
	}
	written, err := p.WriteTo(lying(1))
	assert.EqualValues(t, 1, written)
	assert.Equal(t, io.ErrShortWrite, err)
	body, _ := p.All()
	assert.Equal(t, "ody", string(body))
}

// gate is a writer that blocks until it is opened.
type gate struct {
	in, out chan struct{}
	b       bytes.Buffer
}

func newGate() *gate { return &gate{in: make(chan struct{}), out: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	g.in <- struct{}{}
	<-g.out
	return g.b.Write(b)
}

// TestSecondReader: a second reader does not get the bytes that a WriteTo is writing, and
// new bytes do not overwrite them.
func TestSecondReader(t *testing.T) {
	for way, read := range readings {
		synctest.Test(t, func(t *testing.T) {
			p, _ := newPipe(0)
			put(t, p, "first")
			g := newGate()
			var n int64
			var err error
			go func() { n, err = p.WriteTo(g) }()
			<-g.in
			body, done := "", error(nil)
			go func() { body, done = read(p) }()
			synctest.Wait()
			assert.Nil(t, p.Take())
			assert.EqualValues(t, 5, p.Available())
			put(t, p, " and rest")
			synctest.Wait()
			assert.Empty(t, body)
			p.End(nil)
			g.out <- struct{}{}
			synctest.Wait()
			select { // either of the two may get the rest
			case <-g.in:
				g.out <- struct{}{}
			default:
			}
			synctest.Wait()
			assert.Equal(t, "first and rest", g.b.String()+body, way)
			assert.NoError(t, err)
			assert.NoError(t, done)
			assert.EqualValues(t, g.b.Len(), n)
		})
	}
}

// TestCloseWhileWriting: Close does not wait for the writer, and does not free the bytes
// that it is writing.
func TestCloseWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(0)
		put(t, p, "body")
		g := newGate()
		var err error
		go func() { _, err = p.WriteTo(g) }()
		<-g.in
		p.Close(errClosed)
		assert.Zero(t, p.Available())
		g.out <- struct{}{}
		synctest.Wait()
		assert.Equal(t, errClosed, err)
		assert.Equal(t, "body", g.b.String())
	})
}

// TestMemoryInUse: a chunk that the producer or a writer still uses after Close is not
// given to another pipe.
func TestMemoryInUse(t *testing.T) {
	const large = 2 << 20 // such bodies use pooled chunks
	room := func(t *testing.T) []byte {
		p, _ := newPipe(0)
		space, err := p.Room(large, new(clock))
		require.NoError(t, err)
		return space
	}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p, _ := newPipe(0)
			filling, err := p.Room(large, new(clock))
			require.NoError(t, err)
			p.Close(errClosed)
			assert.NotSame(t, &filling[0], &room(t)[0])
			p.Fill(len(filling))

			p, _ = newPipe(0)
			space, err := p.Room(large, new(clock))
			require.NoError(t, err)
			p.Fill(copy(space, "body"))
			g := newGate()
			go p.WriteTo(g)
			<-g.in
			p.Close(errClosed)
			assert.NotSame(t, &space[0], &room(t)[0])
			g.out <- struct{}{}
			synctest.Wait()
			assert.Equal(t, "body", g.b.String())
		})
	}
}
