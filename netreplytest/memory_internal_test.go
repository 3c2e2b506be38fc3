package netreplytest

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/netreply/netreply/internal/oserr"
)

func memoryConns() (client, server *memoryConn) {
	return newMemoryConns(memoryAddr(2, 49152), memoryAddr(1, 80))
}

// TestMemoryConn: a connection in memory is one of package net.
func TestMemoryConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		c, s := memoryConns()
		return c, s, func() { c.Close(); s.Close() }, nil
	})
}

// TestMemoryEnd: what was written before an orderly end can be read; writing to a peer that
// has closed fails as on a socket; and CloseWrite leaves the other direction open.
func TestMemoryEnd(t *testing.T) {
	c, s := memoryConns()
	s.Write([]byte("last"))
	require.NoError(t, s.CloseWrite())
	c.Write([]byte("still"))
	b, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "last", string(b))
	c.Close()
	b, err = io.ReadAll(s)
	require.NoError(t, err)
	assert.Equal(t, "still", string(b))
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	c, s = memoryConns()
	c.Close()
	_, err = s.Write([]byte("x"))
	assert.True(t, oserr.Is(err, oserr.Reset), "%v", err)
}

// TestMemoryReset: a reset comes after what was written, as an error of the system, on both
// sides; and a deadline passes in fake time.
func TestMemoryReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := memoryConns()
		s.Write([]byte("before"))
		done := make(chan struct{})
		go func() { s.reset(); close(done) }()
		b, err := io.ReadAll(c)
		assert.Equal(t, "before", string(b))
		assert.True(t, oserr.Is(err, oserr.Reset), "%v", err)
		<-done
		_, err = c.Write([]byte("x"))
		assert.True(t, oserr.Is(err, oserr.Reset), "%v", err)
		_, err = s.Read(make([]byte, 1))
		assert.True(t, oserr.Is(err, oserr.Reset), "%v", err)

		c, s = memoryConns()
		start := time.Now()
		require.NoError(t, c.SetReadDeadline(start.Add(time.Hour)))
		_, err = c.Read(make([]byte, 1))
		var ne net.Error
		require.True(t, errors.As(err, &ne) && ne.Timeout(), "%v", err)
		assert.Equal(t, time.Hour, time.Since(start))
		c.Close()
		s.Close()
	})
}
