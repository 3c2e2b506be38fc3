package pipe_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/pipe"
)

// model is a simple model of a pipe: a queue of bytes with a limit and an end.
type model struct {
	unread   []byte
	limit    int64
	received int64
	space    int // size of the space that Room has returned before Fill; -1 for none
	stopped  bool
	closed   bool
	err      error
}

func (m *model) full() bool { return m.limit > 0 && int64(len(m.unread)) >= m.limit }

func (m *model) take(n int) []byte {
	got := m.unread[:n:n]
	m.unread = m.unread[n:]
	return got
}

// FuzzModel compares a pipe with its model for a sequence of calls.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 200, 1, 255, 2, 9, 4, 3, 0, 6, 0, 7, 0})
	f.Add([]byte{5, 3, 0, 0, 1, 3, 2, 2, 0, 9, 1, 9, 4, 0, 8, 0, 1, 1, 2, 2})
	f.Add([]byte{0, 9, 1, 9, 0, 9, 8, 0, 1, 9, 3, 9})
	f.Add([]byte{0, 9, 1, 9, 10, 5, 0, 3, 1, 2, 11, 0, 7, 0, 2, 9})
	f.Fuzz(play)
}

// TestModel runs random sequences, so that a normal test run covers more than the seeds.
func TestModel(t *testing.T) {
	for seed := range uint64(500) {
		calls := make([]byte, 400)
		rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(calls)
		if play(t, calls); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func play(t *testing.T, calls []byte) {
	p, o := newPipe(0)
	o.refused = errRefused
	m := &model{space: -1}
	var space []byte
	fed := byte(0)
	for ; len(calls) >= 2; calls = calls[2:] {
		arg := int(calls[1])
		switch calls[0] % 13 {
		case 0: // Room
			if m.space >= 0 || m.full() && !m.stopped {
				continue
			}
			left := int64(-1)
			if arg > 0 {
				left = int64(arg) * int64(arg) * 16 // up to 1 MiB
			}
			var err error
			space, err = p.Room(left, new(clock))
			if m.stopped {
				require.Equal(t, pipe.ErrEnded, err)
				continue
			}
			require.NoError(t, err)
			require.NotEmpty(t, space)
			if m.limit > 0 {
				require.LessOrEqual(t, int64(len(m.unread)+len(space)), m.limit)
			}
			m.space = len(space)
		case 1, 12: // Fill
			if m.space < 0 {
				continue
			}
			n := min(m.space, arg)
			if arg > 200 {
				n = m.space
			}
			for i := range n {
				space[i] = fed
				fed++
			}
			require.False(t, p.Fill(n), "no reader waits")
			if !m.stopped {
				m.unread = append(m.unread, space[:n]...)
				m.received += int64(n)
			}
			m.space = -1
		case 2, 3: // Read
			b := make([]byte, 1+arg*arg)
			n, err := p.Read(b)
			switch {
			case len(m.unread) > 0:
				require.NoError(t, err)
				require.Positive(t, n)
				require.Equal(t, m.take(n), b[:n])
			case m.err != nil:
				require.Equal(t, m.err, err)
			default:
				require.Equal(t, errRefused, err)
			}
		case 4: // Take
			got := p.Take()
			require.True(t, bytes.Equal(m.take(len(m.unread)), got))
			clear(got) // the caller owns the bytes
		case 5: // SetLimit
			m.limit = int64(arg * arg / 4)
			p.SetLimit(m.limit)
			require.Equal(t, m.limit, p.Limit())
		case 6: // Peek
			b := make([]byte, 1+arg*arg)
			n := p.Peek(b)
			require.Equal(t, min(len(b), len(m.unread)), n)
			require.True(t, bytes.Equal(m.unread[:n], b[:n]))
		case 7: // All
			got, err := p.All()
			require.True(t, bytes.Equal(m.take(len(m.unread)), got))
			switch {
			case m.err == nil:
				require.Equal(t, errRefused, err)
			case m.err == io.EOF:
				require.NoError(t, err)
			default:
				require.Equal(t, m.err, err)
			}
			clear(got)
		case 8: // WriteTo a writer that may fail
			w := &limitedWriter{left: arg * arg}
			n, err := p.WriteTo(w)
			require.EqualValues(t, w.b.Len(), n)
			require.True(t, bytes.Equal(m.take(w.b.Len()), w.b.Bytes()))
			if err == errFull {
				continue
			}
			require.Empty(t, m.unread)
			switch {
			case m.err == nil:
				require.Equal(t, errRefused, err)
			case m.err == io.EOF:
				require.NoError(t, err)
			default:
				require.Equal(t, m.err, err)
			}
		case 9: // Stop
			if arg < 250 { // rarely, because little happens afterwards
				continue
			}
			require.Equal(t, m.received, p.Stop())
			m.stopped = true
		case 10: // End
			if arg < 245 {
				continue
			}
			err, want := error(nil), io.EOF
			if arg%2 == 0 {
				err, want = errBroken, errBroken
			}
			p.End(err)
			if m.stopped = true; m.err == nil {
				m.err = want
			}
		case 11: // Close
			if arg < 253 {
				continue
			}
			p.Close(errClosed)
			if m.err == nil || m.err == io.EOF {
				m.err = errClosed
			}
			m.stopped, m.closed, m.unread = true, true, nil
		}
		require.EqualValues(t, len(m.unread), p.Available())
		require.Equal(t, m.received, p.Received())
	}
}

var errFull = errors.New("disk full")

// limitedWriter accepts a number of bytes and then fails.
type limitedWriter struct {
	b    bytes.Buffer
	left int
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	w.b.Write(b[:n])
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// TestSchedules: with a producer, a reader and an end at random times, the reader gets a
// prefix of the sent bytes, and all of them if the body was complete.
func TestSchedules(t *testing.T) {
	data := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(data)
	for seed := range uint64(100) {
		schedule(t, data, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func schedule(t *testing.T, data []byte, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 0))
	data = data[:chance.IntN(len(data))]
	p, o := newPipe(int64(chance.IntN(3)) * int64(1+chance.IntN(20_000)))
	c := new(clock)
	end := error(nil)
	if chance.IntN(3) == 0 {
		end = errBroken
	}
	closing := chance.IntN(4) == 0
	var wg sync.WaitGroup
	wg.Go(func() { // the producer
		chance := rand.New(rand.NewPCG(seed, 1))
		left := int64(-1)
		if chance.IntN(2) == 0 {
			left = int64(len(data))
		}
		body := &pieces{data: data, chance: chance}
		err := produce(p, body, left, c)
		if err == nil {
			err = end
		}
		p.Stop()
		p.End(err)
	})
	if closing {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(seed, 2))
			for range chance.IntN(1000) {
				runtime.Gosched()
				p.Available()
			}
			p.SetLimit(int64(chance.IntN(5000)))
			p.Close(errClosed)
		})
	}
	var got []byte
	var err error
	wg.Go(func() { got, err = consume(p, rand.New(rand.NewPCG(seed, 3))) })
	wg.Wait()
	require.True(t, bytes.HasPrefix(data, got), "%d bytes of %d", len(got), len(data))
	for i, n := range o.arrived {
		if i > 0 {
			assert.Greater(t, n, o.arrived[i-1])
		}
	}
	switch {
	case closing && (err == errClosed || err == errBroken):
	case end == nil:
		assert.NoError(t, err)
		assert.Len(t, got, len(data))
	default:
		assert.Equal(t, end, err)
		assert.Len(t, got, len(data))
	}
	assert.GreaterOrEqual(t, p.Received(), int64(len(got)))
	c.counts(t)
	p.Close(errClosed)
}

// produce uses the pipe like a transfer.
func produce(p *pipe.Pipe, body io.Reader, left int64, c *clock) error {
	for {
		if over, err := p.Lend(body, c); over {
			return err
		}
		missing := left
		if left >= 0 {
			if missing = left - p.Received(); missing == 0 {
				return nil
			}
		}
		space, err := p.Room(missing, c)
		if err != nil {
			return err
		}
		n, err := body.Read(space)
		p.Fill(n)
		if err == io.EOF {
			return nil
		}
	}
}

// consume reads to the end with different methods.
func consume(p *pipe.Pipe, chance *rand.Rand) (got []byte, err error) {
	for {
		switch chance.IntN(12) {
		case 0:
			all, err := p.All()
			return append(got, all...), err
		case 1, 2:
			got = append(got, p.Take()...)
		case 3, 4:
			w := &limitedWriter{left: chance.IntN(50_000)}
			n, err := p.WriteTo(w)
			got = append(got, w.b.Bytes()...)
			if int(n) != w.b.Len() {
				return got, errors.New("wrong count")
			}
			if err != errFull {
				return got, err
			}
		case 5:
			p.SetLimit(int64(chance.IntN(3)) * int64(1+chance.IntN(20_000)))
		case 6:
			b := make([]byte, 100)
			b = b[:p.Peek(b)]
			next := p.Take()
			if n := min(len(b), len(next)); !bytes.Equal(b[:n], next[:n]) {
				return got, errors.New("Peek is wrong")
			}
			got = append(got, next...)
		default:
			b := make([]byte, 1+chance.IntN(10_000))
			n, err := p.Read(b)
			got = append(got, b[:n]...)
			if err == io.EOF {
				return got, nil
			}
			if err != nil {
				return got, err
			}
		}
	}
}

// pieces returns its data in pieces of random sizes, with pauses.
type pieces struct {
	data   []byte
	chance *rand.Rand
}

func (s *pieces) Read(b []byte) (int, error) {
	if s.chance.IntN(4) == 0 {
		runtime.Gosched()
	}
	n := copy(b[:min(len(b), 1+s.chance.IntN(9000))], s.data)
	s.data = s.data[n:]
	if len(s.data) == 0 && s.chance.IntN(2) == 0 || n == 0 {
		return n, io.EOF
	}
	return n, nil
}
