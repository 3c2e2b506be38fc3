package netreply_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestIdempotencyKey: a POST with an Idempotency-Key is repeated like a GET, one without is not
// (rules D33 and N11).
func TestIdempotencyKey(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if _, _, ok := c.Request(); !ok {
			return
		}
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Request() // and closes the connection
	})
	m := newManager(t, netreply.Config{})
	for _, name := range []string{"Idempotency-Key", "x-idempotency-key", "Another"} {
		body, err := m.Get(deadline(t), newRequest(t, s.URL())).ReadAll()
		require.NoError(t, err)
		require.Equal(t, "ok", string(body))
		req := newRequest(t, s.URL())
		req.Headers.Set(name, "1")
		r := m.Post(deadline(t), req, netreply.StringBody("order"))
		body, err = r.ReadAll()
		if name == "Another" {
			require.ErrorIs(t, err, netreply.RemoteHostClosedError)
			var e *netreply.Error
			require.ErrorAs(t, r.Err(), &e)
			assert.False(t, e.Retryable)
		} else {
			require.NoError(t, err)
			require.Equal(t, "ok", string(body))
		}
		m.ClearConnectionCache()
	}
}

// TestExpectationFailed: after a 417 the request is sent again without Expect, once, if its
// body can be read again (RFC 9110, section 10.1.1).
func TestExpectationFailed(t *testing.T) {
	var expected, plain atomic.Int64
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			expected.Add(1)
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		plain.Add(1)
		if r.URL.Path == "/always" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(w, r.Body)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		if s.kind == testserver.H2 || s.kind == testserver.H2C {
			t.Skip("Go's HTTP/2 server hides the field from handlers")
		}
		expected.Store(0)
		plain.Store(0)
		put := func(path string, body netreply.Body) *netreply.Reply {
			req := s.request(path)
			req.Headers.Set("expect", "100-Continue")
			req.DoNotBufferUploadData = true
			return s.m.Put(deadline(t), req, body)
		}
		body, err := put("/", netreply.StringBody("body")).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "body", string(body))
		assert.Equal(t, "1 1", fmt.Sprint(expected.Load(), " ", plain.Load()))

		r := put("/always", netreply.StringBody("body"))
		_, err = r.ReadAll()
		require.Error(t, err)
		assert.Equal(t, http.StatusExpectationFailed, r.StatusCode())
		assert.Equal(t, "2 2", fmt.Sprint(expected.Load(), " ", plain.Load()))

		r = put("/", netreply.ReaderBody(io.MultiReader(strings.NewReader("once"))))
		_, err = r.ReadAll()
		require.ErrorIs(t, err, netreply.UnknownContentError)
		assert.Equal(t, http.StatusExpectationFailed, r.StatusCode())
		assert.Equal(t, "3 2", fmt.Sprint(expected.Load(), " ", plain.Load()))
	})
}

// TestStatusBelow100: a response with such a status is a server error (rule E6).
func TestStatusBelow100(t *testing.T) {
	for _, code := range []int{20, 99, 1} {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Request()
			c.Say(fmt.Sprintf("HTTP/1.1 %03d Odd\r\nContent-Length: 2\r\n\r\nok", code))
		})
		r := newManager(t, netreply.Config{}).Get(deadline(t), newRequest(t, s.URL()))
		body, err := r.ReadAll()
		require.ErrorIs(t, err, netreply.UnknownServerError)
		assert.Equal(t, "ok", string(body))
		assert.Equal(t, code, r.StatusCode())
	}
}

// TestSurplusBytesAreDropped: surplus bytes of a server, at any time, do not reach another
// exchange, and nothing is written to the log of the process.
func TestSurplusBytesAreDropped(t *testing.T) {
	var logged bytes.Buffer
	old := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(old)
	for _, answer := range []string{
		"HTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
	} {
		for _, rest := range []string{"hello", "5\r\nhello\r\n0\r\n\r\n", "\x00\xff"} {
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				for {
					req, _, ok := c.Request()
					if !ok {
						return
					}
					switch req.URL.Path {
					case "/together":
						c.Say(answer + rest)
					case "/behind":
						c.Say(answer)
						c.Say(rest)
					default:
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
					}
				}
			})
			m := newManager(t, netreply.Config{})
			for i := range 30 {
				path := []string{"/together", "/behind"}[i%2]
				require.NoError(t, m.Get(deadline(t), newRequest(t, s.URL()+path)).Wait(deadline(t)), "%q %q", answer, rest)
				body, err := m.Get(deadline(t), newRequest(t, s.URL()+"/innocent")).ReadAll()
				require.NoError(t, err, "%q %q", answer, rest)
				require.Equal(t, "good", string(body))
			}
		}
	}
	assert.Empty(t, logged.String())
}

// TestManyHeaders: 10,000 fields take linear time, for every method that reads them.
func TestManyHeaders(t *testing.T) {
	const n = 10000
	for name, line := range map[string]func(int) string{
		"one name": func(int) string { return "A:1\r\n" }, "many": func(i int) string { return fmt.Sprintf("N%d:1\r\n", i) },
	} {
		t.Run(name, func(t *testing.T) {
			var head strings.Builder
			for i := range n {
				head.WriteString(line(i))
			}
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				c.Request()
				c.Say("HTTP/1.1 200 OK\r\n" + head.String() + "Content-Length: 0\r\n\r\n")
			})
			r := newManager(t, netreply.Config{}).Get(deadline(t), newRequest(t, s.URL()))
			require.NoError(t, r.Wait(deadline(t)))
			assert.Equal(t, n+1, r.Headers().Len())
			names := 2
			if name == "many" {
				names = n + 1
			}
			assert.Len(t, r.RawHeaderPairs(), names)
			assert.Len(t, r.RawHeaderList(), names)
		})
	}
}

// bare is a connection without addresses.
type bare struct{ net.Conn }

func (bare) LocalAddr() net.Addr  { return nil }
func (bare) RemoteAddr() net.Addr { return nil }

// TestConnWithoutAddress: connections of DialContext need no addresses, over every protocol.
func TestConnWithoutAddress(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }, netreply.Config{}, func(t *testing.T, s *fixture) {
		dial := dialTo(s.Listener.Addr().String())
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return bare{c}, nil
			}})
		for range 2 {
			r := m.Get(deadline(t), s.request("/"))
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "ok", string(body))
			assert.Nil(t, r.RemoteAddr())
			assert.Nil(t, r.LocalAddr())
		}
	})
}

// TestKeepAliveTimeoutField: an idle connection is closed before the time that the server's
// Keep-Alive field names.
func TestKeepAliveTimeoutField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		m, err := netreply.NewManager(netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			near, far := net.Pipe()
			go func() {
				c := &testserver.Conn{Conn: far, R: bufio.NewReader(far)}
				for {
					if _, _, ok := c.Request(); !ok {
						return
					}
					c.Say("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
			return near, nil
		}})
		require.NoError(t, err)
		defer m.Close()
		for _, row := range []struct {
			idle  time.Duration
			dials int64
		}{{0, 1}, {3 * time.Second, 1}, {4500 * time.Millisecond, 2}, {time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(row.idle)
			_, err := m.Post(t.Context(), newRequest(t, "http://x/"), netreply.StringBody("order")).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, row.dials, dials.Load(), "after %v", row.idle)
		}
	})
}
