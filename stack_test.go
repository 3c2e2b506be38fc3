package netreply_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// stackURL is set for the child process that sends on a small stack, with the number of
// bytes used before.
const stackURL = "NETREPLY_TEST_STACK_URL"

// TestStack: a GET on a kept connection fits in a stack of 4 KiB with 1 KiB to spare;
// otherwise the goroutine of each request would need a larger stack. It runs in a child
// process that ends when a stack grows further.
func TestStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes stack")
	}
	s := fixed(t, small)
	spare := func(bytes int) error {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), stackURL+"="+strconv.Itoa(bytes)+" "+s.URL(), "GODEBUG=adaptivestackstart=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %.9000s", err, out)
		}
		return err
	}
	require.NoError(t, spare(1024))
	require.Error(t, spare(3<<10), "the test sees nothing")
	if testing.Verbose() {
		n := 0
		for n < 2500 && spare(n+32) == nil {
			n += 32
		}
		t.Logf("%d bytes of 4 KiB are left", n)
	}
}

// stackClient is the child process.
func stackClient(spec string) int {
	var taken int
	var url string
	if _, err := fmt.Sscan(spec, &taken, &url); err != nil {
		return 2
	}
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		return 2
	}
	get := func() bool {
		req, _ := netreply.NewRequest(url)
		return m.Fetch(context.Background(), "GET", req, nil).Err() == nil
	}
	for range 100 { // the connection and its memory exist
		if !get() {
			return 3
		}
	}
	req, _ := netreply.NewRequest(url)
	runtime.GC()
	debug.SetGCPercent(-1) // the garbage collector shrinks stacks
	debug.SetMaxStack(4 << 10)
	done := make(chan bool)
	for range 100 {
		r, run := netreply.PrepareReply(m, "GET", req)
		go func() {
			takeStack(taken, run)
			done <- r.Err() == nil
		}()
		if !<-done {
			return 3
		}
	}
	return 0
}

// takeStack calls f with so many bytes of the stack taken, in frames of 32 bytes.
//
//go:noinline
func takeStack(bytes int, f func()) {
	if bytes <= 0 {
		f()
		return
	}
	takeStack(bytes-frameSize, f)
}

const frameSize = 32
