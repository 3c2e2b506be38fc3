//go:build unix && !netreply_portable

package wire

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answering is a stream that has to write before it can read, like TLS whose peer asks for
// new keys.
type answering struct{ *socket }

func (a answering) Read(p []byte) (int, error) {
	a.socket.Write(make([]byte, 1<<20)) // the error is one of the next Write
	return a.socket.Read(p)
}

// TestIdleCheckDoesNotWrite: the check of an idle connection does not wait for a peer that
// reads nothing, even if it makes TLS answer. The connection is not used again.
func TestIdleCheckDoesNotWrite(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	peer, err := ln.Accept()
	require.NoError(t, err)
	defer peer.Close()
	s := newSocket(nc)
	require.NotNil(t, s)
	assert.True(t, s.idle(&struct{ net.Conn }{s}))
	// nothing more can be sent
	nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err == nil {
		_, err = nc.Write(make([]byte, 1<<20))
	}
	nc.SetWriteDeadline(time.Time{})
	assert.False(t, s.idle(answering{s}))
	assert.False(t, s.idle(&struct{ net.Conn }{s}), "it cannot be used again")
}
