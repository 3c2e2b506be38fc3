package pipe_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAllWithoutCopy: a body of known length that is read at its end only is returned in the
// memory in which it was received.
func TestAllWithoutCopy(t *testing.T) {
	const size = 600 << 10
	for name, row := range map[string]struct {
		limit int64
		waits bool // All is called before the body
		left  int64
		same  bool
	}{
		"without a limit":                     {0, false, size, true},
		"without a limit, waiting":            {0, true, size, true},
		"within the limit, waiting":           {size, true, size, true},
		"within the limit, read later":        {size, false, size, false},
		"beyond the limit":                    {size - 1, true, size, false},
		"too large to believe the peer":       {0, true, 2 << 20, false},
		"of unknown length, and nobody waits": {0, false, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newPipe(row.limit)
				var all []byte
				var err error
				read := func() { all, err = p.All() }
				if row.waits {
					go read()
					synctest.Wait()
				}
				c := new(clock)
				var first *byte
				var sent []byte
				for left := row.left; left != 0 && len(sent) < size; {
					space, err := p.Room(left, c)
					require.NoError(t, err)
					if first == nil {
						first = &space[0]
						if row.same {
							assert.Len(t, space, size)
						}
					}
					n := min(len(space), 100<<10, size-len(sent))
					for i := range n {
						space[i] = byte(len(sent)*7 + i*13)
					}
					sent = append(sent, space[:n]...)
					assert.False(t, p.Fill(n), "All does not wait for these bytes")
					synctest.Wait()
					if left > 0 {
						left -= int64(n)
					}
				}
				assert.Zero(t, c.pauses)
				p.End(nil)
				if !row.waits {
					read()
				}
				synctest.Wait()
				require.NoError(t, err)
				assert.True(t, bytes.Equal(sent, all))
				assert.Equal(t, row.same, first == &all[0])
			})
		})
	}
}

// TestCutBodyIsCopied: what has come of a body that breaks off does not keep the memory for
// the rest.
func TestCutBodyIsCopied(t *testing.T) {
	p, _ := newPipe(0)
	space, err := p.Room(1<<20, new(clock))
	require.NoError(t, err)
	p.Fill(copy(space, "cut"))
	p.End(io.ErrUnexpectedEOF)
	all, err := p.All()
	require.Equal(t, io.ErrUnexpectedEOF, err)
	assert.Equal(t, "cut", string(all))
	assert.Less(t, cap(all), 100)
}

// TestAllDrains: All makes room before the producer has to wait, and several of them do not
// leave one another waiting.
func TestAllDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(100)
		c := new(clock)
		parts := make(chan []byte)
		for range 2 {
			go func() {
				all, err := p.All()
				assert.NoError(t, err)
				parts <- all
			}()
		}
		synctest.Wait()
		for range 50 {
			space, err := p.Room(-1, c)
			require.NoError(t, err)
			p.Fill(min(30, len(space)))
			synctest.Wait()
			assert.Less(t, p.Available(), int64(50))
		}
		assert.Zero(t, c.pauses)
		p.End(nil)
		assert.Equal(t, 50*30, len(<-parts)+len(<-parts))
	})
}

// TestAllAfterLowerLimit: All also takes what a lower limit leaves no room for.
func TestAllAfterLowerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(1 << 20)
		var all []byte
		go func() { all, _ = p.All() }()
		synctest.Wait()
		c := new(clock)
		space, err := p.Room(1000, c)
		require.NoError(t, err)
		p.Fill(copy(space, "first"))
		p.SetLimit(3)
		synctest.Wait()
		assert.Zero(t, p.Available())
		space, err = p.Room(995, c)
		require.NoError(t, err)
		assert.Len(t, space, 3)
		p.Fill(copy(space, "abc"))
		p.End(nil)
		synctest.Wait()
		assert.Equal(t, "firstabc", string(all))
	})
}

// TestAllAfterLoan: All makes room for a body whose bytes a failed WriteTo has left, in more
// space than there was.
func TestAllAfterLoan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(4)
		c := new(clock)
		space, err := p.Room(4, c)
		require.NoError(t, err)
		p.Fill(copy(space, "0"))
		p.Take() // the chunk has room for the rest of four bytes
		l := writeTo(p, lying(-1))
		synctest.Wait()
		over, err := p.Lend(strings.NewReader("12345678"), c)
		require.NoError(t, err)
		require.False(t, over)
		<-l.done
		var all []byte
		go func() { all, err = p.All() }()
		put(t, p, "9")
		p.End(nil)
		synctest.Wait()
		assert.NoError(t, err)
		assert.Equal(t, "123456789", string(all))
	})
}
