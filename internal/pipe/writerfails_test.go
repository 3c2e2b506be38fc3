package pipe_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAllAfterFailedWriter: All makes room when a writer that had the bytes fails without having
// accepted any.
func TestAllAfterFailedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(4)
		put(t, p, "0123")
		fail := make(chan struct{})
		r, w := io.Pipe()
		go func() {
			<-fail
			r.CloseWithError(errClosed)
		}()
		go p.WriteTo(w)
		synctest.Wait()
		var all []byte
		go func() { all, _ = p.All() }()
		synctest.Wait()
		close(fail)
		synctest.Wait()
		space, err := p.Room(1, new(clock))
		require.NoError(t, err)
		p.Fill(copy(space, "4"))
		p.End(nil)
		synctest.Wait()
		assert.Equal(t, "01234", string(all))
	})
}

// TestSmallBodyInLargeMemory: a small body does not keep the memory of a large one before it.
func TestSmallBodyInLargeMemory(t *testing.T) {
	p, _ := newPipe(0)
	for range 3 {
		require.True(t, p.Renew(new(owner), 0))
		space, err := p.Room(60<<10, new(clock))
		require.NoError(t, err)
		p.Fill(len(space))
		p.End(nil)
		p.WriteTo(io.Discard)
		require.True(t, p.Renew(new(owner), 0))
		space, err = p.Room(5, new(clock))
		require.NoError(t, err)
		first := &space[0]
		p.Fill(copy(space, "small"))
		p.End(nil)
		all, err := p.All()
		require.NoError(t, err)
		assert.Equal(t, "small", string(all))
		assert.NotSame(t, first, &all[0])
	}
}
