package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// Which exchanges leave a connection that can be reused, and when an idle one is not, as on
// net/http's connections. Where ours differ on purpose, the test says so.

// ownRig is a pool with connections of this package.
func ownRig(t *testing.T) *rig {
	if !hasSockets {
		t.Skip("there are none here")
	}
	b := &rig{T: t, tr: NewTransport(Config{HTTP1: OwnConn, Dialer: &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}})}
	t.Cleanup(b.tr.Close)
	return b
}

// TestOwnConnection: for which connections those of this package are used.
func TestOwnConnection(t *testing.T) {
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	var d net.Dialer
	for _, c := range []struct {
		name    string
		kind    testserver.Kind
		config  Config
		profile func(*Profile)
		own     bool
	}{
		{name: "TCP", kind: testserver.Plain, own: true},
		{name: "TLS", kind: testserver.TLS, own: true},
		{name: "TCP of the program", kind: testserver.Plain, own: true, config: Config{Dialer: &dial.Dialer{DialContext: d.DialContext}}},
		{name: "a type of the program", kind: testserver.Plain, config: Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			return struct{ net.Conn }{c}, err
		}}}},
		{name: "TLS of the program", kind: testserver.TLS, profile: func(p *Profile) {
			p.Handshake = func(ctx context.Context, raw net.Conn, cfg *tls.Config, _ func(any) error) (net.Conn, *tls.ConnectionState, error) {
				c := tls.Client(raw, cfg)
				err := c.HandshakeContext(ctx)
				state := c.ConnectionState()
				return c, &state, err
			}
		}},
		{name: "HTTP/2", kind: testserver.H2},
		{name: "switched off", kind: testserver.Plain, config: Config{HTTP1: StdConn}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, c.kind, handler)
			if c.config.HTTP1 == DefaultConn {
				c.config.HTTP1 = OwnConn
			}
			if c.config.Dialer == nil {
				c.config.Dialer = &dial.Dialer{}
			}
			b := &rig{T: t, tr: NewTransport(c.config), tls: &Profile{Config: cfg}}
			defer b.tr.Close()
			if c.profile != nil {
				c.profile(b.tls)
				b.tls.Config.ServerName = "127.0.0.1"
			}
			_, _, err := b.fetch(call{url: s.URL})
			require.NoError(t, err)
			b.tr.mu.Lock()
			_, own := b.tr.pool.all.first.connection.(*h1Conn)
			b.tr.mu.Unlock()
			assert.Equal(t, c.own && hasSockets, own)
		})
	}
}

// TestEarlyResponseNotReused: a response to a request that is still being sent arrives at
// once; the connection is not reused.
func TestEarlyResponseNotReused(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			c.R.ReadByte()
			c.Head() // the rest of the upload, or the end
		})
		b := with(Config{})
		for i := range 3 {
			r, w := io.Pipe()
			go w.Write([]byte("x"))
			status, body, err := b.fetch(call{method: "POST", url: s.URL(), body: r, length: 100})
			require.NoError(t, err)
			assert.Equal(t, "200 ok", fmt.Sprint(status, " ", body))
			assert.Equal(t, i+1, s.Connections())
			w.Close()
		}
	})
}

// TestClientCloses: a connection is not reused after a request that says so, whatever the
// server does. net/http's connections do not look into the Connection field.
func TestClientCloses(t *testing.T) {
	test := func(t *testing.T, b *rig, change func(*http.Request)) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Close: %v\r\nContent-Length: 2\r\n\r\nok", req.Close))
			}
		})
		for i := range 3 {
			req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL(), nil)
			require.NoError(t, err)
			change(req)
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: req.URL.Host}})
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, "true", resp.Header.Get("X-Close"))
			assert.Equal(t, i+1, s.Connections())
		}
	}
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		test(t, with(Config{}), func(req *http.Request) { req.Close = true })
	})
	test(t, ownRig(t), func(req *http.Request) { req.Header.Set("Connection", "x, Close") })
}

// TestHeadChunked: the response to a HEAD request has no body, whatever it declares.
func TestHeadChunked(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0)
		b := with(Config{})
		for range 3 {
			_, body, err := b.fetch(call{method: "HEAD", url: s.URL()})
			require.NoError(t, err)
			assert.Empty(t, body)
		}
		assert.Equal(t, 1, s.Connections())
	})
}

// TestCloseIdleDuringExchange: closing the idle connections leaves alone those in use, which
// are kept afterwards.
func TestCloseIdleDuringExchange(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
		b := with(Config{})
		for range 3 {
			resp, _, err := b.send(t.Context(), call{url: s.URL()})
			require.NoError(t, err)
			b.tr.CloseIdle()
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
		}
		assert.Equal(t, 1, s.Connections())
		b.tr.CloseIdle()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestInterruptedNotReused: a connection that is being interrupted, because the context has
// ended at the same time as the response, is not reused.
func TestInterruptedNotReused(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		h := newH1Conn(&conn{stream: &scriptedConn{}}, 4096)
		req, err := http.NewRequest("GET", "http://a.example/", nil)
		require.NoError(t, err)
		e := h.newExchange(req, &Exchange{Observer: &recorder{}})
		e.stop = func() bool { return stopped }
		e.buf.tap.stage = over
		e.finish(true)
		kept, _ := h.reusable()
		assert.Equal(t, stopped, kept)
	}
	h := newH1Conn(&conn{stream: &scriptedConn{}}, 4096)
	h.interrupt()
	kept, _ := h.reusable()
	assert.False(t, kept)
	assert.False(t, h.keepFor(0, false))
}

// TestBodyClose: Close of a response body that was not read to its end.
func TestBodyClose(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, _, ok := c.Request()
			if !ok {
				return
			}
			switch req.URL.Path {
			case "/whole":
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
			case "/chunked":
				c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
			default:
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nnot whole")
				select {
				case <-hold:
				case <-t.Context().Done():
				}
			}
		}
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		resp, _, err := b.send(t.Context(), call{url: s.URL() + "/part"})
		require.NoError(t, err)
		p := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, p)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, resp.Body.Close())
		_, err = resp.Body.Read(p)
		assert.Error(t, err)
		assert.NotEqual(t, io.EOF, err)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)

		// during a Read, which fails then
		resp, _, err = b.send(t.Context(), call{url: s.URL() + "/part"})
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 9))
		require.NoError(t, err)
		failed := make(chan error)
		go func() {
			_, err := resp.Body.Read(p)
			failed <- err
		}()
		runtime.Gosched()
		require.NoError(t, resp.Body.Close())
		require.Error(t, <-failed)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
	// what has arrived with the head is discarded, and the connection is reused
	b := ownRig(t) // net/http closes it
	fresh := 0
	for range 10 {
		resp, x, err := b.send(t.Context(), call{url: s.URL() + "/whole"})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if !x.Conn.Reused {
			fresh++
		}
	}
	assert.Equal(t, 1, fresh)
	resp, _, err := b.send(t.Context(), call{url: s.URL() + "/chunked"})
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, body, err := b.fetch(call{url: s.URL() + "/whole"})
	require.NoError(t, err)
	assert.Equal(t, "whole", body)
}

// TestContextEndsIdleBody: the end of the context while nobody reads the response is the
// error of the next Read, and the connection is not reused.
func TestContextEndsIdleBody(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")
			c.R.ReadByte()
		})
		b := with(Config{})
		reason := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, _, err := b.send(ctx, call{url: s.URL()})
		require.NoError(t, err)
		cancel(reason)
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, reason)
		resp.Body.Close()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestContextEndsBetweenExchanges: the end of the context of an exchange that is over does
// not concern the next one on its connection.
func TestContextEndsBetweenExchanges(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
		b := with(Config{})
		var last context.CancelFunc = func() {}
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			resp, _, err := b.send(ctx, call{url: s.URL()})
			require.NoError(t, err)
			last() // of the exchange before
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "ok", string(body))
			last = cancel
		}
		last()
		assert.Equal(t, 1, s.Connections())
	})
}

// TestUnsolicitedBytesTLS is TestUnsolicitedBytes under TLS, where the socket alone does not
// tell, and for a server that closes silently.
func TestUnsolicitedBytesTLS(t *testing.T) {
	logged := captureLog(t)
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	server := origin.TLS.Clone()
	server.NextProtos = []string{"http/1.1"}
	for _, rest := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "x", "[close]"} {
		t.Run(rest, func(t *testing.T) {
			{ // net/http's connections may read them before they are checked
				sent := make(chan struct{}, 1)
				s := testserver.NewRaw(t, server, func(c *testserver.Conn) {
					for {
						req, _, ok := c.Request()
						if !ok {
							return
						}
						if req.URL.Path == "/innocent" {
							c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
							continue
						}
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						if rest == "[close]" {
							c.Close()
							sent <- struct{}{}
							return
						}
						c.Say(rest)
						sent <- struct{}{}
					}
				})
				b := ownRig(t)
				b.tls = &Profile{Config: cfg}
				url := "https://" + s.Addr
				for range 10 {
					_, _, err := b.fetch(call{url: url + "/guilty"})
					require.NoError(t, err)
					<-sent
					order := func() io.Reader { return strings.NewReader("x") }
					_, body, err := b.fetch(call{method: "POST", body: order(), again: order, url: url + "/innocent"})
					require.NoError(t, err)
					require.Equal(t, "good", body)
				}
			}
		})
	}
	assert.Empty(t, logged.String())
}

// TestIdleConnectionsHaveNoGoroutine: idle connections of this package have no goroutine.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	if !hasSockets {
		t.Skip("there are none here")
	}
	const n = 20
	var arrived atomic.Int32
	all := make(chan struct{})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		if arrived.Add(1) == n {
			close(all)
		}
		<-all
		c.Say("HTTP/1.1 204 X\r\n\r\n")
		c.R.ReadByte()
	})
	b := &rig{T: t, tr: NewTransport(Config{HTTP1: OwnConn, ConnsPerHost: n, Dialer: &dial.Dialer{}})}
	before := runtime.NumGoroutine()
	results := make(chan error)
	for range n {
		go func() {
			_, _, err := b.fetch(call{url: s.URL()})
			results <- err
		}()
	}
	for range n {
		require.NoError(t, <-results)
	}
	assert.Equal(t, n, b.tr.Connections())
	// the server has one goroutine for each
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+n && time.Now().Before(end); {
		runtime.Gosched()
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before+n)
	b.tr.Close()
}

// TestSocketBelowTLS: what is below the TLS of a connection can be reached, as with
// net/http's.
func TestSocketBelowTLS(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		var got net.Conn
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { got = i.Conn }})
		resp, x, err := b.send(ctx, call{url: s.URL})
		require.NoError(t, err)
		below := got.(*tls.Conn).NetConn()
		_, ok := below.(syscall.Conn)
		assert.True(t, ok, "%T", below)
		for {
			wrapped, ok := below.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			below = wrapped.NetConn()
		}
		assert.IsType(t, &net.TCPConn{}, below)
		assert.GreaterOrEqual(t, x.Conn.Unacked(), -1)
		resp.Body.Close()
	})
}
