package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// echoOnce serves one request of each connection, with its body, and reads the next one
// before it sends end.
func echoOnce(heard func(), end string) func(*testserver.Conn) {
	return func(c *testserver.Conn) {
		_, body, ok := c.Request()
		if !ok {
			return
		}
		c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if _, _, ok = c.Request(); ok {
			heard()
			c.Say(end)
		}
	}
}

// TestRetryReused: a request that fails on a reused connection is sent again, if that is
// safe and the body can be read again (rule D33).
func TestRetryReused(t *testing.T) {
	for name, row := range map[string]struct {
		method     string
		body       func(string) *flow.Payload // nil for none
		idempotent bool
		end        string
		ok         bool
		kind       flow.Kind // kind of the error; 0 for a *wire.Error
	}{
		"GET":                             {method: http.MethodGet, ok: true},
		"HEAD":                            {method: http.MethodHead, ok: true},
		"PUT of memory":                   {method: http.MethodPut, body: inMemory, ok: true},
		"PUT of a source":                 {method: http.MethodPut, body: fromSource, ok: true},
		"PUT of a body for once":          {method: http.MethodPut, body: onlyOnce, kind: flow.NotResent},
		"POST":                            {method: http.MethodPost, body: inMemory},
		"POST that says it is idempotent": {method: http.MethodPost, body: inMemory, idempotent: true, ok: true},
		"PATCH":                           {method: http.MethodPatch, body: inMemory},
		"GET, and a rest of before":       {method: http.MethodGet, end: "rubbish\r\n\r\n", ok: true},
		"GET, and half a response":        {method: http.MethodGet, end: "HTTP/1.1 200 OK\r\nContent-Le"},
	} {
		t.Run(name, func(t *testing.T) {
			var heard atomic.Int64
			s := testserver.NewRaw(t, nil, echoOnce(func() { heard.Add(1) }, row.end))
			c := newClient(t, nil, "")
			c.ok(new(watcher), get(s.URL()))
			var p *flow.Payload
			if row.body != nil {
				p = row.body("text")
			}
			q := request(row.method, s.URL(), p)
			q.Idempotent = row.idempotent
			r := c.do(new(watcher), q)
			assert.EqualValues(t, 1, heard.Load())
			if !row.ok {
				require.Error(t, r.err)
				assert.Len(t, r.told("sent"), 1)
				var e *flow.Error
				if row.kind != 0 {
					require.ErrorAs(t, r.err, &e)
					assert.Equal(t, row.kind, e.Kind)
				} else {
					var we *wire.Error
					require.ErrorAs(t, r.err, &we)
					assert.Equal(t, wire.Closed, we.Fault)
				}
				return
			}
			require.NoError(t, r.err)
			assert.Equal(t, map[bool]string{true: "text"}[p != nil], r.body)
			assert.Equal(t, []string{"carrier reused", "carrier new"}, r.told("carrier", "connecting"), "the connection is not reported (rule N22)")
			assert.Len(t, r.heads, 1)
		})
	}
}

// TestRetryTakesNew: a repetition uses a new connection, not another idle one.
func TestRetryTakesNew(t *testing.T) {
	const old = wire.DefaultConnsPerHost
	var all sync.WaitGroup
	all.Add(old)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if _, _, ok := c.Request(); !ok {
			return
		}
		if c.N <= old {
			all.Done()
			all.Wait()
		}
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Request()
	})
	c := newClient(t, nil, "")
	done := make(chan result)
	for range old {
		go func() { done <- c.do(new(watcher), get(s.URL())) }()
	}
	for range old {
		require.NoError(t, (<-done).err)
	}
	require.Equal(t, old, c.wire.Connections())
	assert.Equal(t, []string{"carrier reused", "carrier new"}, c.ok(new(watcher), get(s.URL())).told("carrier"))
}

// TestRetryNew: a request that fails on a new connection is not sent again.
func TestRetryNew(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { c.Request() })
	r := newClient(t, nil, "").do(new(watcher), get(s.URL()))
	var we *wire.Error
	require.ErrorAs(t, r.err, &we)
	assert.Equal(t, wire.Closed, we.Fault)
	assert.Equal(t, 1, s.Connections())
}

// TestRetryAborted: nothing is sent again after the end of the context.
func TestRetryAborted(t *testing.T) {
	aborted := errors.New("aborted")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := testserver.NewRaw(t, nil, echoOnce(func() { cancel(aborted) }, ""))
	c := newClient(t, nil, "")
	c.ok(new(watcher), get(s.URL()))
	r := c.doIn(ctx, new(watcher), get(s.URL()), nil)
	assert.Equal(t, aborted, r.err)
	assert.Equal(t, 1, s.Connections())
}

// TestRetryRefusedStream: a refused stream is sent again on the same connection, whatever
// its method, at most MaxRepeats times.
func TestRetryRefusedStream(t *testing.T) {
	for _, refusals := range []int{1, flow.MaxRepeats, flow.MaxRepeats + 1} {
		var n atomic.Int64
		s := newH2Server(t, func(p *h2Peer, stream uint32) {
			if int(n.Add(1)) <= refusals {
				p.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
				return
			}
			p.ok(stream, "body")
		})
		q := request(http.MethodPost, s.URL(), inMemory("text"))
		q.HTTP = wire.HTTP2
		r := newClient(t, nil, "").do(new(watcher), q)
		assert.Equal(t, 1, s.Connections())
		if refusals > flow.MaxRepeats {
			var we *wire.Error
			require.ErrorAs(t, r.err, &we)
			assert.Equal(t, wire.Reset, we.Fault)
			assert.EqualValues(t, http2.ErrCodeRefusedStream, we.Code)
			assert.EqualValues(t, flow.MaxRepeats+1, n.Load())
			continue
		}
		require.NoError(t, r.err)
		assert.Equal(t, "body", r.body)
		assert.EqualValues(t, refusals+1, n.Load())
	}
}

// TestRetryGoAway: a stream above the last one of a GOAWAY is sent again, on another connection.
func TestRetryGoAway(t *testing.T) {
	for _, body := range []*flow.Payload{inMemory("text"), fromSource("text")} {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			serveH2(c, func(p *h2Peer, stream uint32) {
				if c.N == 1 {
					p.WriteGoAway(0, http2.ErrCodeNo, nil)
					return
				}
				p.ok(stream, "body")
			})
		})
		q := request(http.MethodPost, s.URL(), body)
		q.HTTP = wire.HTTP2
		r := newClient(t, nil, "").ok(new(watcher), q)
		assert.Equal(t, "body", r.body)
		assert.Equal(t, 2, s.Connections())
		assert.Len(t, r.told("connecting"), 1)
	}
}

// TestRetryKeepsRefusal: if no other connection is available, the error is the server's
// earlier refusal.
func TestRetryKeepsRefusal(t *testing.T) {
	s := newH2Server(t, func(p *h2Peer, _ uint32) { p.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) })
	var dials atomic.Int64
	c := newClientOf(t, &dial.Dialer{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("no more")
		}
		return new(net.Dialer).DialContext(ctx, network, s.Addr)
	}}, nil)
	q := get("http://a.example/")
	q.HTTP = wire.HTTP2
	r := c.do(new(watcher), q)
	var we *wire.Error
	require.ErrorAs(t, r.err, &we)
	assert.Equal(t, wire.GoAway, we.Fault)
	assert.EqualValues(t, http2.ErrCodeEnhanceYourCalm, we.Code)
	assert.EqualValues(t, 2, dials.Load())
}

// TestRetryHTTP11Required: after HTTP_1_1_REQUIRED this request and all later ones use
// HTTP/1.1 (rule E30); a request that requires HTTP/2 fails.
func TestRetryHTTP11Required(t *testing.T) {
	for name, refuse := range map[string]func(*h2Peer, uint32){
		"stream":     func(p *h2Peer, stream uint32) { p.WriteRSTStream(stream, http2.ErrCodeHTTP11Required) },
		"connection": func(p *h2Peer, _ uint32) { p.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			origin, trust := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
			cfg := origin.TLS.Clone()
			cfg.NextProtos = []string{"h2", "http/1.1"}
			var h2 atomic.Int64
			s := testserver.NewRaw(t, cfg, func(c *testserver.Conn) {
				if negotiated(c) == "h2" {
					serveH2(c, func(p *h2Peer, stream uint32) { h2.Add(1); refuse(p, stream) })
					return
				}
				for {
					_, body, ok := c.Request()
					if !ok {
						return
					}
					c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				}
			})
			c := newClient(t, trust, "")
			for range 2 {
				r := c.ok(new(watcher), request(http.MethodPost, "https://"+s.Addr, inMemory("text")))
				assert.Equal(t, "text", r.body)
				assert.Equal(t, 1, r.resp.ProtoMajor)
				assert.EqualValues(t, 1, h2.Load())
			}
			q := get("https://" + s.Addr)
			c.wire.CloseIdle()
			require.NoError(t, c.engine.Open(t.Context(), q.URL, c.profile, nil))
			assert.Empty(t, c.ok(new(watcher), q).told("connecting"))
			assert.EqualValues(t, 1, h2.Load())
			q.HTTP = wire.HTTP2
			var we *wire.Error
			require.ErrorAs(t, c.do(new(watcher), q).err, &we)
			assert.EqualValues(t, http2.ErrCodeHTTP11Required, we.Code)
		})
	}
}

// TestRetryExpectation: after a 417 the request is sent once without Expect, and so are the
// following hops (RFC 9110, section 10.1.1); not with a body that cannot be read again.
func TestRetryExpectation(t *testing.T) {
	var got []string
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			expect := req.Header.Get("Expect")
			got = append(got, strings.TrimSpace(req.URL.Path+" "+expect))
			switch {
			case expect != "" || req.URL.Path == "/always":
				c.Say("HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
				return
			case req.URL.Path == "/redirect":
				io.Copy(io.Discard, req.Body)
				c.Say("HTTP/1.1 307 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
			default:
				body, _ := io.ReadAll(req.Body)
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			}
		}
	})
	c := newClient(t, nil, "")
	for _, row := range []struct {
		path string
		body func(string) *flow.Payload
		got  string
		text string
	}{
		{"/a", inMemory, "/a 100-Continue, /a", "text"},
		{"/a", fromSource, "/a 100-Continue, /a", "text"},
		{"/redirect", fromSource, "/redirect 100-Continue, /redirect, /b", "text"},
		{"/always", fromSource, "/always 100-Continue, /always", "no"},
		{"/a", onlyOnce, "/a 100-Continue", "no"},
	} {
		got = nil
		q := request(http.MethodPut, s.URL()+row.path, row.body("text"))
		q.Headers = headers.New("expect", " 100-Continue")
		r := c.ok(new(watcher), q)
		assert.Equal(t, row.text, r.body)
		assert.Equal(t, row.got, strings.Join(got, ", "))
		assert.Equal(t, " 100-Continue", q.Headers.Get("Expect"), "the request is the caller's")
	}
}

// TestRetryExpectationEarly: a 417 may arrive while the request head is still being
// written.
func TestRetryExpectationEarly(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if _, err := c.R.ReadByte(); err == nil {
			c.Say("HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			io.Copy(io.Discard, c.R)
		}
	})
	c := newClient(t, nil, "")
	for range 10 {
		q := request(http.MethodPut, s.URL()+"/"+strings.Repeat("x", 4000), inMemory("text"))
		q.Headers = headers.New("Expect", "100-continue", "A", strings.Repeat("a", 8000))
		r := c.ok(new(watcher), q)
		assert.Equal(t, http.StatusExpectationFailed, r.resp.StatusCode)
		assert.Len(t, r.told("sent"), 2)
	}
}
