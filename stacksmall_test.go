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

// smallStackChild is set for the child process of TestSmallStack, to the number of bytes used before, and
// the URL.
const smallStackChild = "NETREPLY_TEST_SMALL_STACK"

// TestSmallStack: a GET on a kept connection of our own runs to its end, and one waits for its
// response, with the stack that every goroutine begins with, 2 KiB, so that no stack has to grow and
// waiting requests take no more. They run in a child process that ends when a stack grows.
func TestSmallStack(t *testing.T) {
	if raceEnabled || testing.CoverMode() != "" || !netreply.OwnHTTP1 || runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("the race detector, counting coverage and other systems take more stack; net/http waits on other goroutines")
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
	child := func(bytes int) error {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), smallStackChild+"="+strconv.Itoa(bytes)+" "+s.URL(), "GODEBUG=adaptivestackstart=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %.9000s", err, out)
		}
		return err
	}
	spare := func(bytes int) (err error) {
		for range 5 { // now and then an allocation takes more: that of a span
			if err = child(bytes); err == nil {
				break
			}
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

// smallStackClient is the child process.
func smallStackClient(spec string) int {
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
	begin := func(path string) *netreply.Reply {
		r, run := netreply.PrepareReply(m, "GET", request(path))
		if taken > 0 {
			go takeStack(taken, run)
		} else {
			go run()
		}
		return r
	}
	dump := make([]byte, 64<<10)
	debug.SetMaxStack(2 << 10)
	if begin("/").Wait(context.Background()) != nil {
		return 3
	}
	for runtime.NumGoroutine() > 1 {
		runtime.Gosched()
	}
	r := begin("/wait")
	for !bytes.Contains(dump, []byte("IO wait")) || !bytes.Contains(dump, []byte("awaitHead")) {
		if r.IsFinished() {
			return 3
		}
		runtime.Gosched()
		runtime.Stack(dump, true)
	}
	return 0
}
