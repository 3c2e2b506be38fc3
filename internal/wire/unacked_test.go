package wire

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestUnacked: bytes that the peer does not read stay in the socket buffer.
func TestUnacked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := l.Accept()
	require.NoError(t, err)
	defer server.Close()
	c := Conn{nc: wrapped{client}}
	require.Zero(t, c.Unacked())
	const size = 64 << 20 // more than both sockets hold
	wrote := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		wrote <- err
	}()
	require.Eventually(t, func() bool { return c.Unacked() > 0 }, 10*time.Second, time.Millisecond)
	_, err = io.CopyN(io.Discard, server, size)
	require.NoError(t, err)
	require.NoError(t, <-wrote)
	require.Eventually(t, func() bool { return c.Unacked() == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, -1, Conn{}.Unacked())
	pipe, _ := net.Pipe()
	require.Equal(t, -1, Conn{nc: pipe}.Unacked())
}

// wrapped is a connection on top of another, like TLS.
type wrapped struct{ inner net.Conn }

func (w wrapped) NetConn() net.Conn                { return w.inner }
func (w wrapped) Read(p []byte) (int, error)       { return w.inner.Read(p) }
func (w wrapped) Write(p []byte) (int, error)      { return w.inner.Write(p) }
func (w wrapped) Close() error                     { return w.inner.Close() }
func (w wrapped) LocalAddr() net.Addr              { return w.inner.LocalAddr() }
func (w wrapped) RemoteAddr() net.Addr             { return w.inner.RemoteAddr() }
func (w wrapped) SetDeadline(t time.Time) error    { return w.inner.SetDeadline(t) }
func (w wrapped) SetReadDeadline(time.Time) error  { return nil }
func (w wrapped) SetWriteDeadline(time.Time) error { return nil }
