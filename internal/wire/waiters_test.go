package wire

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestFreshIsNotPassedOver: a Fresh exchange is served before later ones that accept any
// connection.
func TestFreshIsNotPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTransport(Config{Dialer: noDialer(), ConnsPerHost: 2})
		defer tr.Close()
		key := Key{Scheme: "http", Addr: "h:80"}
		take := func(fresh bool) *conn {
			c, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, Key: key, Fresh: fresh})
			require.NoError(t, err)
			return c
		}
		var busy []*conn
		for range 2 {
			introduceScripted(tr, key, false, &scripted{})
			c := take(false)
			busy = append(busy, c)
		}
		tr.mu.Lock()
		h := tr.pool.host(key)
		var list []*waiter
		for _, fresh := range []bool{false, true, false, false} {
			list = append(list, h.enqueue(&waiter{x: &Exchange{Observer: &recorder{}, Priority: Normal, Key: key, Fresh: fresh}}))
		}
		tr.mu.Unlock()
		expect := func(n int, dials int) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			for i, w := range list {
				assert.Equal(t, i < n && i != 1, w.done, "waiter %d", i)
			}
			assert.Equal(t, dials, h.shared)
		}
		tr.endExchange(busy[0], true)
		expect(1, 0) // the first one, which accepts any
		tr.endExchange(busy[1], true)
		expect(1, 1) // it ends to make room
		tr.endExchange(busy[0], true)
		expect(3, 1) // the next one
		introduceScripted(tr, key, false, &scripted{})
		tr.mu.Lock()
		assert.True(t, list[1].done, "it gets the connection opened for it")
		tr.mu.Unlock()
	})
}

// TestSlowObserver: an exchange with a slow observer, whose dials are assigned to others,
// blocks no other exchange, and finally gets a connection.
func TestSlowObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTransport(Config{Dialer: noDialer()})
		defer tr.Close()
		key := Key{Scheme: "https", Addr: "h:443", Profile: new(Profile)}
		tr.mu.Lock()
		h := tr.pool.host(key)
		w := h.enqueue(&waiter{x: &Exchange{Observer: &recorder{}, Priority: Low, Key: key}})
		tr.mu.Unlock()
		for range 20 {
			d := &dialing{host: h, owner: w}
			tr.report(d, func(n *news) { n.connecting = true })
			tr.report(d, func(n *news) { n.encrypted = &tls.ConnectionState{} })
		}
		c := introduceScripted(tr, key, false, &scripted{})
		<-w.wake
		assert.Same(t, c, w.takeNews().conn)
		assert.Empty(t, w.wake)
	})
}

// TestConnectionEndsWhileOpening: a connection may end while it is still being opened; the race
// detector checks this.
func TestConnectionEndsWhileOpening(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.WriteString(c, "neither HTTP/1 nor HTTP/2") })
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		for _, proto := range []Protocol{HTTP1, HTTP2} {
			for range 50 {
				_, _, err := b.fetch(call{url: s.URL(), proto: proto})
				require.Error(t, err)
			}
		}
		assert.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestOpenIsGivenUp: a connection that is assigned to a cancelled Open still counts as
// unused.
func TestOpenIsGivenUp(t *testing.T) {
	tr := NewTransport(Config{Dialer: noDialer()})
	defer tr.Close()
	key := Key{Scheme: "http", Addr: "h:80"}
	tr.mu.Lock()
	h := tr.pool.host(key)
	w := h.enqueue(&waiter{x: &Exchange{Priority: Low, Fresh: true}, open: true})
	tr.mu.Unlock()
	c := introduceScripted(tr, key, false, &scripted{})
	tr.leave(context.Background(), w)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	require.Zero(t, c.uses)
	require.Same(t, c, h.unused.first)
}

// TestPeerWithoutStreams: waiting for a connection whose peer allows no streams is not
// waiting in the queue, and at its end another one is opened for the waiters.
func TestPeerWithoutStreams(t *testing.T) {
	for name, end := range map[string]func(*Transport){
		"idle for too long": func(*Transport) { time.Sleep(time.Minute) },
		"CloseIdle":         (*Transport).CloseIdle,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := NewTransport(Config{Dialer: noDialer(), IdleTimeout: time.Minute})
				defer tr.Close()
				key := Key{Scheme: "http", Addr: "h:80", Protocol: HTTP2}
				s := &scripted{}
				s.streams.Store(1)
				c := introduceScripted(tr, key, true, s)
				first, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, Key: key})
				require.NoError(t, err)
				x := &Exchange{Observer: &recorder{}, Priority: Normal, Key: key}
				tr.mu.Lock()
				h := c.host
				w := h.enqueue(&waiter{x: x})
				x.waiter = w
				tr.mu.Unlock()
				assert.Equal(t, time.Now(), tr.LastQueued(x), "the exchange on it will end")
				s.streams.Store(0)
				tr.connChanged(c)
				time.Sleep(time.Second)
				emptied := time.Now()
				tr.endExchange(first, true)
				time.Sleep(time.Second)
				assert.Equal(t, emptied, tr.LastQueued(x), "it may never take one again")
				end(tr)
				synctest.Wait()
				assert.True(t, s.closed.Load())
				tr.mu.Lock()
				defer tr.mu.Unlock()
				assert.NotNil(t, w.dial)
				assert.Equal(t, 1, h.shared)
			})
		})
	}
}

// TestLastQueuedWithConnection: for an exchange that has waited in the queue, LastQueued is
// the time when it got its connection.
func TestLastQueuedWithConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTransport(Config{Dialer: noDialer(), ConnsPerHost: 1})
		defer tr.Close()
		key := Key{Scheme: "http", Addr: "h:80"}
		c := introduceScripted(tr, key, false, &scripted{})
		first, err := tr.acquire(t.Context(), &Exchange{Observer: &recorder{}, Priority: Normal, Key: key})
		require.NoError(t, err)
		require.Same(t, c, first)
		x := &Exchange{Observer: &recorder{}, Priority: Normal, Key: key}
		got := make(chan *conn)
		go func() {
			c, _ := tr.acquire(t.Context(), x)
			<-got
			got <- c
		}()
		synctest.Wait()
		time.Sleep(time.Hour)
		tr.endExchange(first, true)
		now := time.Now()
		assert.Equal(t, now, tr.LastQueued(x))
		time.Sleep(time.Second)
		assert.Equal(t, now, tr.LastQueued(x))
		got <- nil
		second := <-got
		require.Same(t, c, second)
		tr.endExchange(second, true)
	})
}
