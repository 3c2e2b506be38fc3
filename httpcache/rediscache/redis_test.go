package rediscache_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/httpcache/rediscache"
)

var bg = context.Background()

// child is the environment variable with what a process started by a test does, childAddr
// that with the address of its Redis.
const (
	child     = "NETREPLY_TEST_REDIS_CHILD"
	childAddr = "NETREPLY_TEST_REDIS_ADDR"
)

var children = map[string]func(addr string){}

func TestMain(m *testing.M) {
	if f := children[os.Getenv(child)]; f != nil {
		f(os.Getenv(childAddr))
		os.Exit(0)
	}
	redis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

// quiet keeps the client from telling that Redis is gone.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// server is a redis-server.
type server struct {
	addr string
	args []string
	cmd  *exec.Cmd
}

// startServer starts a redis-server that the end of the test kills.
func startServer(t testing.TB, args ...string) *server {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server: on Debian it is in the package redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	args = append([]string{path, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", ""}, args...)
	s := &server{addr: addr, args: args}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// start starts it, again on the same port, and waits until it answers.
func (s *server) start(t testing.TB) {
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	require.NoError(t, s.cmd.Start())
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	require.Eventually(t, func() bool { return c.Ping(bg).Err() == nil }, 20*time.Second, 5*time.Millisecond)
}

// kill ends it as kill -9 does.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

var prefixes atomic.Int64

// patient are Options for machines that are slow.
func patient() rediscache.Options {
	return rediscache.Options{Timeout: 10 * time.Second, Prefix: fmt.Sprintf("test*[%d]:", prefixes.Add(1))}
}

// open opens a Store that the end of the test closes.
func (s *server) open(t testing.TB, o rediscache.Options) *rediscache.Store {
	store := rediscache.New(redis.UniversalOptions{Addrs: []string{s.addr}}, o)
	t.Cleanup(func() { store.Close() })
	return store
}

// client is another client of the same server.
func (s *server) client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	t.Cleanup(func() { c.Close() })
	return c
}
