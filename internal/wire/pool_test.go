package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// scripted is a connection controlled by a test.
type scripted struct {
	streams atomic.Int64
	going   atomic.Bool
	stuck   chan struct{} // if not nil, its methods wait for this
	closed  atomic.Bool
	spoilt  bool // unexpected bytes were received
	end     chan struct{}
}

func (s *scripted) roundTrip(*http.Request, *Exchange) (*http.Response, error) {
	return nil, errors.New("not for that")
}
func (s *scripted) fault(err error, _ Phase, _ *Exchange) error { return err }
func (s *scripted) room() (int, bool)                           { return int(s.streams.Load()), !s.going.Load() }
func (s *scripted) reusable() (bool, time.Duration) {
	if s.stuck != nil {
		<-s.stuck
	}
	return true, 0
}
func (s *scripted) stillIdle() bool        { return !s.spoilt }
func (s *scripted) ended() <-chan struct{} { return s.end }
func (s *scripted) exchangeDone()          {}
func (s *scripted) close() {
	if s.stuck != nil {
		<-s.stuck
	}
	s.closed.Store(true)
}

// introduceScripted adds a scripted connection to a pool like a dialled one.
func introduceScripted(t *Transport, key Key, http2 bool, s *scripted) *conn {
	near, far := net.Pipe()
	far.Close()
	t.mu.Lock()
	defer t.unlock()
	c := &conn{connection: s, host: t.pool.host(key), nc: near, http2: http2}
	t.pool.add(c)
	c.host.placeNew(c, time.Now())
	return c
}

// noDialer is for pools without dials.
func noDialer() *dial.Dialer {
	return &dial.Dialer{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
}

// TestHangingConnection: a connection whose Close or liveness check hangs does not block
// other exchanges, and Transport.Close does not wait forever.
func TestHangingConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTransport(Config{Dialer: noDialer(), ConnsPerHost: 1})
		bad, good := &scripted{stuck: make(chan struct{})}, &scripted{}
		introduceScripted(tr, Key{Scheme: "http", Addr: "bad:80"}, false, bad)
		introduceScripted(tr, Key{Scheme: "http", Addr: "good:80"}, false, good)
		x := &Exchange{Observer: &recorder{}, Priority: Normal, Key: Key{Scheme: "http", Addr: "bad:80"}}
		c, err := tr.acquire(t.Context(), x)
		require.NoError(t, err)
		go tr.endExchange(c, true)
		synctest.Wait() // it checks whether the connection can be reused

		x = &Exchange{Observer: &recorder{}, Priority: Normal, Key: Key{Scheme: "http", Addr: "good:80"}}
		for range 3 {
			c, err := tr.acquire(t.Context(), x)
			require.NoError(t, err)
			tr.endExchange(c, true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = tr.acquire(ctx, &Exchange{Observer: &recorder{}, Priority: Normal, Key: Key{Scheme: "http", Addr: "bad:80"}})
		require.ErrorIs(t, err, context.DeadlineExceeded, "a waiter ends with its own context")

		start := time.Now()
		tr.Close()
		assert.Equal(t, closeLimit, time.Since(start))
		assert.True(t, good.closed.Load())
		close(bad.stuck)
		synctest.Wait()
		assert.True(t, bad.closed.Load())
	})
}

// TestIdleExpiry: each connection is closed at the end of its idle time, with any number of
// connections; use restarts the time.
func TestIdleExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hosts = 3 * expiryBatch
		tr := NewTransport(Config{Dialer: noDialer(), IdleTimeout: time.Minute})
		defer tr.Close()
		key := func(i int) Key { return Key{Scheme: "http", Addr: fmt.Sprintf("h%d:80", i)} }
		use := func(i int, limit time.Duration) {
			c, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, IdleTimeout: limit, Key: key(i)})
			require.NoError(t, err)
			tr.endExchange(c, true)
		}
		for i := range hosts {
			introduceScripted(tr, key(i), false, &scripted{})
		}
		time.Sleep(30 * time.Second)
		use(0, 0)
		use(1, 10*time.Second)
		busy, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, Key: key(2)})
		require.NoError(t, err)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Equal(t, hosts-1, tr.Connections(), "one has a shorter time")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, tr.Connections(), "one was used meanwhile, one is busy")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, tr.Connections())
		tr.endExchange(busy, true)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		require.Zero(t, tr.Connections())
		tr.mu.Lock()
		defer tr.mu.Unlock()
		assert.Empty(t, tr.pool.hosts)
		assert.Empty(t, tr.pool.expiry.due)
	})
}

// TestStreams: an HTTP/2 connection carries as many exchanges as its peer allows, also
// after changes, and is closed after the last one when the peer accepts no more.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTransport(Config{Dialer: noDialer()})
		defer tr.Close()
		s := &scripted{}
		s.streams.Store(2)
		key := Key{Scheme: "http", Addr: "h:80", Protocol: HTTP2}
		c := introduceScripted(tr, key, true, s)
		got := make(chan *conn, 10)
		take := func() {
			go func() {
				if c, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, Key: key}); err == nil {
					got <- c
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			take()
		}
		require.Len(t, got, 2)
		s.streams.Store(3)
		tr.connChanged(c)
		synctest.Wait()
		require.Len(t, got, 3)
		tr.endExchange(<-got, true)
		synctest.Wait()
		require.Len(t, got, 3, "the place went to the next")
		s.streams.Store(0)
		tr.connChanged(c)
		tr.endExchange(<-got, true)
		synctest.Wait()
		require.Len(t, got, 2)
		s.streams.Store(100)
		tr.connChanged(c)
		synctest.Wait()
		require.Len(t, got, 3)
		s.going.Store(true)
		tr.connChanged(c)
		take()
		require.Len(t, got, 3, "later exchanges wait for another connection")
		for range 3 {
			require.False(t, s.closed.Load())
			tr.endExchange(<-got, true)
		}
		synctest.Wait()
		require.True(t, s.closed.Load())
	})
}

// TestBytesOnIdleConnection: bytes on an idle connection make it unusable; on a new one,
// also after a question, they belong to the handshake.
func TestBytesOnIdleConnection(t *testing.T) {
	tr := NewTransport(Config{Dialer: noDialer()})
	defer tr.Close()
	key := Key{Scheme: "http", Addr: "h:80"}
	introduceScripted(tr, key, false, &scripted{spoilt: true}).delayed = true
	x := &Exchange{Observer: &recorder{}, Priority: Normal, Key: key}
	c, err := tr.acquire(t.Context(), x)
	require.NoError(t, err)
	require.True(t, x.Conn.Reused, "its server may have closed it like an idle connection")
	require.True(t, tr.stillUsable(c, x))
	tr.endExchange(c, true)
	c, err = tr.acquire(t.Context(), x)
	require.NoError(t, err)
	require.False(t, tr.stillUsable(c, x))
	require.Zero(t, tr.Connections())
}

// TestFreshConnectionAtLimit: a Fresh exchange gets a new connection although the limit is
// reached by used, idle ones.
func TestFreshConnectionAtLimit(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
		b := with(Config{ConnsPerHost: 1})
		first, _, err := b.send(t.Context(), call{url: s.URL})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, _, err := b.fetch(call{url: s.URL, fresh: true})
			done <- err
		}()
		require.Eventually(t, func() bool {
			b.tr.mu.Lock()
			defer b.tr.mu.Unlock()
			for _, h := range b.tr.pool.hosts {
				return h.waiters == 1
			}
			return false
		}, 10*time.Second, time.Millisecond)
		io.Copy(io.Discard, first.Body)
		first.Body.Close()
		require.NoError(t, <-done)
	})
}

// TestLeaveEndsQuestion: a dial does not wait for the answer of an exchange that does not
// wait any more.
func TestLeaveEndsQuestion(t *testing.T) {
	tr := NewTransport(Config{Dialer: noDialer()})
	defer tr.Close()
	tr.mu.Lock()
	h := tr.pool.host(Key{Scheme: "http", Addr: "h:80"})
	w := h.enqueue(&waiter{x: &Exchange{}})
	tr.mu.Unlock()
	q := &Question{seen: make(chan struct{})}
	w.news.question = q
	tr.leave(context.Background(), w)
	<-q.seen
}

// BenchmarkLeave: the cost of leaving does not depend on the number of waiters.
func BenchmarkLeave(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tr := NewTransport(Config{Dialer: noDialer(), ConnsPerHost: 1})
			defer tr.Close()
			tr.mu.Lock()
			h := tr.pool.host(Key{Scheme: "http", Addr: "h:80"})
			for range n {
				h.enqueue(&waiter{x: &Exchange{Priority: Normal}})
			}
			tr.mu.Unlock()
			for b.Loop() {
				tr.mu.Lock()
				w := h.enqueue(&waiter{x: &Exchange{Priority: Normal}})
				tr.mu.Unlock()
				tr.leave(context.Background(), w)
			}
		})
	}
}

// BenchmarkExpiry: the cost of an idle connection, with many other hosts.
func BenchmarkExpiry(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tr := NewTransport(Config{Dialer: noDialer()})
			defer tr.Close()
			for i := range n {
				introduceScripted(tr, Key{Scheme: "http", Addr: fmt.Sprintf("h%d:80", i)}, false, &scripted{})
			}
			x := &Exchange{Observer: &recorder{}, Priority: Normal, Key: Key{Scheme: "http", Addr: "h7:80"}}
			for b.Loop() {
				c, err := tr.acquire(b.Context(), x)
				if err != nil {
					b.Fatal(err)
				}
				tr.endExchange(c, true)
			}
		})
	}
}
