package netreply_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// drainedBodies are the bytes after the head of a response that is not delivered, and the
// server's next action.
var drainedBodies = []struct{ name, rest, then string }{
	{"cut", "Content-Length: 178\r\n\r\n<p>", "close"},
	{"stalled", "Content-Length: 178\r\n\r\n<p>", "stall"},
	{"stalled at once", "Content-Length: 178\r\n\r\n", "stall"},
	{"without an end", "\r\n<p>", "stall"},
	{"broken chunks", "Transfer-Encoding: chunked\r\n\r\nzz\r\n<p>", "stall"},
	{"chunks that stall", "Transfer-Encoding: chunked\r\n\r\n3\r\n<p>\r\n", "stall"},
	{"not in its coding", "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n<p>", "serve"},
	{"too long", "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000), "stall"},
}

// serveDrained answers /old without the field with head and rest, and all other requests
// with ok.
func serveDrained(t *testing.T, field, head, rest, then string) *testserver.Raw {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/old" && req.Header.Get(field) == "" {
				c.Say(head + rest)
				switch then {
				case "serve":
					continue
				case "stall":
					io.Copy(io.Discard, c.R)
				}
				return
			}
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
}

// TestDrainedBody: the body of a redirect, or of an answered 401 or 407, does not affect
// the outcome, however it ends.
func TestDrainedBody(t *testing.T) {
	for _, c := range drainedBodies {
		t.Run(c.name, func(t *testing.T) {
			s := serveDrained(t, "X-None", "HTTP/1.1 302 F\r\nLocation: /new\r\n", c.rest, c.then)
			r := newManager(t, netreply.Config{}).Get(deadline(t), newRequest(t, s.URL()+"/old"))
			assert.Equal(t, "ok", readBody(t, r))
			assert.Regexp(t, "^connecting sent head redirected (connecting )?sent head ready (down )?down finished$", strings.Replace(strings.Join(signalNames(t, r), " "), "ready down finished", "ready down down finished", 1))

			s = serveDrained(t, "Authorization", "HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\n", c.rest, c.then)
			for _, ask := range []netreply.QuestionKinds{0, netreply.AskAuthentication} {
				req := newRequest(t, s.URL()+"/old")
				req.Ask = ask
				req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("u", "p") })
				assert.Equal(t, "ok", readBody(t, newManager(t, netreply.Config{}).Get(deadline(t), req)))
			}

			s = serveDrained(t, "Proxy-Authorization", "HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=\"x\"\r\n", c.rest, c.then)
			u, _ := url.Parse(s.URL())
			port, _ := strconv.ParseUint(u.Port(), 10, 16)
			m := newManager(t, netreply.Config{Proxy: &netreply.Proxy{Type: netreply.HTTPProxy, Host: u.Hostname(), Port: uint16(port), User: "u", Password: "p"}})
			assert.Equal(t, "ok", readBody(t, m.Get(deadline(t), newRequest(t, "http://origin.test/old"))))
		})
	}
}

// TestDrainedBodyTimeout: silence in such a body does not count for the transfer timeout.
func TestDrainedBodyTimeout(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Authorization") == "" {
				io.WriteString(c, "HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 178\r\n\r\n")
				continue
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	bubble(t, netreply.Config{}, serve, func(t *testing.T, m *netreply.Manager) {
		req := newRequest(t, "http://u:p@server/old")
		req.TransferTimeout = 50 * time.Millisecond // shorter than the time for draining
		start := time.Now()
		assert.Equal(t, "ok", readBody(t, m.Get(t.Context(), req)))
		assert.Greater(t, time.Since(start), req.TransferTimeout, "the body was drained")
	})
}

// TestRedirectedBeforeDrainedBody: Redirected is emitted before the body is drained.
func TestRedirectedBeforeDrainedBody(t *testing.T) {
	told := make(chan struct{})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/new" {
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				continue
			}
			c.Say("HTTP/1.1 302 F\r\nLocation: /new\r\nContent-Length: 4\r\n\r\n")
			<-told
			c.Say("body")
		}
	})
	req := newRequest(t, s.URL())
	req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.Redirected); ok {
			close(told)
		}
	}
	assert.Equal(t, "ok", readBody(t, newManager(t, netreply.Config{}).Get(deadline(t), req)))
	assert.Equal(t, 1, s.Connections(), "what was there in time costs no connection")
}

// TestDrainedBodyKeepsConnection: small bodies are read, and the connection is kept.
func TestDrainedBodyKeepsConnection(t *testing.T) {
	for _, rest := range []string{"Content-Length: 60000\r\n\r\n" + strings.Repeat("x", 60_000), "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Content-Length: 0\r\n\r\n"} {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, ok := c.Head()
				switch {
				case !ok:
					return
				case req.URL.Path == "/1":
					c.Say("HTTP/1.1 302 F\r\nLocation: /2\r\n" + rest)
				case req.Header.Get("Authorization") == "":
					c.Say("HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\n" + rest)
				default:
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}
		})
		r := newManager(t, netreply.Config{}).Get(deadline(t), newRequest(t, strings.Replace(s.URL(), "http://", "http://u:p@", 1)+"/1"))
		assert.Equal(t, "ok", readBody(t, r))
		assert.Equal(t, 1, s.Connections())
	}
}

// TestDrainedBodyResetsStream: over HTTP/2 the stream is reset, and the connection kept.
func TestDrainedBodyResetsStream(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.H2, testserver.H2C} {
		reset := make(chan struct{}, 2)
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/1":
				w.Header().Set("Location", "/2")
				w.WriteHeader(302)
			case r.Header.Get("Authorization") == "":
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(401)
			default:
				io.WriteString(w, r.RemoteAddr)
				return
			}
			io.WriteString(w, "<p>")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			reset <- struct{}{}
		}))
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		req := newRequest(t, strings.Replace(s.URL, "://", "://u:p@", 1)+"/1")
		if kind == testserver.H2C {
			req.HTTP = netreply.HTTP2Direct
		}
		first := readBody(t, m.Get(deadline(t), req))
		<-reset
		<-reset
		req.URL.Path = "/2"
		assert.Equal(t, first, readBody(t, m.Get(deadline(t), req)), "the same connection")
	}
}

// TestUnansweredChallengeBody: the body of a 401 without an answer can be read, with its
// errors.
func TestUnansweredChallengeBody(t *testing.T) {
	for _, ask := range []netreply.QuestionKinds{0, netreply.AskAuthentication} {
		answered := make(chan struct{}, 1)
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			if _, ok := c.Head(); ok {
				c.Say("HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 10\r\n\r\nhello")
				<-answered
				c.Say("world")
				c.Head()
			}
		})
		req := newRequest(t, s.URL())
		req.Ask = ask
		req.OnSignal = answering(func(q *netreply.Authenticator) {
			q.Cancel()
			answered <- struct{}{}
		})
		b, err := newManager(t, netreply.Config{}).Get(deadline(t), req).ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.Equal(t, "helloworld", string(b))

		s = testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			if _, ok := c.Head(); ok {
				c.Say("HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 10\r\n\r\nhello")
			}
		})
		req = newRequest(t, s.URL())
		req.Ask = ask
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.Cancel() })
		b, err = newManager(t, netreply.Config{}).Get(deadline(t), req).ReadAll()
		require.ErrorIs(t, err, netreply.RemoteHostClosedError)
		assert.Equal(t, "hello", string(b))
	}
}

// TestDrainedBodyAborted: the end of the context during draining or a question leaks
// nothing.
func TestDrainedBodyAborted(t *testing.T) {
	for _, head := range []string{"HTTP/1.1 302 F\r\nLocation: /new\r\n", "HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"} {
		s := serveDrained(t, "X-None", head, "Content-Length: 178\r\n\r\n<p>", "stall")
		ctx, cancel := context.WithCancel(t.Context())
		req := newRequest(t, s.URL()+"/old")
		req.Ask = netreply.AskAuthentication
		req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
		r := newManager(t, netreply.Config{}).Get(ctx, req)
		select {
		case <-r.Redirected():
		case <-r.AuthenticationRequired():
		}
		cancel()
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
	}
}
