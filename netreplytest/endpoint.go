package netreplytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// endpoint is one side that clients connect to, a Server or its Proxy: connections, the
// script, and the record of requests. Every goroutine of it has ended when close returns.
type endpoint struct {
	t       TB
	what    string // in messages
	kind    Kind
	handler http.Handler                         // answers what neither a fault nor the script does
	socks   func(*peer, net.Conn, *bufio.Reader) // of a proxy, for clients that speak SOCKS5
	tcp     net.Listener                         // nil for an endpoint in memory
	h1      *queueListener                       // connections for http
	http    *http.Server                         // serves HTTP/1
	running sync.WaitGroup                       // goroutines of connections
	ctx     context.Context                      // of all requests; ends with the test
	cancel  context.CancelFunc
	flawed  certificates

	mu       sync.Mutex
	closed   bool
	fault    Fault // of everything, until recovered; the zero Fault for none
	next     []http.Handler
	requests []*record
	conns    map[net.Conn]*peer
	accepted int
}

// peer is a connection of a client.
type peer struct {
	raw   net.Conn // without TLS
	host  string   // that the client wanted
	fault Fault    // of its handshake
	gone  chan struct{}

	// guarded by the endpoint's lock
	h2   bool
	busy int // requests
	over bool
}

type (
	endpointKey struct{}
	peerKey     struct{}
)

// endpointOf is the endpoint that received a request, nil for another server.
func endpointOf(r *http.Request) *endpoint {
	e, _ := r.Context().Value(endpointKey{}).(*endpoint)
	return e
}

func newEndpoint(t TB, what string, kind Kind, h http.Handler) *endpoint {
	e := &endpoint{t: t, what: what, kind: kind, handler: h, conns: map[net.Conn]*peer{}}
	e.ctx, e.cancel = context.WithCancel(context.WithValue(context.Background(), endpointKey{}, e))
	e.h1 = newQueueListener(memoryAddr(1, kind.port()))
	e.http = &http.Server{
		Handler:     http.HandlerFunc(e.serve),
		ErrorLog:    log.New(io.Discard, "", 0), // failures are wanted
		BaseContext: func(net.Listener) context.Context { return e.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, e.peerOf(c))
		},
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				if s == http.StateClosed {
					e.forget(e.peerOf(c))
				}
				e.running.Done()
			}
		},
	}
	e.running.Go(func() { e.http.Serve(e.h1) })
	t.Cleanup(e.close)
	return e
}

// listen makes the endpoint one on a port.
func (e *endpoint) listen() {
	e.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatalf(prefix+"%v", err)
	}
	e.tcp = ln
	e.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			e.accept(c, "127.0.0.1")
		}
	})
}

// close ends connections and waits for all goroutines.
func (e *endpoint) close() {
	e.cancel()
	if e.tcp != nil {
		e.tcp.Close()
	}
	e.mu.Lock()
	e.closed = true
	open := slices.Collect(func(yield func(net.Conn) bool) {
		for _, p := range e.conns {
			if !yield(p.raw) {
				return
			}
		}
	})
	e.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	e.h1.Close()
	e.http.Close()
	e.running.Wait()
}

// dial connects a client with the endpoint.
func (e *endpoint) dial(ctx context.Context, addr string) (net.Conn, error) {
	if f := e.takeFault(connecting); f.dial != nil {
		return nil, f.dial(ctx, addr)
	}
	if e.tcp != nil {
		return new(net.Dialer).DialContext(ctx, "tcp", e.tcp.Addr().String())
	}
	e.mu.Lock()
	port := 49152 + e.accepted%16384
	e.mu.Unlock()
	client, server := newMemoryConns(memoryAddr(2, port), e.h1.addr)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if !e.accept(server, host) {
		client.Close()
		return nil, dialError(addr, errRefused)
	}
	return client, nil
}

// accept serves a connection; false means that the endpoint is closed.
func (e *endpoint) accept(raw net.Conn, host string) bool {
	p := &peer{raw: raw, host: host, fault: e.takeFault(handshake), gone: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		raw.Close()
		return false
	}
	e.accepted++
	e.conns[raw] = p
	e.running.Go(func() { e.serveConn(p) })
	return true
}

// rawConn is the connection below TLS.
func rawConn(c net.Conn) net.Conn {
	for {
		switch v := c.(type) {
		case *tls.Conn:
			c = v.NetConn()
		case *sniffed:
			c = v.Conn
		default:
			return c
		}
	}
}

func (e *endpoint) peerOf(c net.Conn) *peer {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conns[rawConn(c)]
}

// forget ends a connection.
func (e *endpoint) forget(p *peer) {
	if p == nil {
		return
	}
	p.raw.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, p.raw)
	if !p.over {
		p.over = true
		close(p.gone)
	}
}

// sniffed is a connection of which the first bytes have been looked at.
type sniffed struct {
	net.Conn
	r *bufio.Reader
}

func (s *sniffed) Read(b []byte) (int, error) { return s.r.Read(b) }

// tlsHandshake is the first byte of a client that speaks TLS (RFC 8446, section 5.1).
const tlsHandshake = 22

// serveConn makes the handshake and chooses the protocol.
func (e *endpoint) serveConn(p *peer) {
	c := p.raw
	h2 := false
	switch e.kind {
	case HTTPS, HTTP2:
		if p.fault.greet != nil {
			p.fault.greet(e, p)
			e.forget(p)
			return
		}
		s := tls.Server(p.raw, e.tlsConfig(p))
		if s.HandshakeContext(e.ctx) != nil { // a client may refuse the certificate
			e.forget(p)
			return
		}
		c, h2 = s, s.ConnectionState().NegotiatedProtocol == "h2"
	case HTTP:
		if e.socks == nil {
			break
		}
		s := &sniffed{p.raw, bufio.NewReader(p.raw)}
		start, err := s.r.Peek(1)
		switch {
		case err != nil:
			e.forget(p)
			return
		case start[0] == socksVersion:
			e.socks(p, s, s.r)
			e.forget(p)
			return
		case start[0] == tlsHandshake:
			c = tls.Server(s, e.tlsConfig(p))
		default:
			c = s
		}
	case HTTP2Cleartext:
		s := &sniffed{p.raw, bufio.NewReader(p.raw)}
		start, err := s.r.Peek(3)
		if err != nil {
			e.forget(p)
			return
		}
		c, h2 = s, string(start) == http2.ClientPreface[:3]
	}
	if h2 {
		e.mu.Lock()
		p.h2 = true
		e.mu.Unlock()
		serveH2(e, p, c)
		e.forget(p)
		return
	}
	e.running.Add(1) // ConnState takes it back
	if e.h1.put(e.ctx, c) != nil {
		e.forget(p)
		e.running.Done()
	}
}

// tlsConfig presents a certificate for whatever host the client wants.
func (e *endpoint) tlsConfig(p *peer) *tls.Config {
	protocols := []string{"http/1.1"}
	if e.kind == HTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	return &tls.Config{
		NextProtos: protocols,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			host := hello.ServerName
			if host == "" {
				host = p.host
			}
			if p.fault.flaw == flawless {
				return flawlessOnes.of(host, flawless), nil
			}
			return e.flawed.of(host, p.fault.flaw), nil
		},
	}
}

// serve records and answers a request.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	e.running.Add(1) // a connection that was hijacked no longer counts
	defer e.running.Done()
	p, _ := r.Context().Value(peerKey{}).(*peer)
	e.busy(p, 1)
	defer e.busy(p, -1)
	if e.stale(p) {
		if c := controlOf(w, r, true); c != nil && !c.goAway(0) {
			c.closeConn()
		}
		return
	}
	rec := &record{Request: Request{
		Method: r.Method, Host: r.Host, Target: r.RequestURI, Proto: r.Proto, Header: r.Header.Clone(),
	}}
	e.mu.Lock()
	e.requests = append(e.requests, rec)
	e.mu.Unlock()
	r.Body = &recordedBody{r.Body, rec}
	h, last := e.takeAnswer()
	if last {
		w.Header().Set("Connection", "close") // over HTTP/2, GOAWAY
	}
	defer func() {
		if bad := recover(); bad != nil {
			if bad != http.ErrAbortHandler {
				e.t.Errorf(prefix+"%s: the handler of %s %s panics: %v", e.what, r.Method, r.URL.Path, bad)
			}
			panic(http.ErrAbortHandler)
		}
	}()
	h.ServeHTTP(w, r)
}

func (e *endpoint) busy(p *peer, n int) {
	if p == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p.busy += n
}

// noticed is how long closeIdle waits for a client.
const noticed = time.Second

// closeIdle closes the connections of HTTP/1 without a request, and waits until the clients
// have noticed, so that their next requests connect anew. A client of HTTP/2 is told so by
// the answer to its next request.
func (e *endpoint) closeIdle() {
	e.mu.Lock()
	var idle []*peer
	for _, p := range e.conns {
		if p.busy == 0 && !p.h2 {
			idle = append(idle, p)
		}
	}
	e.mu.Unlock()
	timer := time.NewTimer(noticed)
	defer timer.Stop()
	for _, p := range idle {
		p.raw.(interface{ CloseWrite() error }).CloseWrite()
		select {
		case <-p.gone:
		case <-timer.C: // a client that does not read; the timer is over for the others too
			for _, p := range idle {
				p.raw.Close()
			}
			return
		}
	}
}

func (e *endpoint) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted
}
