//go:build !race

package dial

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// full is the address of a listener whose queue is full, so that connecting to it waits.
func full(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	sa, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr := "127.0.0.1:" + strconv.Itoa(sa.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the queue of a listener does not become full here")
	return ""
}

// TestGoTCPStack: a connection that is being opened needs 4 KiB of stack. With some more
// variables on the stack it would be 8.
func TestGoTCPStack(t *testing.T) {
	const n = 200
	addr := full(t)
	d := &Dialer{ConnectTimeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stacks := func() int {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.StackInuse)
	}
	before := stacks()
	connecting, ended := make(chan struct{}, n), make(chan error, n)
	for range n {
		d.GoTCP(ctx, addr, func() { connecting <- struct{}{} }, func(_ net.Conn, err error) { ended <- err })
	}
	for range n {
		<-connecting
	}
	waiting := func() (waiting int) {
		all := make([]runtime.StackRecord, 2*n)
		k, _ := runtime.GoroutineProfile(all)
		for _, r := range all[:k] {
			frames := runtime.CallersFrames(r.Stack())
			for f, more := frames.Next(); more; f, more = frames.Next() {
				if f.Function == "net.(*netFD).connect" {
					waiting++
				}
			}
		}
		return waiting
	}
	require.Eventually(t, func() bool { return waiting() == n }, 10*time.Second, 10*time.Millisecond)
	assert.Less(t, (stacks()-before)/n, 6<<10)
	cancel()
	for range n {
		assert.ErrorIs(t, <-ended, context.Canceled)
	}
}
