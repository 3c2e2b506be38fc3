package rediscache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/rediscache"
)

// content makes n bytes that differ with the seed.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func store(s httpcache.Store, key string, seed byte, size int) error {
	w, err := s.Create(bg, key, httpcache.Variant{Size: int64(size)})
	if err != nil || w == nil {
		return fmt.Errorf("Create: %v, %w", w, err)
	}
	defer w.Close()
	if _, err := w.Write(content(seed, size)); err != nil {
		return err
	}
	return w.Commit([]byte{seed})
}

// read reads the only entry of a key.
func read(s httpcache.Store, key string) (seed byte, body []byte, err error) {
	list, err := s.Lookup(bg, key)
	if err != nil {
		return 0, nil, err
	}
	if len(list) != 1 {
		return 0, nil, fmt.Errorf("%d entries", len(list))
	}
	b, err := list[0].Open(bg)
	if err != nil {
		return 0, nil, err
	}
	defer b.Close()
	body, err = io.ReadAll(io.NewSectionReader(b, 0, b.Size()+1))
	return list[0].Meta()[0], body, err
}

// stored wants an entry to be whole.
func stored(t testing.TB, s httpcache.Store, key string, seed byte, size int) {
	got, body, err := read(s, key)
	require.NoError(t, err)
	require.Equal(t, seed, got)
	require.True(t, bytes.Equal(content(seed, size), body))
}

// unused returns an address on which nobody listens.
func unused(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// works wants a Store without Redis to do what it can: what is written can be read
// along, and nothing else than an error says that it is not stored.
func works(t testing.TB, s httpcache.Store) {
	const size = 3 << 20
	w, err := s.Create(bg, "k", httpcache.Variant{Size: size})
	require.NoError(t, err)
	if w != nil { // else it knows already
		for b := content(1, size); len(b) > 0; b = b[min(len(b), 100_000):] {
			_, err := w.Write(b[:min(len(b), 100_000)])
			require.NoError(t, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(w, 0, size+1))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content(1, size), got))
		n, err := w.ReadAt(got[:1000], 1<<20-500)
		require.NoError(t, err)
		assert.Equal(t, content(1, size)[1<<20-500:][:n], got[:1000])
		require.Error(t, w.Commit(nil))
		require.NoError(t, w.Close())
	}
	_, err = s.Lookup(bg, "k")
	require.Error(t, err)
	require.Error(t, s.Remove(bg, "k"))
	require.Error(t, s.RemovePrefix(bg, ""))
	release, waited := s.(httpcache.Reserver).Reserve(bg, "k")
	assert.False(t, waited)
	release()
	_, err = s.(httpcache.Lister).Size(bg)
	require.Error(t, err)
	for range s.(httpcache.Lister).All(bg) {
		t.Error("All yields something")
	}
}

// TestWithoutRedis: a Store whose Redis was never there.
func TestWithoutRedis(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := rediscache.New(redis.UniversalOptions{Addrs: []string{unused(t)}}, rediscache.Options{})
	works(t, s)
	works(t, s)
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	require.NoError(t, err)
	assert.Empty(t, files)
	require.NoError(t, s.Close())

	zero := &rediscache.Store{}
	_, err = zero.Lookup(bg, "k")
	require.Error(t, err)
	_, err = zero.Create(bg, "k", httpcache.Variant{})
	require.Error(t, err)
	require.Error(t, zero.Remove(bg, "k"))
	require.NoError(t, zero.Update(bg, nil, nil))
	require.NoError(t, zero.Close())
	require.NoError(t, (*rediscache.Store)(nil).Close())
}

// TestKilledRedis: the Store does without a Redis that was killed, and uses it again when it
// is back, with what it has kept.
func TestKilledRedis(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		var args []string
		if keeps {
			args = []string{"--appendonly", "yes", "--appendfsync", "always"}
		}
		server := startServer(t, args...)
		s := server.open(t, rediscache.Options{Timeout: 10 * time.Second})
		const size = 3 << 20
		require.NoError(t, store(s, "k", 1, 100_000))
		require.NoError(t, store(s, "large", 2, size))

		// in the middle of reading and writing
		list, err := s.Lookup(bg, "large")
		require.NoError(t, err)
		body, err := list[0].Open(bg)
		require.NoError(t, err)
		got := make([]byte, size)
		_, err = body.ReadAt(got[:1000], 0)
		require.NoError(t, err)
		small, err := s.Lookup(bg, "k")
		require.NoError(t, err)
		open, err := small[0].Open(bg)
		require.NoError(t, err)
		half, err := s.Create(bg, "half", httpcache.Variant{Size: -1})
		require.NoError(t, err)
		_, err = half.Write(content(3, size)[:size/2])
		require.NoError(t, err)
		release, waited := s.Reserve(bg, "k")
		require.False(t, waited)

		server.kill()
		n, err := body.ReadAt(got, 0)
		require.Error(t, err)
		assert.True(t, bytes.Equal(content(2, size)[:n], got[:n]))
		n, err = open.ReadAt(got[:100_000], 0)
		require.NoError(t, err, "a small body was loaded when it was opened")
		assert.True(t, bytes.Equal(content(1, 100_000), got[:n]))
		works(t, s)
		release()

		server.start(t)
		require.Eventually(t, func() bool { _, err := s.Lookup(bg, "k"); return err == nil }, 20*time.Second, 10*time.Millisecond)
		_, err = half.Write(content(3, size)[size/2:])
		require.NoError(t, err)
		if half.Commit([]byte{3}) == nil {
			stored(t, s, "half", 3, size)
		}
		require.NoError(t, half.Close())
		if keeps {
			stored(t, s, "k", 1, 100_000)
			stored(t, s, "large", 2, size)
			_, err = body.ReadAt(got, 0)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content(2, size), got))
		} else {
			_, err = body.ReadAt(got, 0)
			require.ErrorIs(t, err, httpcache.ErrDamaged)
			list, err := s.Lookup(bg, "k")
			require.NoError(t, err)
			assert.Empty(t, list)
		}
		require.NoError(t, store(s, "k", 4, 1000))
		stored(t, s, "k", 4, 1000)
	}
}

// TestLostWhileWriting: Redis has forgotten parts before Commit.
func TestLostWhileWriting(t *testing.T) {
	server := startServer(t)
	s := server.open(t, patient())
	w, err := s.Create(bg, "k", httpcache.Variant{Size: -1})
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Write(content(1, 600_000))
	require.NoError(t, err)
	require.NoError(t, server.client(t).FlushAll(bg).Err())
	require.Error(t, w.Commit([]byte{1}))
	list, err := s.Lookup(bg, "k")
	require.NoError(t, err)
	assert.Empty(t, list)
}

// TestLostParts: an entry of which Redis has forgotten a part is removed when that is found.
func TestLostParts(t *testing.T) {
	server := startServer(t)
	c := server.client(t)
	for _, size := range []int{1000, 600_000, 3 << 20} {
		o := patient()
		s := server.open(t, o)
		require.NoError(t, store(s, "k", 1, size))
		all := parts(t, c, o.Prefix)
		require.Len(t, all, (size+(256<<10)-1)/(256<<10))
		require.NoError(t, c.Del(bg, all[len(all)/2]).Err())
		list, err := s.Lookup(bg, "k")
		require.NoError(t, err)
		require.Len(t, list, 1)
		_, err = list[0].Open(bg)
		require.ErrorIs(t, err, httpcache.ErrDamaged)
		list, err = s.Lookup(bg, "k")
		require.NoError(t, err)
		assert.Empty(t, list)
	}
}

// TestOldEntryIsLost: what has become of a body that was replaced is nothing to its successor.
func TestOldEntryIsLost(t *testing.T) {
	server := startServer(t)
	o := patient()
	s := server.open(t, o)
	require.NoError(t, store(s, "k", 1, 1000))
	list, err := s.Lookup(bg, "k")
	require.NoError(t, err)
	c := server.client(t)
	require.NoError(t, c.Del(bg, parts(t, c, o.Prefix)...).Err())
	require.NoError(t, store(s, "k", 2, 1000))
	_, err = list[0].Open(bg)
	require.ErrorIs(t, err, httpcache.ErrDamaged)
	stored(t, s, "k", 2, 1000)
}

// TestSilentRedis: a Redis that accepts connections and says nothing costs each exchange
// Options.Timeout, and after three of them nothing but one in a second.
func TestSilentRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []net.Conn
		dialed := make(chan net.Conn, 100)
		s := rediscache.New(redis.UniversalOptions{
			Addrs: []string{"192.0.2.1:6379"},
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go io.Copy(io.Discard, far)
				dialed <- far
				return near, nil
			},
		}, rediscache.Options{Timeout: 70 * time.Millisecond})
		took := func() time.Duration {
			began := time.Now()
			_, err := s.Lookup(bg, "k")
			require.Error(t, err)
			return time.Since(began)
		}
		for range 3 {
			assert.Equal(t, 70*time.Millisecond, took())
		}
		assert.Zero(t, took())
		w, err := s.Create(bg, "k", httpcache.Variant{Size: 10})
		require.NoError(t, err)
		assert.Nil(t, w, "nothing is written that cannot be stored")
		began := time.Now()
		_, waited := s.Reserve(bg, "k")
		assert.False(t, waited)
		assert.Zero(t, time.Since(began))
		<-time.After(time.Second)
		trial := make(chan time.Duration)
		go func() { trial <- took() }()
		synctest.Wait()
		assert.Zero(t, took(), "one tries, the others do not wait for it")
		assert.Equal(t, 70*time.Millisecond, <-trial)
		assert.Zero(t, took())
		require.NoError(t, s.Close())
		for len(dialed) > 0 {
			ends = append(ends, <-dialed)
		}
		for _, c := range ends {
			c.Close()
		}
		<-time.After(time.Minute) // dials that nobody waits for
		for len(dialed) > 0 {
			(<-dialed).Close()
		}
	})
}
