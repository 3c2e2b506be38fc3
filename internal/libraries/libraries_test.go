// Package libraries runs libraries that take an http.RoundTripper or an *http.Client on a
// Manager, and middleware and handlers of others on a Server. It is a separate module, so that programs which use netreply do not depend on
// these. Each test also runs on http.Transport, which shows that it demands nothing more
// than net/http gives.
package libraries

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Lingering{M: m}) }

// client is what a test runs on: a protocol, a proxy if it is not nil, and a transport.
type client struct {
	kind  testserver.Kind
	proxy *url.URL
	make  makeTransport
}

type makeTransport func(testing.TB, *client, *tls.Config) http.RoundTripper

var transports = []struct {
	name string
	make makeTransport
}{
	{"http.Transport", newTransport},
	{"netreply", newManagerTransport},
}

// newTransport makes a transport of net/http.
func newTransport(t testing.TB, c *client, cfg *tls.Config) http.RoundTripper {
	rt := &http.Transport{
		TLSClientConfig: cfg, Protocols: new(http.Protocols), Proxy: http.ProxyURL(c.proxy),
		DialContext: (&net.Dialer{Resolver: resolver}).DialContext,
	}
	rt.Protocols.SetHTTP1(c.kind != testserver.H2C)
	rt.Protocols.SetHTTP2(c.kind == testserver.H2)
	rt.Protocols.SetUnencryptedHTTP2(c.kind == testserver.H2C)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// each runs a test with each transport over each of the protocols.
func each(t *testing.T, kinds []testserver.Kind, test func(*testing.T, *client)) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			for _, kind := range kinds {
				t.Run(string(kind), func(t *testing.T) { test(t, &client{kind: kind, make: transport.make}) })
			}
		})
	}
}

// serve starts a server, and makes a transport that trusts it.
func (c *client) serve(t testing.TB, h http.Handler) (*httptest.Server, http.RoundTripper) {
	s, cfg := testserver.NewOriginWith(t, c.kind, h, func(s *http.Server) { s.ErrorLog = discardLog })
	return s, c.transport(t, cfg)
}

const (
	waitFor = 20 * time.Second
	tick    = 5 * time.Millisecond
)

// transport makes a transport with a TLS configuration.
func (c *client) transport(t testing.TB, cfg *tls.Config) http.RoundTripper { return c.make(t, c, cfg) }

// discardLog is for servers whose errors are expected.
var discardLog = log.New(io.Discard, "", 0)

// version is the protocol as net/http names it.
func (c *client) version() string {
	if c.kind == testserver.H2 || c.kind == testserver.H2C {
		return "HTTP/2.0"
	}
	return "HTTP/1.1"
}

// deadline bounds a test that waits.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// readAll reads a response to its end and closes it.
func readAll(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(b)
}

// echo answers with the request's body.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Write(b)
}
