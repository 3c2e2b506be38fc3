package pipe_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/pipe"
)

// TestRenew: a pipe that is renewed is like a new one, whatever its last body was, and keeps the
// memory of a body that was not given away.
func TestRenew(t *testing.T) {
	ends := map[string]func(*pipe.Pipe){
		"read":    func(p *pipe.Pipe) { p.End(nil); p.WriteTo(io.Discard) },
		"unread":  func(p *pipe.Pipe) { p.End(nil) },
		"failed":  func(p *pipe.Pipe) { p.End(errClosed) },
		"closed":  func(p *pipe.Pipe) { p.Close(errClosed) },
		"running": func(*pipe.Pipe) {},
		"taken":   func(p *pipe.Pipe) { p.End(nil); p.All() },
	}
	for name, end := range ends {
		p, _ := newPipe(3)
		require.True(t, p.Renew(new(owner), 100))
		space, err := p.Room(10, new(clock))
		require.NoError(t, err)
		assert.False(t, p.Renew(new(owner), 0), "while it is being filled")
		p.Fill(copy(space, "first body"))
		end(p)
		o := new(owner)
		require.True(t, p.Renew(o, 50), name)
		assert.EqualValues(t, 50, p.Limit())
		assert.Zero(t, p.Received())
		assert.Zero(t, p.Available())
		next, err := p.Room(8, new(clock))
		require.NoError(t, err, name)
		assert.Len(t, next, 8)
		assert.Equal(t, name != "taken", &next[0] == &space[0], name)
		p.Fill(copy(next, "2nd"))
		assert.Equal(t, []int64{3}, o.arrived)
		var peeked [20]byte
		assert.Equal(t, 3, p.Peek(peeked[:]))
		p.End(nil)
		body, err := p.All()
		assert.Equal(t, "2nd", string(body), name)
		assert.NoError(t, err)
		assert.NotContains(t, string(body[:cap(body)]), "first", "%s: what was there before", name)
	}
}

// TestRenewLarge: bodies of several chunks, pooled ones among them.
func TestRenewLarge(t *testing.T) {
	p, _ := newPipe(0)
	for _, size := range []int{5, 3 << 20, 20, 100 << 10, 1, 8 << 10} {
		for _, known := range []bool{true, false} {
			require.True(t, p.Renew(new(owner), 0))
			want := bytes.Repeat([]byte{byte(size)}, size)
			for rest := want; len(rest) > 0; {
				left := int64(-1)
				if known {
					left = int64(len(rest))
				}
				space, err := p.Room(left, new(clock))
				require.NoError(t, err)
				n := copy(space, rest)
				p.Fill(n)
				rest = rest[n:]
			}
			p.End(nil)
			var got bytes.Buffer
			n, err := p.WriteTo(&got)
			require.NoError(t, err)
			assert.EqualValues(t, size, n)
			assert.True(t, bytes.Equal(want, got.Bytes()), size)
		}
	}
}
