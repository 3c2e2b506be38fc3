package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// hooks records the hooks of a trace.
type hooks struct {
	// gate delays the response of the server until the hooks for the request were called.
	gate chan struct{}

	mu   sync.Mutex
	told []string
}

func (h *hooks) add(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

// list returns the hooks called since the last call.
func (h *hooks) list() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := strings.Join(h.told, "\n")
	h.told = nil
	return list
}

func (h *hooks) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(hostPort string) { h.add("GetConn %s", hostPort) },
		GotConn: func(i httptrace.GotConnInfo) {
			h.add("GotConn %T %v reused=%t idle=%t for a time=%t", i.Conn, i.Conn.RemoteAddr(), i.Reused, i.WasIdle, i.IdleTime > 0)
		},
		PutIdleConn:          func(err error) { h.add("PutIdleConn %v", err) },
		GotFirstResponseByte: func() { h.add("GotFirstResponseByte") },
		Got100Continue:       func() { h.add("Got100Continue") },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			if code != http.StatusContinue { // reported by Got100Continue, for which the body waits
				h.add("Got1xxResponse %d", code)
			}
			return nil
		},
		DNSStart:          func(i httptrace.DNSStartInfo) { h.add("DNSStart %s", i.Host) },
		DNSDone:           func(i httptrace.DNSDoneInfo) { h.add("DNSDone %v", i.Err) },
		ConnectStart:      func(network, addr string) { h.add("ConnectStart %s %s", network, addr) },
		ConnectDone:       func(network, addr string, err error) { h.add("ConnectDone %s %s %v", network, addr, err) },
		TLSHandshakeStart: func() { h.add("TLSHandshakeStart") },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			h.add("TLSHandshakeDone %q complete=%t failed=%t", s.NegotiatedProtocol, s.HandshakeComplete, err != nil)
		},
		WroteHeaderField: func(name string, _ []string) { h.add("WroteHeaderField %s", name) },
		WroteHeaders:     func() { h.add("WroteHeaders") },
		Wait100Continue:  func() { h.add("Wait100Continue"); h.gate <- struct{}{} },
		WroteRequest:     func(i httptrace.WroteRequestInfo) { h.add("WroteRequest %v", i.Err); h.gate <- struct{}{} },
	}
}

// TestTrace: the hooks of a trace are called as by net/http's own Transport, in the same order,
// on new and on kept connections of every kind.
func TestTrace(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  testserver.Kind
		proxy string // the scheme of its URL; "" for none
	}{
		{"HTTP/1", testserver.Plain, ""},
		{"HTTP/1 over TLS", testserver.TLS, ""},
		{"HTTP/2", testserver.H2, ""},
		{"HTTP/2 in clear text", testserver.H2C, ""},
		{"forwarding proxy", testserver.Plain, "http"},
		{"tunnel", testserver.TLS, "http"},
		{"tunnel to HTTP/2", testserver.H2, "http"},
		{"tunnel of a proxy over TLS", testserver.TLS, "https"},
	} {
		for engine, newTransport := range engines {
			t.Run(c.name+"/"+engine, func(t *testing.T) {
				h := &hooks{gate: make(chan struct{}, 1)}
				s, cfg := testserver.NewOrigin(t, c.kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						<-h.gate // it waits for 100
						io.Copy(io.Discard, r.Body)
					}
					<-h.gate
					if r.Header.Get("X-Via") == "" { // that proxy would treat it as the final head
						w.WriteHeader(http.StatusEarlyHints)
					}
					io.WriteString(w, "text")
				}))
				var proxy *url.URL
				var route *dial.Proxy
				if c.proxy != "" {
					var over *tls.Config
					route = &dial.Proxy{Kind: dial.Tunnel}
					if c.proxy == "https" {
						over = &tls.Config{Certificates: s.TLS.Certificates}
						route.TLS = &tls.Config{RootCAs: cfg.RootCAs, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}
					}
					p := testserver.NewProxy(t, s.Listener.Addr().String(), over)
					proxy, route.Addr = &url.URL{Scheme: c.proxy, Host: p.Addr}, p.Addr
				}

				std := &http.Transport{DisableCompression: true, TLSClientConfig: cfg.Clone(), Proxy: http.ProxyURL(proxy), ExpectContinueTimeout: time.Minute}
				std.Protocols = protocols((*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2)
				if c.kind == testserver.H2C {
					std.Protocols = protocols((*http.Protocols).SetUnencryptedHTTP2)
				}
				defer std.CloseIdleConnections()
				tr := newTransport(Config{Dialer: &dial.Dialer{}})
				defer tr.Close()
				profile := &Profile{Config: cfg}
				ours := func(req *http.Request) (*http.Response, error) {
					x := &Exchange{Observer: &recorder{}, Key: Key{Scheme: req.URL.Scheme, Addr: req.URL.Host, Route: route}}
					switch {
					case c.kind == testserver.H2C:
						x.Key.Protocol = HTTP2
					case req.URL.Scheme == "https":
						x.Key.Profile = profile
					case route != nil:
						route.Kind = dial.Forward
						x.Key.Addr, x.Key.Target, x.Key.Protocol = route.Addr, req.URL.Host, HTTP1
						req.URL.Opaque = "//" + req.URL.Host + "/"
					}
					return tr.RoundTrip(req, x)
				}

				for _, method := range []string{"GET", "GET", "HEAD", "POST"} {
					run := func(roundTrip func(*http.Request) (*http.Response, error)) string {
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						defer cancel()
						var body io.Reader
						if method == http.MethodPost {
							body = strings.NewReader("some")
						}
						req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, h.trace()), method, s.URL+"/", body)
						require.NoError(t, err)
						if body != nil {
							req.Header.Set("Expect", "100-continue")
						}
						resp, err := roundTrip(req)
						require.NoError(t, err)
						_, err = io.Copy(io.Discard, resp.Body)
						require.NoError(t, err)
						resp.Body.Close()
						return h.list()
					}
					if method == http.MethodPost && c.name == "forwarding proxy" {
						continue // this one reads the whole request and ignores Expect
					}
					want, got := run(std.RoundTrip), run(ours)
					require.Contains(t, want, "GotConn")
					looksFor := s.Listener.Addr().String()
					if proxy != nil {
						looksFor = proxy.Host
					}
					assert.True(t, strings.HasPrefix(got, "GetConn "+looksFor+"\n"), got)
					assert.Equal(t, behindGetConn(want), behindGetConn(got), method)
				}
			})
		}
	}
}

// behindGetConn removes GetConn from a list: net/http's HTTP/2 reports it twice for a
// connection in clear text, and with the target for a kept connection to a proxy.
func behindGetConn(list string) string {
	for strings.HasPrefix(list, "GetConn ") {
		_, list, _ = strings.Cut(list, "\n")
	}
	return list
}

// TestTraceOfDial: the hooks of a dial are called for the exchange for which it was
// started, and GotConn for the exchange that gets the connection.
func TestTraceOfDial(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "text") }))
	dials, let := make(chan struct{}, 2), make(chan struct{})
	tr := NewTransport(Config{ConnsPerHost: 1, Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials <- struct{}{}
		<-let
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}})
	defer tr.Close()
	send := func(ctx context.Context, p Priority, h *hooks, queued chan<- struct{}) error {
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, h.trace()), "GET", s.URL, nil)
		require.NoError(t, err)
		o := &queueWatch{queued: queued}
		resp, err := tr.RoundTrip(req, &Exchange{Observer: o, Priority: p, Key: Key{Scheme: "http", Addr: req.URL.Host}})
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	}
	newHooks := func() *hooks { return &hooks{gate: make(chan struct{}, 10)} }
	opener, heir, queued := newHooks(), newHooks(), make(chan struct{}, 1)
	ctx, leave := context.WithCancel(t.Context())
	opened, inherited := make(chan error, 1), make(chan error, 1)
	go func() { opened <- send(ctx, Normal, opener, queued) }()
	<-queued
	<-dials
	go func() { inherited <- send(t.Context(), Normal, heir, queued) }()
	<-queued
	leave()
	require.ErrorIs(t, <-opened, context.Canceled)
	close(let)
	require.NoError(t, <-inherited)
	addr := s.Listener.Addr().String()
	assert.Equal(t, "GetConn "+addr+"\nConnectStart tcp "+addr+"\nConnectDone tcp "+addr+" <nil>", opener.list())
	assert.Equal(t, "GetConn "+addr+"\nGotConn *net.TCPConn "+addr+" reused=false idle=false for a time=false", strings.Join(strings.SplitN(heir.list(), "\n", 3)[:2], "\n"))
	assert.Empty(t, dials)
}

// queueWatch reports when an exchange waits.
type queueWatch struct {
	recorder
	queued chan<- struct{}
}

func (w *queueWatch) Waiting(bool) { w.queued <- struct{}{} }

// TestTraceWithoutHooks: a trace without these hooks, which every request of this module
// has, causes no allocation for a kept connection.
func TestTraceWithoutHooks(t *testing.T) {
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }})
	x := &Exchange{Key: Key{Scheme: "http", Addr: "h:80"}}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		x.traceGetConn(ctx)
		x.traceGotConn(ctx)
	}))
	assert.Nil(t, x.gotConn)
	assert.Equal(t, t.Context(), dial.WithTrace(t.Context(), httptrace.ContextClientTrace(ctx)))
}
