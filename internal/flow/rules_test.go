package flow

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Tests of pure functions.

// TestMayRepeat: rule D33.
func TestMayRepeat(t *testing.T) {
	for name, row := range map[string]struct {
		err             error
		once, freely    bool // for a request that is not idempotent, and one that is
		refused, http11 bool // nothingSent and requiresHTTP11
	}{
		"not of the wire":              {err: io.EOF},
		"unprocessed":                  {err: &wire.Error{Phase: wire.Headers, Fault: wire.Reset, Unprocessed: true}, once: true, freely: true},
		"above the last stream":        {err: &wire.Error{Phase: wire.Headers, Fault: wire.GoAway, Unprocessed: true}, once: true, freely: true},
		"the connection had ended":     {err: &wire.Error{Phase: wire.Headers, Fault: wire.Closed, Unprocessed: true}, once: true, freely: true, refused: true},
		"reused, nothing sent":         {err: &wire.Error{Phase: wire.Send, Fault: wire.Closed, Reused: true}, once: true, freely: true},
		"reused, sent":                 {err: &wire.Error{Phase: wire.Headers, Fault: wire.Closed, Reused: true, Sent: 10}, freely: true},
		"reused, answered":             {err: &wire.Error{Phase: wire.Headers, Fault: wire.Closed, Reused: true, Sent: 10, Began: true}},
		"reused, in the body":          {err: &wire.Error{Phase: wire.Body, Fault: wire.Closed, Reused: true, Sent: 10}},
		"reused, stray bytes":          {err: &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Stray: true, Reused: true, Sent: 10}, freely: true},
		"reused, malformed":            {err: &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Reused: true, Sent: 10}},
		"new":                          {err: &wire.Error{Phase: wire.Headers, Fault: wire.Closed, Sent: 10}},
		"no connection":                {err: &wire.Error{Phase: wire.Connect}, refused: true},
		"no address":                   {err: &wire.Error{Phase: wire.Resolve}, refused: true},
		"no handshake":                 {err: &wire.Error{Phase: wire.TLS}, refused: true},
		"no proxy":                     {err: &wire.Error{Phase: wire.Proxy}, refused: true},
		"wrapped":                      {err: fmt.Errorf("so: %w", &wire.Error{Phase: wire.Headers, Fault: wire.Reset, Unprocessed: true}), once: true, freely: true},
		"HTTP/1.1, please":             {err: &wire.Error{Phase: wire.Headers, Fault: wire.Reset, Code: 13}, http11: true},
		"HTTP/1.1 for the connection":  {err: &wire.Error{Phase: wire.Headers, Fault: wire.GoAway, Code: 13}, http11: true},
		"13 that is no code of HTTP/2": {err: &wire.Error{Phase: wire.Headers, Fault: wire.Closed, Code: 13}},
	} {
		assert.Equal(t, row.once, mayRepeat(row.err, false), name)
		assert.Equal(t, row.freely, mayRepeat(row.err, true), name)
		assert.Equal(t, row.refused, nothingSent(row.err), name)
		assert.Equal(t, row.http11, requiresHTTP11(row.err), name)
	}
	assert.False(t, mayRepeat(nil, true))
	assert.False(t, nothingSent(nil))
}

// TestIdempotentMethod: RFC 9110, section 9.2.2.
func TestIdempotentMethod(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "get": false, "": false, "X": false} {
		assert.Equal(t, want, IdempotentMethod(method), method)
	}
}

// TestMergeCookies: the program's cookies are first and take precedence (rule C1).
func TestMergeCookies(t *testing.T) {
	for _, row := range []struct {
		own  []string
		jar  string
		want string
	}{
		{nil, "a=1; b=2", "a=1; b=2"},
		{[]string{""}, "a=1", "a=1"},
		{[]string{" ; "}, "a=1", "a=1"},
		{[]string{"a=mine"}, "a=1; b=2", "a=mine; b=2"},
		{[]string{"a=mine", "c=3"}, "a=1; b=2", "a=mine; c=3; b=2"},
		{[]string{"\tc ;a = mine;"}, "a=1; b=2", "c ;a = mine; b=2"},
		{[]string{"A=mine"}, "a=1", "A=mine; a=1"},
		{[]string{"a"}, "a=1", "a; a=1"},
		{[]string{"c=3"}, "a=b=c; d=", "c=3; a=b=c; d="},
	} {
		assert.Equal(t, row.want, mergeCookies(row.own, row.jar), "%q", row.own)
	}
}

// TestToMap: the fields that are sent, and their names.
func TestToMap(t *testing.T) {
	h := headers.New("host", "a", "content-length", "1", "Transfer-Encoding", "chunked", "x-MINE", "1", "X-Mine", "2", "user-agent", "me",
		"EXPECT", "100-continue", "x-MINE", "3", "proxy-authorization", "p")
	assert.Equal(t, http.Header{"x-MINE": {"1", "3"}, "X-Mine": {"2"}, "User-Agent": {"me"}, "Expect": {"100-continue"}, "Proxy-Authorization": {"p"}}, toMap(nil, h))
	assert.Equal(t, http.Header{}, toMap(nil, headers.Headers{}))
}

// TestAsksForCodings: rule Z2.
func TestAsksForCodings(t *testing.T) {
	assert.True(t, asksForCodings(headers.Headers{}))
	assert.True(t, asksForCodings(headers.New("Accept", "*/*")))
	assert.False(t, asksForCodings(headers.New("accept-encoding", "identity")))
	assert.False(t, asksForCodings(headers.New("range", "bytes=0-")))
}

// TestExpectsContinue: only 100-continue.
func TestExpectsContinue(t *testing.T) {
	for value, want := range map[string]bool{"100-continue": true, " 100-Continue\t": true, "": false, "101-continue": false} {
		assert.Equal(t, want, expectsContinue(http.Header{"Expect": {value}}), value)
	}
}

// TestHTTP11Origins: the key is scheme and address, and the number is limited.
func TestHTTP11Origins(t *testing.T) {
	e := NewEngine(Config{})
	defer e.Close()
	assert.Equal(t, wire.Negotiate, e.protocol(wire.Negotiate, "https", "a:443"))
	e.http11.add("https", "a:443")
	assert.Equal(t, wire.HTTP1, e.protocol(wire.Negotiate, "https", "a:443"))
	assert.Equal(t, wire.HTTP2, e.protocol(wire.HTTP2, "https", "a:443"), "HTTP2 is never replaced")
	assert.Equal(t, wire.Negotiate, e.protocol(wire.Negotiate, "https", "b:443"))
	assert.Equal(t, wire.Negotiate, e.protocol(wire.Negotiate, "http", "a:443"))
	for i := range 2 * maxHTTP11Origins {
		e.http11.add("https", fmt.Sprint("h:", i))
		assert.True(t, e.http11.has("https", fmt.Sprint("h:", i)))
	}
	assert.Len(t, e.http11.origins, maxHTTP11Origins)
	for range 2 * maxHTTP11Origins {
		e.http11.add("https", "again:1") // replaces another one
	}
	assert.Len(t, e.http11.origins, maxHTTP11Origins)
}

// TestRoutes: the properties that distinguish routes.
func TestRoutes(t *testing.T) {
	transport := wire.NewTransport(wire.Config{Dialer: &dial.Dialer{}})
	defer transport.Close()
	e := NewEngine(Config{UserAgent: "engine", Wire: transport})
	defer e.Close()
	at := func(address string) *url.URL {
		u, err := url.Parse(address)
		assert.NoError(t, err)
		return u
	}
	plain, tls := at("http://a/"), at("https://a/")
	proxy := Proxy{Addr: "p:1", Name: "p"}
	creds := &auth.Credentials{User: "u", Password: "p"}
	base := e.route(&proxy, &Request{}, tls, nil)
	assert.Equal(t, dial.Tunnel, base.Kind)
	assert.Equal(t, [][2]string{{"User-Agent", "engine"}}, base.Fields)
	same := proxy // an equal value
	assert.Same(t, base, e.route(&same, &Request{}, at("https://b/c"), nil))

	other := map[string]*dial.Proxy{
		"base":        base,
		"credentials": e.route(&proxy, &Request{}, tls, creds),
		"forwarding":  e.route(&proxy, &Request{}, plain, nil),
		"h2c":         e.route(&proxy, &Request{HTTP: wire.HTTP2, Headers: headers.New("User-Agent", "h2c")}, plain, nil),
		"user agent":  e.route(&proxy, &Request{Headers: headers.New("user-agent", "mine")}, tls, nil),
		"fields":      e.route(&Proxy{Addr: "p:1", Headers: headers.New("X-A", "1")}, &Request{}, tls, nil),
		"own agent":   e.route(&Proxy{Addr: "p:1", Headers: headers.New("user-agent", "proxy's")}, &Request{}, tls, nil),
		"SOCKS5":      e.route(&Proxy{Addr: "p:1", SOCKS5: true}, &Request{}, tls, nil),
		"local names": e.route(&Proxy{Addr: "p:1", SOCKS5: true, LocalNames: true}, &Request{}, tls, nil),
		"address":     e.route(&Proxy{Addr: "p:2"}, &Request{}, tls, nil),
	}
	for name, a := range other {
		for second, b := range other {
			assert.Equal(t, name == second, a == b, "%s, %s", name, second)
		}
	}
	assert.Equal(t, [][2]string{{"User-Agent", "engine"}, {"X-A", "1"}}, other["fields"].Fields)
	assert.Equal(t, [][2]string{{"user-agent", "proxy's"}}, other["own agent"].Fields)
	assert.Same(t, other["forwarding"], e.route(&proxy, &Request{}, plain, creds), "credentials are in the request")
	assert.Same(t, other["credentials"], e.route(&proxy, &Request{}, tls, &auth.Credentials{User: "u", Password: "p"}))

	for i := range 2 * maxRoutes {
		e.route(&Proxy{Addr: fmt.Sprint("p:", i)}, &Request{}, tls, nil)
	}
	assert.LessOrEqual(t, len(e.routes.byKey), maxRoutes)
	e.ForgetLogins()
	assert.Empty(t, e.routes.byKey)
	assert.NotSame(t, base, e.route(&proxy, &Request{}, tls, nil))
	e.Close()
	e.route(&proxy, &Request{}, tls, nil)
	assert.Empty(t, e.routes.byKey, "none is kept any more")
}

// TestErrors: texts and causes of the errors.
func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	e := &Error{Kind: BodySource, Err: cause}
	assert.Equal(t, "cause", e.Error())
	assert.ErrorIs(t, e, cause)
	f := &ProxyFailure{Proxy: &Proxy{Name: "p"}, Err: e}
	assert.Equal(t, "proxy p: cause", f.Error())
	assert.ErrorIs(t, f, cause)
	var refusal *httpurl.Refusal
	assert.NotErrorAs(t, f, &refusal)
}
