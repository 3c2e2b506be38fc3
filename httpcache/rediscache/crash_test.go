package rediscache_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

func init() { children["work"] = workUntilKilled }

// wrong says what is wrong with an entry: its metadata, a seed, are not those of its body.
// Nothing is wrong with one that is not there any more.
func wrong(e httpcache.Entry) error {
	b, err := e.Open(bg)
	if err != nil {
		return nil
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()+1))
	want := content(e.Meta()[0], int(b.Size()))
	if !bytes.Equal(got, want[:len(got)]) || err == nil && len(got) < len(want) {
		return fmt.Errorf("%d bytes, %v: they are not those that were stored", len(got), err)
	}
	return nil
}

// workUntilKilled stores, reads, updates and removes entries, and complains about what is wrong.
// Errors are none: Redis is killed, too.
func workUntilKilled(addr string) {
	redis.SetLogger(quiet{})
	s := rediscache.New(redis.UniversalOptions{Addrs: []string{addr}}, rediscache.Options{Timeout: time.Second, TTL: time.Hour, Grace: time.Minute})
	for n := 0; ; n++ {
		key := fmt.Sprint("k", rand.N(10))
		size := []int{0, 1000, 300_000, 3 << 20}[rand.N(4)]
		switch rand.N(8) {
		case 0:
			s.Remove(bg, key)
		case 1: // half
			if w, err := s.Create(bg, key, httpcache.Variant{Size: -1}); err == nil && w != nil {
				w.Write(content(1, size))
				w.Close()
			}
		case 2, 3, 4:
			list, _ := s.Lookup(bg, key)
			for _, e := range list {
				if err := wrong(e); err != nil {
					fmt.Fprintln(os.Stderr, key, err)
				}
				s.Update(bg, e, append([]byte{}, e.Meta()...))
			}
		default:
			store(s, key, byte(rand.N(250)), size)
		}
		if n%5 == 0 {
			fmt.Println(n)
		}
	}
}

// TestKilledWriters kills processes that use one Redis, and Redis itself, again and again.
// Nothing is ever served that was not stored, and all that is in Redis goes by itself.
func TestKilledWriters(t *testing.T) {
	server := startServer(t, "--appendonly", "yes")
	for round := range 6 {
		var all []*exec.Cmd
		var errs []*strings.Builder
		for range 3 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), child+"=work", childAddr+"="+server.addr)
			said := &strings.Builder{}
			cmd.Stderr = said
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			all, errs = append(all, cmd), append(errs, said)
			line := make([]byte, 1)
			_, err = io.ReadFull(out, line)
			require.NoError(t, err)
			go io.Copy(io.Discard, out)
		}
		if round%2 == 1 { // Redis first
			server.kill()
			server.start(t)
		}
		for _, cmd := range all {
			cmd.Process.Kill()
		}
		for i, cmd := range all {
			cmd.Wait()
			require.Empty(t, errs[i].String())
		}
		s := rediscache.New(redis.UniversalOptions{Addrs: []string{server.addr}}, rediscache.Options{Timeout: 10 * time.Second})
		entries := 0
		for _, e := range s.All(bg) {
			require.NoError(t, wrong(e))
			entries++
		}
		c := redis.NewClient(&redis.Options{Addr: server.addr})
		names, err := c.Keys(bg, "*").Result()
		require.NoError(t, err)
		for _, name := range names {
			ttl, err := c.PTTL(bg, name).Result()
			require.NoError(t, err)
			require.NotEqual(t, time.Duration(-1), ttl, "%s stays forever", name)
			require.LessOrEqual(t, ttl, time.Hour+time.Minute)
		}
		require.NoError(t, c.Close())
		require.NoError(t, s.Close())
		if round == 5 {
			assert.Positive(t, entries)
		}
	}
}
