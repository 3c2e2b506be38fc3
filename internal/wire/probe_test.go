package wire

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestProbeInterval: probes become rarer.
func TestProbeInterval(t *testing.T) {
	var total []time.Duration
	at := time.Duration(0)
	for n := range 6 {
		at += probeInterval(n)
		total = append(total, at)
	}
	assert.Equal(t, []time.Duration{250 * time.Millisecond, 1250 * time.Millisecond, 5250 * time.Millisecond, 21250 * time.Millisecond, 37250 * time.Millisecond, 53250 * time.Millisecond}, total)
}

// TestProbe: an idle connection that nothing reads is removed soon after its server has
// closed it, under TLS, too, and stays as long as it has not.
func TestProbe(t *testing.T) {
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	server := origin.TLS.Clone()
	server.NextProtos = []string{"http/1.1"}
	for _, secure := range []bool{false, true} {
		hangUp := make(chan struct{})
		serve := func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			<-hangUp
			if c.N == 2 { // one that says something first
				c.Say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
			}
		}
		s := testserver.NewRaw(t, nil, serve)
		url := s.URL()
		if secure {
			s = testserver.NewRaw(t, server, serve)
			url = "https://" + s.Addr
		}
		b := ownRig(t)
		b.tls = &Profile{Config: cfg}
		var bodies []io.ReadCloser
		for range 2 { // at the same time, on two connections
			resp, _, err := b.send(t.Context(), call{url: url})
			require.NoError(t, err)
			bodies = append(bodies, resp.Body)
		}
		for _, body := range bodies {
			_, err := io.ReadAll(body)
			require.NoError(t, err)
		}
		probed := func() (all bool) {
			b.tr.mu.Lock()
			defer b.tr.mu.Unlock()
			n := 0
			for c := b.tr.pool.all.first; c != nil; c = c.allLinks.next {
				if c.probes > 0 && c.streams == 0 {
					n++
				}
			}
			return n == 2
		}
		require.Eventually(t, probed, 10*time.Second, time.Millisecond)
		require.Equal(t, 2, b.tr.Connections())
		close(hangUp)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 20*time.Second, time.Millisecond)
	}
}

// TestProbedConnection: what becomes of a connection that is being probed when something
// else happens to it.
func TestProbedConnection(t *testing.T) {
	for name, during := range map[string]func(*Transport, *conn){
		"nothing":  func(*Transport, *conn) {},
		"closed":   func(t *Transport, c *conn) { t.Close() },
		"excluded": func(t *Transport, c *conn) { t.retire(c) },
		"cut":      func(t *Transport, c *conn) { t.cut(c) },
	} {
		t.Run(name, func(t *testing.T) {
			s := says(t, "HTTP/1.1 204 X\r\n\r\n", 0)
			b := ownRig(t)
			_, _, err := b.fetch(call{url: s.URL()})
			require.NoError(t, err)
			b.tr.mu.Lock()
			c := b.tr.pool.all.first
			c.host.takeForProbe(c)
			b.tr.pool.todo.probe = nil // this test probes it
			b.tr.mu.Unlock()
			during(b.tr, c)
			b.tr.probe(c)
			if name == "nothing" {
				resp, x, err := b.send(t.Context(), call{url: s.URL()})
				require.NoError(t, err)
				resp.Body.Close()
				assert.True(t, x.Conn.Reused)
				return
			}
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

// TestProbeOfUnusedConnection: probing a connection that was not used yet leaves those alone
// that were.
func TestProbeOfUnusedConnection(t *testing.T) {
	s := says(t, "HTTP/1.1 204 X\r\n\r\n", 0)
	b := ownRig(t)
	_, _, err := b.fetch(call{url: s.URL()})
	require.NoError(t, err)
	require.NoError(t, b.tr.Open(t.Context(), Key{Scheme: "http", Addr: s.Addr}))
	b.tr.mu.Lock()
	h := b.tr.pool.all.first.host
	idle, unused := h.idle.first, h.unused.first
	require.NotNil(t, idle)
	require.NotNil(t, unused)
	for _, c := range []*conn{unused, idle} {
		h.takeForProbe(c)
	}
	assert.Zero(t, h.idle.n)
	assert.Zero(t, h.unused.n)
	assert.Nil(t, h.idle.first)
	assert.Nil(t, h.unused.last)
	h.probed(unused, true, time.Now())
	h.probed(idle, true, time.Now())
	assert.Same(t, idle, h.idle.last)
	assert.Same(t, unused, h.unused.last)
	b.tr.pool.todo.probe = nil
	b.tr.mu.Unlock()
}

// TestCloseIdleDuringProbe: closing the idle connections closes one that is being probed, too.
func TestCloseIdleDuringProbe(t *testing.T) {
	s := says(t, "HTTP/1.1 204 X\r\n\r\n", 0)
	for _, all := range []bool{true, false} {
		b := ownRig(t)
		_, _, err := b.fetch(call{url: s.URL()})
		require.NoError(t, err)
		b.tr.mu.Lock()
		c := b.tr.pool.all.first
		c.host.takeForProbe(c)
		b.tr.pool.todo.probe = nil // this test probes it
		b.tr.mu.Unlock()
		if all {
			b.tr.CloseIdle()
		} else {
			b.tr.CloseIdleOf([]*Profile{{}}) // not those of this host
		}
		b.tr.probe(c)
		if all {
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
		} else {
			assert.Equal(t, 1, b.tr.Connections())
		}
	}
}
