package netreply_test

import (
	"bytes"
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
	"github.com/netreply/netreply/internal/testserver"
)

// waitingChild is set for the child process of TestStackOfWaiting, to the number of bytes used before, and
// the URL.
const waitingChild = "NETREPLY_TEST_STACK_WAITING"

// TestStackOfWaiting: a GET on a kept connection of our own comes to the wait for its response with
// the stack that every goroutine begins with, 2 KiB, so that waiting requests take no more. It runs
// in a child process that ends when a stack grows further.
func TestStackOfWaiting(t *testing.T) {
	if raceEnabled || !netreply.OwnHTTP1 {
		t.Skip("the race detector takes stack; net/http waits on other goroutines")
	}
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok || req.URL.Path == "/wait" {
				c.Head() // never comes
				return
			}
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	spare := func(bytes int) error {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), waitingChild+"="+strconv.Itoa(bytes)+" "+s.URL(), "GODEBUG=adaptivestackstart=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %.9000s", err, out)
		}
		return err
	}
	require.NoError(t, spare(0))
	require.Error(t, spare(1<<10), "the test sees nothing")
	if testing.Verbose() {
		n := 0
		for n < 1<<10 && spare(n+frameSize) == nil {
			n += frameSize
		}
		t.Logf("%d bytes of 2 KiB are left", n)
	}
}

// waitingClient is the child process.
func waitingClient(spec string) int {
	var taken int
	var url string
	if _, err := fmt.Sscan(spec, &taken, &url); err != nil {
		return 2
	}
	runtime.GOMAXPROCS(1)
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		return 2
	}
	request := func(path string) *netreply.Request {
		req, _ := netreply.NewRequest(url + path)
		return req
	}
	debug.SetGCPercent(-1)
	for range 110 { // the connection and its memory exist, and memory for what is allocated
		if m.Fetch(context.Background(), "GET", request("/"), nil).Err() != nil {
			return 3
		}
	}
	r, run := netreply.PrepareReply(m, "GET", request("/wait"))
	dump := make([]byte, 64<<10)
	debug.SetMaxStack(2 << 10)
	if taken > 0 {
		go takeStack(taken, run)
	} else {
		go run()
	}
	for !bytes.Contains(dump, []byte("IO wait")) || !bytes.Contains(dump, []byte("awaitHead")) {
		if r.IsFinished() {
			return 3
		}
		runtime.Gosched()
		runtime.Stack(dump, true)
	}
	return 0
}
