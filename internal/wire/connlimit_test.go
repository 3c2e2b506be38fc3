package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// TestConnectionLimit: the limit of connections holds, also after cancelled exchanges, and
// high priority is served first.
func TestConnectionLimit(t *testing.T) {
	const limit, workers, rounds = 4, 50, 20
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		var open, most atomic.Int64
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				runtime.Gosched() // long enough for some to give up
			}
		}))
		b := with(Config{ConnsPerHost: limit, Dialer: &dial.Dialer{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				n := open.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				return &countedConn{Conn: c, closed: func() { open.Add(-1) }}, nil
			}}})
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration((w*7+i*3)%6+1)*time.Millisecond)
					if resp, _, err := b.send(ctx, call{url: s.URL}); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		// a connection is removed from the pool before it is closed, and its successor may
		// be open already
		assert.LessOrEqual(t, most.Load(), int64(2*limit))
		// all connections are available again
		for range 2 * limit {
			_, _, err := b.fetch(call{url: s.URL})
			require.NoError(t, err)
		}
		// and the counts are right, after the end of the last dial
		require.Eventually(t, func() bool {
			b.tr.mu.Lock()
			defer b.tr.mu.Unlock()
			for _, h := range b.tr.pool.hosts {
				if h.open > limit || h.idle.n+h.unused.n != h.open || h.dials > 0 || h.waiters > 0 {
					return false
				}
			}
			return true
		}, 10*time.Second, time.Millisecond)
	})
}

// countedConn reports its Close, once.
type countedConn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

func TestPriorityOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		var mu sync.Mutex
		var order []string
		hold := make(chan struct{})
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
				return
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.URL.Path)
		}))
		b := with(Config{ConnsPerHost: 1})
		var wg sync.WaitGroup
		wg.Go(func() { b.fetch(call{url: s.URL + "/hold"}) })
		waiting := func(n int) {
			require.Eventually(t, func() bool {
				b.tr.mu.Lock()
				defer b.tr.mu.Unlock()
				for _, h := range b.tr.pool.hosts {
					return h.waiters == n && h.open == 1
				}
				return false
			}, 5*time.Second, time.Millisecond)
		}
		waiting(0)
		for i, c := range []call{{prio: Low}, {prio: Normal}, {prio: High}, {prio: Normal}, {prio: High}} {
			c.url = fmt.Sprintf("%s/%d-%d", s.URL, c.prio, i)
			wg.Go(func() { b.fetch(c) })
			waiting(i + 1)
		}
		close(hold)
		wg.Wait()
		assert.Equal(t, []string{"/0-2", "/0-4", "/1-1", "/1-3", "/2-0"}, order)
	})
}

// TestMultiplexing: a burst over HTTP/2 uses one connection, however many streams the server
// allows.
func TestMultiplexing(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.H2, testserver.H2C} {
		t.Run(string(kind), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				var conns atomic.Int64
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, r.URL.Path)
				}))
				s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 5}
				s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						conns.Add(1)
					}
				}
				proto := Negotiate
				if kind == testserver.H2C {
					proto = HTTP2
					s.Config.Protocols = new(http.Protocols)
					s.Config.Protocols.SetUnencryptedHTTP2(true)
					s.Start()
				} else {
					s.EnableHTTP2 = true
					s.StartTLS()
				}
				defer s.Close()
				b := with(Config{})
				if cert := s.Certificate(); cert != nil {
					b.tls = &Profile{Config: &tls.Config{InsecureSkipVerify: true}}
				}
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						path := fmt.Sprintf("/%d", i)
						// before its SETTINGS arrive, a server may refuse streams above its
						// limit; fetch repeats those
						_, body, err := b.fetch(call{url: s.URL + path, proto: proto})
						assert.NoError(t, err)
						assert.Equal(t, path, body)
					})
				}
				wg.Wait()
				// one; two if the burst was faster than the server's SETTINGS
				assert.LessOrEqual(t, conns.Load(), int64(2))
				b.tr.Close()
			})
		})
	}
}

// TestFreedConnectionBeforeOwnDial: a waiting exchange takes the first connection that becomes
// free, and its own dial goes to the pool.
func TestFreedConnectionBeforeOwnDial(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
		slow := make(chan struct{})
		var dials atomic.Int64
		b := with(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 2 {
				<-slow
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}})
		first, _, err := b.send(t.Context(), call{url: s.URL})
		require.NoError(t, err)
		done := make(chan error, 1)
		w := &recorder{}
		go func() {
			_, _, err := b.fetch(call{url: s.URL, watch: w})
			done <- err
		}()
		require.Eventually(t, func() bool { return dials.Load() == 2 }, 5*time.Second, time.Millisecond)
		io.Copy(io.Discard, first.Body)
		first.Body.Close()
		require.NoError(t, <-done, "on the connection that the first gave back")
		close(slow)
		require.Eventually(t, func() bool { return b.tr.Connections() == 2 }, 5*time.Second, time.Millisecond)
		assert.EqualValues(t, 2, dials.Load())
	})
}
