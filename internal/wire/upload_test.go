package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestEarlyResponse: the response to a refused upload arrives, however the server closes
// the connection.
func TestEarlyResponse(t *testing.T) {
	const tries, size = 100, 8 << 20
	ends := map[string]func(*testserver.Conn){
		"close": func(c *testserver.Conn) {},
		"reset": func(c *testserver.Conn) { c.Reset() },
		"close after some": func(c *testserver.Conn) {
			io.CopyN(io.Discard, c.R, 300<<10)
		},
	}
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					c.Head()
					c.Say("HTTP/1.1 413 Too Large\r\nContent-Length: 200\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 200))
					end(c)
				})
				b := with(Config{})
				for i := range tries {
					status, body, err := b.fetch(call{method: "POST", url: s.URL(), body: io.LimitReader(zeros{}, size), length: size})
					require.NoError(t, err, "try %d", i)
					require.Equal(t, 413, status)
					require.Len(t, body, 200)
				}
			})
		}
		for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
			t.Run(string(kind), func(t *testing.T) {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Connection", "close")
					w.WriteHeader(413)
					io.WriteString(w, strings.Repeat("x", 200))
				}))
				b := with(Config{})
				b.tls = &Profile{Config: cfg}
				for i := range tries {
					upload := func() io.Reader { return io.LimitReader(zeros{}, size) }
					status, body, err := b.fetch(call{method: "POST", url: s.URL, body: upload(), again: upload, length: size})
					require.NoError(t, err, "try %d", i)
					require.Equal(t, 413, status)
					require.Len(t, body, 200)
				}
			})
		}
	})
}

// TestRequestBodyError: an error of the request body is reported as such, and Conn.Ended is
// closed while a Read of the body blocks.
func TestRequestBodyError(t *testing.T) {
	bad := errors.New("the disk is gone")
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.R.ReadByte()
		})
		b := with(Config{})
		failing := readerFunc(func([]byte) (int, error) { return 0, &SourceError{bad} })
		_, _, err := b.fetch(call{method: "POST", url: s.URL(), body: failing, length: 9})
		fault, phase := faultOf(err)
		assert.Equal(t, Source, fault)
		assert.Equal(t, Send, phase)
		assert.ErrorIs(t, err, bad)

		first := true
		ended := make(chan (<-chan struct{}), 1)
		w := &recorder{onConn: func(c Conn) { ended <- c.Ended }}
		blocked := readerFunc(func(p []byte) (int, error) {
			if first {
				first = false
				p[0] = 'x'
				return 1, nil
			}
			<-<-ended
			return 0, errors.New("the connection has ended")
		})
		_, _, err = b.fetch(call{method: "POST", url: s.URL(), body: blocked, length: 9, watch: w})
		fault, _ = faultOf(err)
		assert.Equal(t, Closed, fault, "%v", err)
	})
}

// TestRequestBodyClosed: the request body of an exchange with a connection is always
// closed, before its source may be used again. Without a connection it is left to the
// caller, who may try again.
func TestRequestBodyClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			req, _, ok := c.Request()
			if ok && req.URL.Path == "/ok" {
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		b := with(Config{})
		for _, url := range []string{s.URL() + "/ok", s.URL() + "/silence"} {
			body := &closing{Reader: strings.NewReader("body")}
			b.fetch(call{method: "POST", url: url, body: body, length: 4})
			require.Eventually(t, func() bool { return body.n.Load() > 0 }, 5*time.Second, time.Millisecond, url)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		body := &closing{Reader: strings.NewReader("body")}
		_, x, err := b.send(ctx, call{method: "POST", url: s.URL() + "/silence", body: body, length: 4})
		require.ErrorIs(t, err, context.Canceled)
		assert.False(t, x.Begun())
		assert.Zero(t, body.n.Load())

		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/ok", body)
		require.NoError(t, err)
		req.ContentLength = 4
		x = &Exchange{Key: Key{Scheme: "http", Addr: "127.0.0.1:1"}, Observer: &recorder{}}
		_, err = b.tr.RoundTrip(req, x)
		require.Error(t, err)
		assert.False(t, x.Begun())
		assert.Zero(t, body.n.Load())
		x.Key.Addr = req.URL.Host
		resp, err := b.tr.RoundTrip(req, x)
		require.NoError(t, err)
		resp.Body.Close()
		assert.True(t, x.Begun())
		assert.Positive(t, body.n.Load())
	})
}

type closing struct {
	io.Reader
	n atomic.Int64
}

func (c *closing) Close() error { c.n.Add(1); return nil }

// TestExpectContinue: the body waits for 100 Continue, and is not sent after a final response
// that ends the connection.
func TestExpectContinue(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		got := make(chan string, 2)
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			req, ok := c.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/no" {
				c.Say("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				rest, _ := io.ReadAll(c.R)
				got <- string(rest)
				return
			}
			c.Say("HTTP/1.1 100 Continue\r\n\r\n")
			body, _ := io.ReadAll(req.Body)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			got <- string(body)
		})
		b := with(Config{})
		for path, want := range map[string][2]any{"/yes": {200, "body"}, "/no": {417, ""}} {
			status, _, err := b.fetch(call{method: "POST", url: s.URL() + path, body: strings.NewReader("body"), length: 4, header: http.Header{"Expect": {"100-continue"}}})
			require.NoError(t, err)
			assert.Equal(t, want[0], status)
			b.tr.CloseIdle()
			assert.Equal(t, want[1], <-got)
		}
	})
}
