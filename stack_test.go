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
	"github.com/netreply/netreply/httpcache"
)

// stackChild is set for the child process that sends on a small stack, to the number of bytes
// used before, the cache, and the URL.
const stackChild = "NETREPLY_TEST_STACK"

// TestStack: a GET on a kept connection fits in a stack of 4 KiB with 1 KiB to spare;
// otherwise the goroutine of each request would need a larger stack. One that a cache in
// memory answers fits, too, and one whose response it stores. It runs in a child process that ends
// when a stack grows further.
func TestStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes stack")
	}
	s := fixed(t, cacheable)
	for cache, least := range map[string]int{"none": 1024, "hit": 768, "miss": 128} {
		t.Run(cache, func(t *testing.T) {
			spare := func(bytes int) error {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), stackChild+"="+strconv.Itoa(bytes)+" "+cache+" "+s.URL(), "GODEBUG=adaptivestackstart=0")
				out, err := cmd.CombinedOutput()
				if err != nil {
					err = fmt.Errorf("%w: %.9000s", err, out)
				}
				return err
			}
			require.NoError(t, spare(least))
			require.Error(t, spare(3<<10), "the test sees nothing")
			if testing.Verbose() {
				n := 0
				for n < 2500 && spare(n+32) == nil {
					n += 32
				}
				t.Logf("%d bytes of 4 KiB are left", n)
			}
		})
	}
}

// stackClient is the child process.
func stackClient(spec string) int {
	var taken int
	var cache, url string
	if _, err := fmt.Sscan(spec, &taken, &cache, &url); err != nil {
		return 2
	}
	var c netreply.Config
	if cache != "none" {
		c.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
	}
	m, err := netreply.NewManager(c)
	if err != nil {
		return 2
	}
	n := 0
	next := func() *netreply.Request {
		to := url
		if n++; cache == "miss" {
			to += "/" + strconv.Itoa(n)
		}
		req, _ := netreply.NewRequest(to)
		return req
	}
	for range 100 { // the connection and its memory exist
		if m.Fetch(context.Background(), "GET", next(), nil).Err() != nil {
			return 3
		}
	}
	req := next()
	runtime.GC()
	debug.SetGCPercent(-1) // the garbage collector shrinks stacks
	debug.SetMaxStack(4 << 10)
	done := make(chan bool)
	for range 100 {
		if cache == "miss" {
			req = next()
		}
		r, run := netreply.PrepareReply(m, "GET", req)
		go func() {
			takeStack(taken, run)
			done <- r.Err() == nil
		}()
		if !<-done || r.CacheStatus().Hit != (cache == "hit") {
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
