//go:build !plan9

package netreply_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// constants parses the NetworkError constants in the source, so that none is missing.
func constants(t *testing.T) map[string]netreply.NetworkError {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	require.NoError(t, err)
	all := map[string]netreply.NetworkError{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "NetworkError" && len(spec.Values) == 1 {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				v, err := strconv.Atoi(lit.Value)
				require.NoError(t, err)
				all[spec.Names[0].Name] = netreply.NetworkError(v)
			}
		}
		return true
	})
	return all
}

// TestEveryCode produces each code once, and fails for one that nothing
// produces.
func TestEveryCode(t *testing.T) {
	raw := func(answer string) string {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say(answer)
		})
		return s.URL()
	}
	dialing := func(err error) netreply.Config {
		return netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: err}
		}}
	}
	status := func(n int) string { return raw(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", n)) }
	closed := testserver.Refusing(t)
	secure, cfg := testserver.NewOrigin(t, testserver.TLS, http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	silent := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.Copy(io.Discard, c) })

	type way struct {
		code   netreply.NetworkError
		cfg    netreply.Config
		url    string
		change func(*netreply.Request)
		phase  netreply.Phase
		retry  bool
	}
	ways := []way{
		{code: netreply.NoError, url: status(200)},
		{code: netreply.ConnectionRefusedError, url: "http://" + closed, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.RemoteHostClosedError, url: raw(""), phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.HostNotFoundError, url: "http://no-such-host.invalid/", phase: netreply.PhaseResolve, retry: true},
		{code: netreply.HostNotFoundError, cfg: dialing(&net.DNSError{Err: "no such host", IsNotFound: true}), url: "http://x.example/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TimeoutError, cfg: netreply.Config{HeadTimeout: 1}, url: silent.URL(), phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.TimeoutError, cfg: netreply.Config{TLSTimeout: 1e7}, url: "https://" + silent.Addr, phase: netreply.PhaseTLS, retry: true},
		{code: netreply.OperationCanceledError, url: silent.URL(), change: func(q *netreply.Request) {
			q.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				if _, ok := e.(netreply.RequestSent); ok {
					r.Abort()
				}
			}
		}},
		{code: netreply.SslHandshakeFailedError, url: secure.URL, phase: netreply.PhaseTLS, retry: false},
		{code: netreply.TemporaryNetworkFailureError, cfg: dialing(syscall.ENETUNREACH), url: "http://127.0.0.1/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TemporaryNetworkFailureError, cfg: dialing(syscall.ENETDOWN), url: "http://127.0.0.1/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TemporaryNetworkFailureError, cfg: dialing(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), url: "http://x.example/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.NetworkSessionFailedError, cfg: dialing(syscall.EADDRNOTAVAIL), url: "http://127.0.0.1/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.BackgroundRequestNotAllowedError, cfg: netreply.Config{ForbidBackground: true}, url: status(200), change: func(q *netreply.Request) { q.Background = true }},
		{code: netreply.TooManyRedirectsError, url: raw("HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), change: func(q *netreply.Request) { q.MaxRedirects = -1 }, phase: netreply.PhaseHeaders},
		{code: netreply.InsecureRedirectError, cfg: netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}}, url: secure.URL, phase: netreply.PhaseHeaders},
		{code: netreply.UnknownNetworkError, cfg: dialing(syscall.EACCES), url: "http://127.0.0.1/", phase: netreply.PhaseConnect, retry: true},
		{code: netreply.ProtocolUnknownError, url: "ftp://127.0.0.1/"},
		{code: netreply.ProtocolUnknownError, url: "/relative"},
		{code: netreply.ProtocolInvalidOperationError, url: status(200), change: func(q *netreply.Request) { q.Headers.Add("bad name", "x") }},
		{code: netreply.ProtocolFailure, url: raw("garbage\r\n\r\n"), phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.ContentReSendError, url: raw("HTTP/1.1 307 X\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), phase: netreply.PhaseSend, retry: false},
	}
	for code, n := range map[netreply.NetworkError]int{netreply.ContentAccessDenied: 403, netreply.ContentOperationNotPermittedError: 405, netreply.ContentNotFoundError: 404,
		netreply.AuthenticationRequiredError: 401, netreply.ContentConflictError: 409, netreply.ContentGoneError: 410, netreply.UnknownContentError: 499,
		netreply.InternalServerError: 500, netreply.OperationNotImplementedError: 501, netreply.ServiceUnavailableError: 503, netreply.UnknownServerError: 599,
		netreply.ProxyAuthenticationRequiredError: 407} {
		ways = append(ways, way{code: code, url: status(n), phase: netreply.PhaseBody, retry: n >= 500 && n != 501})
	}
	// a dialer through a proxy returns the code
	for _, code := range []netreply.NetworkError{netreply.ProxyConnectionRefusedError, netreply.ProxyConnectionClosedError, netreply.ProxyNotFoundError,
		netreply.ProxyTimeoutError, netreply.UnknownProxyError} {
		ways = append(ways, way{code: code, cfg: dialing(fmt.Errorf("proxy.example: %w", code)), url: "http://127.0.0.1/", phase: netreply.PhaseProxy, retry: true})
	}

	produced := map[netreply.NetworkError]bool{}
	for _, w := range ways {
		m := newManager(t, w.cfg)
		req := newRequest(t, w.url)
		if w.change != nil {
			w.change(req)
		}
		var body netreply.Body
		method := "GET"
		if w.code == netreply.ContentReSendError {
			method = "PUT"
			req.DoNotBufferUploadData = true
			body = netreply.ReaderBody(io.MultiReader(strings.NewReader("once")))
		}
		r := m.Send(t.Context(), method, req, body)
		err := r.Wait(deadline(t))
		if w.code == netreply.NoError {
			require.NoError(t, err)
			produced[w.code] = true
			continue
		}
		var e *netreply.Error
		require.ErrorAs(t, err, &e, "%v", w.code)
		require.Equal(t, w.code, e.Code, "%v", err)
		assert.ErrorIs(t, err, w.code)
		assert.Equal(t, w.phase, e.Phase, "%v", err)
		assert.Equal(t, w.retry, e.Retryable, "%v", err)
		assert.Equal(t, w.code.Timeout(), e.Timeout())
		assert.NotEmpty(t, e.Text)
		assert.Equal(t, w.code, <-r.ErrorOccurred())
		produced[w.code] = true
	}
	for name, code := range constants(t) {
		assert.True(t, produced[code], "nothing produces %s", name)
		assert.Equal(t, name, code.String())
	}
	assert.Len(t, produced, 34, "NoError and Qt's 33")
}

// TestH2ErrorCodes: rule E30, frame by frame.
func TestH2ErrorCodes(t *testing.T) {
	want := map[uint32]netreply.NetworkError{1: 399, 2: 401, 3: 399, 4: 4, 5: 399, 6: 399, 8: 399, 9: 399, 10: 99, 11: 499, 12: 201, 13: 399, 77: 399}
	for code, w := range want {
		s := newH2Server(t, func(c *h2conn) {
			id := c.headers()
			c.fr.WriteRSTStream(id, httpCode(code))
			c.drain()
		})
		m := newManager(t, netreply.Config{})
		req := newRequest(t, s)
		req.HTTP = netreply.HTTP2Direct
		err := m.Get(t.Context(), req).Wait(deadline(t))
		assert.ErrorIs(t, err, w, "code %d: %v", code, err)
	}
}

// TestH2RefusedStream: a stream that the server has not processed is sent again, a POST too
// (D33).
func TestH2RefusedStream(t *testing.T) {
	n := 0
	s := newH2Server(t, func(c *h2conn) {
		for {
			id := c.headers()
			if id == 0 {
				return
			}
			if n++; n < 3 {
				c.fr.WriteRSTStream(id, httpCode(7))
				continue
			}
			c.answer(id, "200")
		}
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s)
	req.HTTP = netreply.HTTP2Direct
	require.NoError(t, m.Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t)))
	assert.Equal(t, 3, n)
}

// TestH2GoAway: streams above the last one in GOAWAY are sent on another connection.
func TestH2GoAway(t *testing.T) {
	n := 0
	s := newH2Server(t, func(c *h2conn) {
		id := c.headers()
		if n++; n == 1 {
			c.fr.WriteGoAway(0, 0, nil)
			c.drain()
			return
		}
		c.answer(id, "200")
		c.drain()
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s)
	req.HTTP = netreply.HTTP2Direct
	require.NoError(t, m.Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t)))
	assert.Equal(t, 2, n)
}

// TestRetry: rule D33 over HTTP/1.
func TestRetry(t *testing.T) {
	for _, r := range []struct {
		method string
		marked bool
		want   int // requests the server sees
		code   netreply.NetworkError
	}{
		{"GET", false, 3, 0}, {"PUT", false, 3, 0}, {"POST", false, 2, netreply.RemoteHostClosedError}, {"POST", true, 3, 0},
	} {
		t.Run(fmt.Sprint(r.method, r.marked), func(t *testing.T) {
			seen := make(chan string, 10)
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				for i := 1; ; i++ {
					req, body, ok := c.Request()
					if !ok {
						return
					}
					seen <- req.Method + string(body)
					if c.N == 1 && i == 2 {
						return // the second request on the first connection gets no answer
					}
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			m := newManager(t, netreply.Config{})
			req := newRequest(t, s.URL())
			req.Idempotent = r.marked
			var body netreply.Body
			if r.method != "GET" {
				body = netreply.StringBody("body")
			}
			require.NoError(t, m.Send(t.Context(), r.method, req, body).Wait(t.Context()))
			reply := m.Send(t.Context(), r.method, req, body)
			err := reply.Wait(deadline(t))
			if r.code == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, r.code)
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.False(t, e.Retryable, "it may have been processed")
			}
			require.Len(t, seen, r.want)
			first := <-seen
			for range r.want - 1 {
				assert.Equal(t, first, <-seen, "whole each time")
			}
		})
	}
	// not repeated on a new connection
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { c.Request() })
	m := newManager(t, netreply.Config{})
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL())).Wait(t.Context()), netreply.RemoteHostClosedError)
	assert.Equal(t, 1, s.Connections())
}

// TestQueuedRequestsFail: a host that refuses connections fails every request that waits for
// one (rule E9).
func TestQueuedRequestsFail(t *testing.T) {
	closed := testserver.Refusing(t)
	m := newManager(t, netreply.Config{})
	var all []*netreply.Reply
	for range 30 {
		all = append(all, m.Get(t.Context(), newRequest(t, "http://"+closed)))
	}
	for _, r := range all {
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.ConnectionRefusedError)
	}
}

// TestAlertAfterHandshake: a TLS 1.3 server can refuse the client after the handshake.
func TestAlertAfterHandshake(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	s.TLS.ClientAuth = tls.RequireAnyClientCert
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	err := m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, netreply.PhaseTLS, e.Phase)
}

// TestInvalidRequests: invalid requests are refused before anything is sent, with an error that
// names the field (rule L24).
func TestInvalidRequests(t *testing.T) {
	var dialed bool
	m := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dialed = true
		return nil, errors.New("no")
	}})
	for name, r := range map[string]struct {
		verb   string
		change func(*netreply.Request)
		want   string
	}{
		"header value": {"GET", func(q *netreply.Request) { q.Headers.Add("X-A", "secret\r\nEvil: 1") }, "value of header X-A"},
		"header name":  {"GET", func(q *netreply.Request) { q.Headers.Add("X A", "1") }, `header name "X A"`},
		"host":         {"GET", func(q *netreply.Request) { q.Headers.Add("Host", "a b") }, "Host"},
		"length":       {"POST", func(q *netreply.Request) { q.Headers.Add("Content-Length", "x") }, "Content-Length"},
		"verb":         {"BAD VERB", nil, `verb "BAD VERB"`},
		"no verb":      {"", nil, "verb"},
		"no URL":       {"GET", func(q *netreply.Request) { q.URL = nil }, "URL"},
		"port":         {"GET", func(q *netreply.Request) { q.URL.Host = "x:99999" }, `port "99999"`},
		"redirects":    {"GET", func(q *netreply.Request) { q.MaxRedirects = 1001 }, "MaxRedirects"},
		"policy":       {"GET", func(q *netreply.Request) { q.RedirectPolicy = 9 }, "RedirectPolicy"},
		"priority":     {"GET", func(q *netreply.Request) { q.Priority = 9 }, "Priority"},
		"version":      {"GET", func(q *netreply.Request) { q.HTTP = 9 }, "HTTP"},
	} {
		req := newRequest(t, "http://127.0.0.1/")
		if r.change != nil {
			r.change(req)
		}
		var body netreply.Body
		if r.verb == "POST" {
			body = netreply.StringBody("x")
		}
		err := m.Send(t.Context(), r.verb, req, body).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, name)
		var field *netreply.FieldError
		require.ErrorAs(t, err, &field, name)
		assert.Contains(t, err.Error(), r.want, name)
		assert.NotContains(t, err.Error(), "secret")
	}
	err := m.Get(t.Context(), nil).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	assert.False(t, dialed)
	_, err = netreply.NewRequest("http://user:secret@[bad/")
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	assert.NotContains(t, err.Error(), "secret")
}

func TestErrorText(t *testing.T) {
	e := &netreply.Error{Code: netreply.ConnectionRefusedError, Phase: netreply.PhaseConnect, Method: "GET", URL: "http://x/", Err: errors.New("why")}
	assert.Equal(t, "netreply: GET http://x/: ConnectionRefusedError (connect): why", e.Error())
	assert.Equal(t, "NetworkError(42)", netreply.NetworkError(42).String())
	assert.Equal(t, "Phase(42)", netreply.Phase(42).String())
	assert.Equal(t, "decode", netreply.PhaseDecode.String())
}
