package rediscache_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

func init() {
	children["fetch"] = fetchAll
	children["reserve"] = reserveAndHang
}

// process starts this test binary. Its output has its lines.
func process(t testing.TB, what, addr string) (*exec.Cmd, *bufio.Scanner) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+what, childAddr+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

const fetchedKeys = 20

// fetchAll fetches what is missing, as a cache would. It counts in Redis how often.
func fetchAll(addr string) {
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	s := rediscache.New(redis.UniversalOptions{Addrs: []string{addr}}, rediscache.Options{Timeout: 10 * time.Second, Wait: time.Minute, Lease: time.Minute})
	defer s.Close()
	var all sync.WaitGroup
	for n := range fetchedKeys {
		all.Go(func() {
			key := fmt.Sprint("k", n)
			if _, _, err := read(s, key); err == nil {
				return
			}
			release, waited := s.Reserve(bg, key)
			defer release()
			if _, body, err := read(s, key); err == nil {
				fmt.Println(len(body))
				return
			}
			if waited {
				fmt.Println("waited in vain")
			}
			c.Incr(bg, "fetches of "+key)
			if err := store(s, key, byte(n), 300_000); err != nil {
				fmt.Println(err)
			}
		})
	}
	all.Wait()
	for n := range fetchedKeys {
		seed, body, err := read(s, fmt.Sprint("k", n))
		if err != nil || seed != byte(n) || string(body) != string(content(seed, 300_000)) {
			fmt.Println("wrong:", seed, len(body), err)
		}
	}
	fmt.Println("done")
}

// TestOneFetches: of several processes that miss an entry, one fetches it.
func TestOneFetches(t *testing.T) {
	server := startServer(t)
	var all []*bufio.Scanner
	for range 3 {
		_, lines := process(t, "fetch", server.addr)
		all = append(all, lines)
	}
	for _, lines := range all {
		for lines.Scan() && lines.Text() != "done" {
			assert.Equal(t, "300000", lines.Text())
		}
		assert.Equal(t, "done", lines.Text())
	}
	c := server.client(t)
	for n := range fetchedKeys {
		count, err := c.Get(bg, fmt.Sprint("fetches of k", n)).Int()
		require.NoError(t, err)
		assert.Equal(t, 1, count)
	}
}

func reserveAndHang(addr string) {
	s := rediscache.New(redis.UniversalOptions{Addrs: []string{addr}}, rediscache.Options{Timeout: 10 * time.Second, Lease: 300 * time.Millisecond})
	_, waited := s.Reserve(bg, "k")
	fmt.Println(waited)
	io.Copy(io.Discard, os.Stdin)
	select {}
}

// TestDeadFetcher: the reservation of a process that was killed ends by itself.
func TestDeadFetcher(t *testing.T) {
	server := startServer(t)
	s := server.open(t, rediscache.Options{Timeout: 10 * time.Second, Wait: 20 * time.Second})
	cmd, lines := process(t, "reserve", server.addr)
	require.True(t, lines.Scan())
	require.Equal(t, "false", lines.Text())
	cmd.Process.Kill()
	_, waited := s.Reserve(bg, "k")
	assert.True(t, waited)
	leases, err := server.client(t).Keys(bg, "netreply:*:lease").Result()
	require.NoError(t, err)
	assert.Empty(t, leases, "it has waited until the lease had expired")
	release, waited := s.Reserve(bg, "k")
	assert.False(t, waited)
	release()
}

// TestReserveBound: Reserve does not wait longer than it should for who holds on.
func TestReserveBound(t *testing.T) {
	server := startServer(t)
	s := server.open(t, rediscache.Options{Timeout: 10 * time.Second, Wait: 50 * time.Millisecond, Lease: time.Hour})
	release, waited := s.Reserve(bg, "k")
	require.False(t, waited)
	_, waited = s.Reserve(bg, "k") // returns
	assert.True(t, waited)
	release()
}

// TestLateRelease: who releases a reservation that has expired does not release that of another.
func TestLateRelease(t *testing.T) {
	server := startServer(t)
	short := server.open(t, rediscache.Options{Timeout: 10 * time.Second, Lease: time.Millisecond})
	s := server.open(t, rediscache.Options{Timeout: 10 * time.Second, Lease: time.Hour, Wait: 50 * time.Millisecond})
	late, waited := short.Reserve(bg, "k")
	require.False(t, waited)
	var release func()
	require.Eventually(t, func() bool { release, waited = s.Reserve(bg, "k"); return !waited }, 20*time.Second, time.Millisecond)
	late()
	_, waited = s.Reserve(bg, "k")
	assert.True(t, waited)
	release()
}

// TestExpiry: everything in Redis expires, bodies after the entries that they belong to.
func TestExpiry(t *testing.T) {
	server := startServer(t)
	o := patient()
	o.TTL, o.Grace = time.Hour, time.Minute
	s := server.open(t, o)
	c := server.client(t)
	const parts = 3
	expiry := func(least, most time.Duration, want int, suffix string) {
		t.Helper()
		all, err := c.Keys(bg, "*").Result()
		require.NoError(t, err)
		n := 0
		for _, name := range all {
			ttl, err := c.PTTL(bg, name).Result()
			require.NoError(t, err)
			require.Positive(t, ttl, name)
			if strings.HasSuffix(name, "}") == (suffix == "}") {
				n++
				require.Greater(t, ttl, least)
				require.LessOrEqual(t, ttl, most)
			}
		}
		require.Equal(t, want, n)
	}
	w, err := s.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	_, err = w.Write(content(1, 600_000))
	require.NoError(t, err)
	expiry(0, o.Grace, parts-1, "") // the last one is not sent yet
	require.NoError(t, w.Commit([]byte{1}))
	require.NoError(t, w.Close())
	expiry(o.TTL-o.Grace, o.TTL, 1, "}")
	expiry(o.TTL, o.TTL+o.Grace, parts, "")

	for _, name := range func() []string { all, _ := c.Keys(bg, "*").Result(); return all }() {
		require.NoError(t, c.PExpire(bg, name, 10*time.Second).Err())
	}
	list, err := s.Lookup(bg, "k")
	require.NoError(t, err)
	require.NoError(t, s.Update(bg, list[0], []byte{2}))
	expiry(o.TTL-o.Grace, o.TTL, 1, "}")
	expiry(o.TTL, o.TTL+o.Grace, parts, "")

	require.NoError(t, s.Update(bg, list[0], []byte{3})) // too late, and of the body that is in use
	expiry(o.TTL, o.TTL+o.Grace, parts, "")

	require.NoError(t, store(s, "k", 3, 0))
	expiry(0, o.Grace, parts, "") // of the one that was replaced
	require.NoError(t, s.Update(bg, list[0], []byte{3}))
	expiry(0, o.Grace, parts, "")
	require.NoError(t, c.FlushAll(bg).Err())

	require.NoError(t, store(s, "k", 1, 600_000))
	require.NoError(t, s.Remove(bg, "k"))
	expiry(0, o.Grace, parts, "")
	expiry(0, 0, 0, "}")
	require.NoError(t, c.FlushAll(bg).Err())

	w, err = s.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	_, err = w.Write(content(1, 600_000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	expiry(0, 0, 0, "")
}

// TestTooLarge: bodies of more than Options.MaxEntry are refused.
func TestTooLarge(t *testing.T) {
	server := startServer(t)
	o := patient()
	o.MaxEntry = 1000
	s := server.open(t, o)
	w, err := s.Create(bg, "k", httpcache.Variant{Size: 1001})
	require.NoError(t, err)
	assert.Nil(t, w)
	require.NoError(t, store(s, "k", 1, 1000))
	w, err = s.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Write(content(1, 1001))
	require.Error(t, err)
	require.Error(t, w.Commit(nil))
	stored(t, s, "k", 1, 1000)
}
