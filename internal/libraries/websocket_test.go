package libraries

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// upgradable are the protocols of servers that speak HTTP/1.1, which an upgrade needs; a
// server of kind H2 speaks both.
var upgradable = []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2}

// echoMessages answers every message with itself, and "bye" by closing.
func echoMessages(options *websocket.AcceptOptions) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forbidden" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		conn, err := websocket.Accept(w, r, options)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if string(message) == "bye" {
				conn.Close(websocket.StatusGoingAway, "good-bye")
				return
			}
			if conn.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}
}

func TestWebSocket(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		for name, mode := range map[string]websocket.CompressionMode{
			"plain": websocket.CompressionDisabled, "compressed": websocket.CompressionContextTakeover,
		} {
			t.Run(name, func(t *testing.T) {
				s, rt := c.serve(t, echoMessages(&websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: mode}))
				ctx := deadline(t)
				conn, res, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/echo", &websocket.DialOptions{
					HTTPClient: &http.Client{Transport: rt}, Subprotocols: []string{"other", "echo"}, CompressionMode: mode,
				})
				require.NoError(t, err)
				defer conn.CloseNow()
				assert.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				assert.Equal(t, "HTTP/1.1", res.Proto)
				assert.Equal(t, "echo", conn.Subprotocol())
				conn.SetReadLimit(-1)

				for _, size := range []int{0, 1, 125, 4096, 65536, 1 << 20} {
					message := bytes.Repeat([]byte("m"), size)
					written := make(chan error, 1)
					go func() { written <- conn.Write(ctx, websocket.MessageBinary, message) }()
					kind, got, err := conn.Read(ctx)
					require.NoError(t, err)
					require.NoError(t, <-written)
					assert.Equal(t, websocket.MessageBinary, kind)
					assert.True(t, bytes.Equal(message, got), "%d bytes sent, %d received", len(message), len(got))
				}
				require.NoError(t, wsjson.Write(ctx, conn, map[string]int{"a": 1}))
				var value map[string]int
				require.NoError(t, wsjson.Read(ctx, conn, &value))
				assert.Equal(t, map[string]int{"a": 1}, value)

				require.NoError(t, conn.Close(websocket.StatusNormalClosure, "done"), "the server takes part in closing")
				_, _, err = conn.Read(ctx)
				assert.Error(t, err)
			})
		}
	})
}

func TestWebSocketClosedByServer(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		s, rt := c.serve(t, echoMessages(nil))
		ctx := deadline(t)
		conn, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: rt}})
		require.NoError(t, err)
		defer conn.CloseNow()
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("bye")))
		_, _, err = conn.Read(ctx)
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed)
		assert.Equal(t, websocket.CloseError{Code: websocket.StatusGoingAway, Reason: "good-bye"}, closed)
	})
}

// TestWebSocketPing: pings pass while another goroutine reads.
func TestWebSocketPing(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		s, rt := c.serve(t, echoMessages(nil))
		ctx := deadline(t)
		conn, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: rt}})
		require.NoError(t, err)
		defer conn.CloseNow()
		reading := conn.CloseRead(ctx)
		for range 3 {
			require.NoError(t, conn.Ping(ctx))
		}
		require.NoError(t, conn.CloseNow())
		<-reading.Done()
	})
}

// TestWebSocketOutlivesDial: neither the context of Dial nor the client's timeout, which
// ends when Dial returns, ends the connection.
func TestWebSocketOutlivesDial(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		s, rt := c.serve(t, echoMessages(nil))
		ctx := deadline(t)
		dialing, cancel := context.WithCancel(ctx)
		conn, _, err := websocket.Dial(dialing, s.URL, &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: rt, Timeout: time.Hour},
		})
		require.NoError(t, err)
		defer conn.CloseNow()
		cancel()
		for range 3 {
			require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("hello")))
			_, got, err := conn.Read(ctx)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(got))
		}
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
	})
}

// TestWebSocketReadCanceled: the end of a Read's context ends the connection.
func TestWebSocketReadCanceled(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		gone := make(chan struct{})
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			echoMessages(nil)(w, r)
		}))
		ctx := deadline(t)
		conn, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: rt}})
		require.NoError(t, err)
		defer conn.CloseNow()
		reading, cancel := context.WithCancel(ctx)
		time.AfterFunc(tick, cancel)
		_, _, err = conn.Read(reading)
		require.ErrorIs(t, err, context.Canceled)
		<-gone
	})
}

func TestWebSocketRefused(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		s, rt := c.serve(t, echoMessages(nil))
		_, res, err := websocket.Dial(deadline(t), s.URL+"/forbidden", &websocket.DialOptions{HTTPClient: &http.Client{Transport: rt}})
		require.Error(t, err)
		require.NotNil(t, res)
		assert.Equal(t, http.StatusForbidden, res.StatusCode)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, "not here\n", string(b))
	})
}

// TestWebSocketThroughProxy: a tunnel to the server, through a proxy that wants a login.
func TestWebSocketThroughProxy(t *testing.T) {
	each(t, []testserver.Kind{testserver.TLS, testserver.H2}, func(t *testing.T, c *client) {
		s, cfg := testserver.NewOrigin(t, c.kind, echoMessages(nil))
		proxy := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
		proxy.RequireLogin("gopher", "burrow")
		c.proxy = &url.URL{Scheme: "http", User: url.UserPassword("gopher", "burrow"), Host: proxy.Addr}
		ctx := deadline(t)
		conn, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "127.0.0.1", resolvable, 1), &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: c.transport(t, cfg)},
		})
		require.NoError(t, err)
		defer conn.CloseNow()
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("hello")))
		_, got, err := conn.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
		assert.Contains(t, proxy.Requests(), "CONNECT "+resolvable+s.URL[strings.LastIndexByte(s.URL, ':'):])
	})
}
