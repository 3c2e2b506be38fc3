package wire

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestConnectionReuse: when a connection is reused, and when not.
func TestConnectionReuse(t *testing.T) {
	for _, r := range []struct {
		name   string
		method string
		answer string
		conns  int
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 1},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"the server says close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 3},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					for {
						if _, _, ok := c.Request(); !ok {
							return
						}
						c.Say(r.answer)
					}
				})
				b := with(Config{})
				for range 3 {
					_, _, err := b.fetch(call{method: r.method, url: s.URL()})
					require.NoError(t, err)
				}
				assert.Equal(t, r.conns, s.Connections())
			})
		})
	}
}

// TestIdleConnectionClosedByServer: an idle connection that the server closes is removed
// from the pool, and the next exchange gets a new one.
func TestIdleConnectionClosedByServer(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		b := with(Config{})
		for i := range 20 {
			_, body, err := b.fetch(call{method: "POST", url: s.URL(), body: strings.NewReader("x")})
			require.NoError(t, err)
			require.Equal(t, "ok", body)
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 5*time.Second, time.Millisecond)
			require.Equal(t, i+1, s.Connections())
		}
	})
}

// TestIdleTimeout: an idle connection is closed after its own idle timeout.
func TestIdleTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		b := with(Config{IdleTimeout: 20 * time.Millisecond})
		_, _, err := b.fetch(call{url: s.URL})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, time.Minute, time.Millisecond)

		req, _ := http.NewRequest("GET", s.URL, nil)
		x := &Exchange{Observer: &recorder{}, IdleTimeout: -1, Key: Key{Scheme: "http", Addr: req.URL.Host}}
		resp, err := b.tr.RoundTrip(req, x)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 0, b.tr.Connections(), "closed as soon as it is idle")
	})
}

// TestTLSProfilesShareNoConnection: two TLS configurations never use one connection.
func TestTLSProfilesShareNoConnection(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		b := with(Config{})
		b.tls = &Profile{Config: &tls.Config{InsecureSkipVerify: true}}
		_, _, err := b.fetch(call{url: s.URL})
		require.NoError(t, err)
		b.tls = &Profile{Config: &tls.Config{}} // strict, and does not know the root
		_, _, err = b.fetch(call{url: s.URL})
		fault, phase := faultOf(err)
		assert.Equal(t, Other, fault)
		assert.Equal(t, TLS, phase)
		b.tls = &Profile{Config: cfg}
		_, _, err = b.fetch(call{url: s.URL})
		require.NoError(t, err)
	})
}

// TestTLSConnectionReuse: session tickets in the socket do not make a connection unusable.
func TestTLSConnectionReuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		fresh := 0
		for range 50 {
			resp, x, err := b.send(t.Context(), call{url: s.URL})
			require.NoError(t, err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if !x.Conn.Reused {
				fresh++
			}
		}
		assert.Equal(t, 1, fresh)
	})
}
