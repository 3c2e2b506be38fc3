package rediscache_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

// fakeRedis answers the commands of a Store without a network, so that time is that of a bubble,
// until it falls silent: then it reads on, and answers nothing.
type fakeRedis struct {
	silent atomic.Bool
	leaves bool // instead of falling silent it closes the connection
	mu     sync.Mutex
	values map[string]string
	index  []string // field and value, in turn
	ends   []net.Conn
}

func (f *fakeRedis) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	f.mu.Lock()
	f.ends = append(f.ends, far)
	f.mu.Unlock()
	go func() {
		r := bufio.NewReader(far)
		for {
			words, err := readCommand(r)
			if err != nil {
				return
			}
			if !f.silent.Load() {
				go io.WriteString(far, f.answer(words)) // one at a time: the client waits for it
			} else if f.leaves {
				<-time.After(time.Millisecond) // until the client waits for the answer
				far.Close()
				return
			}
		}
	}()
	return near, nil
}

func (f *fakeRedis) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.ends {
		c.Close()
	}
}

func readCommand(r *bufio.Reader) (words []string, err error) {
	n, err := readNumber(r, '*')
	for ; n > 0 && err == nil; n-- {
		var size int
		if size, err = readNumber(r, '$'); err == nil {
			b := make([]byte, size+2)
			_, err = io.ReadFull(r, b)
			words = append(words, string(b[:size]))
		}
	}
	return words, err
}

func readNumber(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil || line[0] != kind {
		return 0, fmt.Errorf("%q: %w", line, err)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func (f *fakeRedis) answer(words []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch strings.ToUpper(words[0]) {
	case "HELLO":
		return "-ERR unknown command\r\n"
	case "SET":
		f.values[words[1]] = words[2]
	case "GET":
		return bulk(f.values[words[1]])
	case "PEXPIRE":
		return ":1\r\n"
	case "EXISTS", "UNLINK":
		return fmt.Sprintf(":%d\r\n", len(words)-1)
	case "EVALSHA": // commit
		f.index = []string{words[4], words[5], "key", words[6]}
		return "$0\r\n\r\n"
	case "HGETALL":
		out := fmt.Sprintf("*%d\r\n", len(f.index))
		for _, v := range f.index {
			out += bulk(v)
		}
		return out
	}
	return "+OK\r\n"
}

// TestRedisFallsSilent: whatever a Store is doing when its Redis falls silent ends within a few
// times Options.Timeout.
func TestRedisFallsSilent(t *testing.T) {
	const timeout = 100 * time.Millisecond
	const size = 3 << 20
	body := content(1, size)
	for name, work := range map[string]func(t *testing.T, s *rediscache.Store, silence func()) (bound time.Duration){
		"Lookup": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			silence()
			_, err := s.Lookup(bg, "k")
			require.Error(t, err)
			return timeout
		},
		"Open": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			list, err := s.Lookup(bg, "k")
			require.NoError(t, err)
			silence()
			_, err = list[0].Open(bg)
			require.Error(t, err)
			return 4 * timeout
		},
		"the middle of a body": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			list, err := s.Lookup(bg, "k")
			require.NoError(t, err)
			b, err := list[0].Open(bg)
			require.NoError(t, err)
			defer b.Close()
			got := make([]byte, size)
			n, err := b.ReadAt(got[:size/2], 0)
			require.NoError(t, err)
			assert.Equal(t, body[:size/2], got[:n])
			silence()
			n, err = b.ReadAt(got, 0)
			require.Error(t, err)
			assert.Equal(t, body[:n], got[:n])
			return 4 * timeout
		},
		"the middle of Write": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			w, err := s.Create(bg, "k", httpcache.Variant{Size: -1})
			require.NoError(t, err)
			_, err = w.Write(body[:size/2])
			require.NoError(t, err)
			silence()
			_, err = w.Write(body[size/2:])
			require.NoError(t, err, "it can be read along")
			require.Error(t, w.Commit(nil))
			require.NoError(t, w.Close())
			return (4 + 1) * timeout
		},
		"Commit": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			w, err := s.Create(bg, "k", httpcache.Variant{Size: -1})
			require.NoError(t, err)
			_, err = w.Write(body)
			require.NoError(t, err)
			silence()
			require.Error(t, w.Commit(nil))
			require.NoError(t, w.Close())
			return (4 + 1) * timeout
		},
		"Update": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			list, err := s.Lookup(bg, "k")
			require.NoError(t, err)
			silence()
			require.Error(t, s.Update(bg, list[0], nil))
			return timeout
		},
		"Remove and Reserve": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			silence()
			require.Error(t, s.Remove(bg, "k"))
			_, waited := s.Reserve(bg, "k")
			assert.False(t, waited)
			return 2 * timeout
		},
		"RemovePrefix": func(t *testing.T, s *rediscache.Store, silence func()) time.Duration {
			silence()
			require.Error(t, s.RemovePrefix(bg, ""))
			return 4 * timeout
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeRedis{values: map[string]string{}}
				s := rediscache.New(redis.UniversalOptions{Addrs: []string{"192.0.2.1:6379"}, Dialer: f.dial, DisableIdentity: true},
					rediscache.Options{Timeout: timeout})
				require.NoError(t, store(s, "k", 1, size))
				stored(t, s, "k", 1, size)
				var began time.Time
				bound := work(t, s, func() {
					f.silent.Store(true)
					began = time.Now()
				})
				assert.LessOrEqual(t, time.Since(began), bound)
				require.NoError(t, s.Close())
				f.close()
				<-time.After(time.Minute) // dials that nobody waits for
				f.close()
			})
		})
	}
}

// TestRedisLeaves: a connection that is closed in the middle of a body is not its end.
func TestRedisLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRedis{values: map[string]string{}, leaves: true}
		s := rediscache.New(redis.UniversalOptions{Addrs: []string{"192.0.2.1:6379"}, Dialer: f.dial, DisableIdentity: true}, rediscache.Options{})
		const size = 3 << 20
		require.NoError(t, store(s, "k", 1, size))
		list, err := s.Lookup(bg, "k")
		require.NoError(t, err)
		b, err := list[0].Open(bg)
		require.NoError(t, err)
		defer b.Close()
		got := make([]byte, size)
		_, err = b.ReadAt(got[:size/2], 0)
		require.NoError(t, err)
		f.silent.Store(true)
		n, err := b.ReadAt(got, 0)
		require.Less(t, n, size)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
		require.NoError(t, s.Close())
		f.close()
	})
}
