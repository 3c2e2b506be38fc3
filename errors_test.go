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
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/netreplytest"
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

// TestEveryCode produces each code once, and fails for one that nothing produces.
func TestEveryCode(t *testing.T) {
	dialing := func(err error) func(*netreply.Config) {
		return func(c *netreply.Config) {
			c.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
		}
	}
	type way struct {
		code   netreply.NetworkError
		fault  netreplytest.Fault // without it and set, that of code
		set    func(*netreply.Config)
		change func(*netreply.Request)
		phase  netreply.Phase
		retry  bool
	}
	ways := []way{
		{code: netreply.NoError},
		{code: netreply.ConnectionRefusedError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.RemoteHostClosedError, phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.HostNotFoundError, set: func(c *netreply.Config) { c.DialContext = nil }, change: changeURL("http://no-such-host.invalid/"), phase: netreply.PhaseResolve, retry: true},
		{code: netreply.HostNotFoundError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TimeoutError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TimeoutError, fault: netreplytest.HangConnecting(), phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TimeoutError, fault: netreplytest.StallHandshake(), phase: netreply.PhaseTLS, retry: true},
		{code: netreply.TimeoutError, fault: netreplytest.Stall(), set: func(c *netreply.Config) { c.HeadTimeout = 1 }, phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.OperationCanceledError, fault: netreplytest.Stall(), change: func(q *netreply.Request) {
			q.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				if _, ok := e.(netreply.RequestSent); ok {
					r.Abort()
				}
			}
		}},
		{code: netreply.SslHandshakeFailedError, fault: netreplytest.UnknownIssuerCertificate(), phase: netreply.PhaseTLS, retry: false},
		{code: netreply.SslHandshakeFailedError, phase: netreply.PhaseTLS, retry: false},
		{code: netreply.TemporaryNetworkFailureError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TemporaryNetworkFailureError, set: dialing(syscall.ENETDOWN), phase: netreply.PhaseConnect, retry: true},
		{code: netreply.TemporaryNetworkFailureError, set: dialing(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), phase: netreply.PhaseConnect, retry: true},
		{code: netreply.NetworkSessionFailedError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.BackgroundRequestNotAllowedError, fault: netreplytest.Stall(), set: func(c *netreply.Config) { c.ForbidBackground = true }, change: func(q *netreply.Request) { q.Background = true }},
		{code: netreply.TooManyRedirectsError, phase: netreply.PhaseHeaders},
		{code: netreply.InsecureRedirectError, phase: netreply.PhaseHeaders},
		{code: netreply.UnknownNetworkError, phase: netreply.PhaseConnect, retry: true},
		{code: netreply.ProtocolUnknownError, fault: netreplytest.Stall(), change: changeURL("ftp://127.0.0.1/")},
		{code: netreply.ProtocolUnknownError, fault: netreplytest.Stall(), change: changeURL("/relative")},
		{code: netreply.ProtocolUnknownError, phase: netreply.PhaseHeaders},
		{code: netreply.ProtocolInvalidOperationError, fault: netreplytest.Stall(), change: func(q *netreply.Request) { q.Headers.Add("bad name", "x") }},
		{code: netreply.ProtocolInvalidOperationError, phase: netreply.PhaseBody},
		{code: netreply.ProtocolFailure, phase: netreply.PhaseHeaders, retry: true},
		{code: netreply.ContentReSendError, phase: netreply.PhaseSend, retry: false},
		{code: netreply.UnknownContentError, fault: netreplytest.DamageCoding(), phase: netreply.PhaseDecode, retry: false},
	}
	for _, code := range []netreply.NetworkError{netreply.ContentAccessDenied, netreply.ContentOperationNotPermittedError, netreply.ContentNotFoundError,
		netreply.AuthenticationRequiredError, netreply.ContentConflictError, netreply.ContentGoneError, netreply.UnknownContentError,
		netreply.InternalServerError, netreply.OperationNotImplementedError, netreply.ServiceUnavailableError, netreply.UnknownServerError,
		netreply.ProxyAuthenticationRequiredError} {
		ways = append(ways, way{code: code, phase: netreply.PhaseBody, retry: code > 400 && code != netreply.OperationNotImplementedError})
	}
	for _, code := range []netreply.NetworkError{netreply.ProxyConnectionRefusedError, netreply.ProxyConnectionClosedError, netreply.ProxyNotFoundError,
		netreply.ProxyTimeoutError, netreply.UnknownProxyError} {
		ways = append(ways, way{code: code, phase: netreply.PhaseProxy, retry: true},
			// a dialer through a proxy returns the code
			way{code: code, set: dialing(fmt.Errorf("proxy.example: %w", code)), phase: netreply.PhaseProxy, retry: true})
	}

	produced := map[netreply.NetworkError]bool{}
	for _, w := range ways {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, netreplytest.HTTPS)
			s.Handle("/", netreplytest.Answer{})
			switch {
			case w.fault.Code() != netreply.NoError:
				s.Fail(w.fault)
			case w.set == nil:
				s.Fail(netreplytest.Fail(w.code))
			}
			cfg := s.Config()
			if w.set != nil {
				w.set(&cfg)
			}
			req := s.Request("/")
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
			r := newManager(t, cfg).Send(t.Context(), method, req, body)
			err := r.Wait(t.Context())
			produced[w.code] = true
			if w.code == netreply.NoError {
				require.NoError(t, err)
				return
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
		})
	}
	for name, code := range constants(t) {
		assert.True(t, produced[code], "nothing produces %s", name)
		assert.Equal(t, name, code.String())
	}
	assert.Len(t, produced, 34, "NoError and Qt's 33")
}

// changeURL makes a request one for another URL.
func changeURL(raw string) func(*netreply.Request) {
	return func(q *netreply.Request) {
		other, err := netreply.NewRequest(raw)
		if err != nil {
			panic(err)
		}
		q.URL = other.URL
	}
}

// TestH2ErrorCodes: rule E30.
func TestH2ErrorCodes(t *testing.T) {
	want := map[uint32]netreply.NetworkError{1: 399, 2: 401, 3: 399, 4: 4, 5: 399, 6: 399, 8: 399, 9: 399, 10: 99, 11: 499, 12: 201, 13: 399, 77: 399}
	for _, kind := range []netreplytest.Kind{netreplytest.HTTP2, netreplytest.HTTP2Cleartext} {
		s := netreplytest.NewServer(t, kind)
		for code, w := range want {
			if kind == netreplytest.HTTP2 && code == 13 {
				continue // HTTP_1_1_REQUIRED: sent again over HTTP/1.1
			}
			s.Fail(netreplytest.ResetStream(code))
			err := s.Manager().Get(t.Context(), s.Request("/")).Wait(deadline(t))
			assert.ErrorIs(t, err, w, "code %d: %v", code, err)
		}
	}
}

// TestH2RefusedStream: a stream that the server has not processed is sent again, a POST too
// (D33).
func TestH2RefusedStream(t *testing.T) {
	const refused = 7
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.ResetStream(refused), netreplytest.ResetStream(refused), netreplytest.Answer{})
	require.NoError(t, s.Manager().Post(t.Context(), s.Request("/"), netreply.StringBody("x")).Wait(deadline(t)))
	assert.Len(t, s.Requests(), 3)
	assert.Equal(t, 1, s.Connections())
}

// TestH2GoAway: streams above the last one in GOAWAY are sent on another connection.
func TestH2GoAway(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.GoAway(0), netreplytest.Answer{})
	require.NoError(t, s.Manager().Post(t.Context(), s.Request("/"), netreply.StringBody("x")).Wait(deadline(t)))
	assert.Len(t, s.Requests(), 2)
	assert.Equal(t, 2, s.Connections())
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
