package httpcache_test

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

var bg = context.Background()

// child is the environment variable with what a process started by a test does, and
// childDir that with the directory of its Disk.
const (
	child    = "NETREPLY_TEST_CACHE_CHILD"
	childDir = "NETREPLY_TEST_CACHE_DIR"
)

// children are what processes started by tests do.
var children = map[string]func(dir string){}

func TestMain(m *testing.M) {
	if f := children[os.Getenv(child)]; f != nil {
		f(os.Getenv(childDir))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
