// Package testserver has servers for tests: origins with every protocol, raw servers with
// control of every byte, proxies, connections with faults, servers with NTLM, and listeners
// in memory for tests in fake time.
package testserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Raw is a server on 127.0.0.1 that calls a function for each connection.
type Raw struct {
	Addr string
	mu   sync.Mutex
	n    int
	live map[net.Conn]bool
}

// Connections is the number of accepted connections.
func (s *Raw) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// URL of the server.
func (s *Raw) URL() string { return "http://" + s.Addr }

// Conn is an accepted connection.
type Conn struct {
	net.Conn
	R *bufio.Reader
	N int // counts from 1
}

// Request reads a request with its body; ok is false at the end of the
// connection.
func (c *Conn) Request() (req *http.Request, body []byte, ok bool) {
	req, err := http.ReadRequest(c.R)
	if err != nil {
		return nil, nil, false
	}
	body, err = io.ReadAll(req.Body)
	return req, body, err == nil
}

// Head reads a request up to its body.
func (c *Conn) Head() (req *http.Request, ok bool) {
	req, err := http.ReadRequest(c.R)
	return req, err == nil
}

// Say writes text.
func (c *Conn) Say(text string) { io.WriteString(c.Conn, text) }

// Reset closes the connection with a TCP reset.
func (c *Conn) Reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// NewRaw starts a server, with TLS if cfg is not nil. It ends with the test; a connection
// is closed when its function returns.
func NewRaw(t testing.TB, cfg *tls.Config, serve func(*Conn)) *Raw {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Raw{Addr: ln.Addr().String(), live: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.n++
			n := s.n
			s.live[raw] = true
			s.mu.Unlock()
			wg.Go(func() {
				defer func() {
					raw.Close()
					s.mu.Lock()
					delete(s.live, raw)
					s.mu.Unlock()
				}()
				c := raw
				if cfg != nil {
					c = tls.Server(raw, cfg)
				}
				serve(&Conn{Conn: c, R: bufio.NewReader(c), N: n})
				if cfg != nil {
					c.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for c := range s.live {
			c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

// Kind is a protocol for serving a handler.
type Kind string

const (
	Plain Kind = "h1"    // HTTP/1.1
	TLS   Kind = "h1tls" // HTTP/1.1 over TLS
	H2    Kind = "h2"    // HTTP/2 over TLS
	H2C   Kind = "h2c"   // HTTP/2 in clear text, by prior knowledge
)

// Kinds are all kinds.
var Kinds = []Kind{Plain, TLS, H2, H2C}

// NewOrigin serves a handler until the end of the test, and returns a TLS configuration
// that trusts it.
func NewOrigin(t testing.TB, kind Kind, h http.Handler) (*httptest.Server, *tls.Config) {
	return NewOriginWith(t, kind, h, func(*http.Server) {})
}

// NewOriginWith is NewOrigin with a function that changes the server before its start.
func NewOriginWith(t testing.TB, kind Kind, h http.Handler, set func(*http.Server)) (*httptest.Server, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	set(s.Config)
	s.TLS, s.Config.TLSConfig = s.Config.TLSConfig, nil // used by httptest
	switch kind {
	case H2C:
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	case Plain:
		s.Start()
	default:
		s.EnableHTTP2 = kind == H2
		s.StartTLS()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	cfg := &tls.Config{}
	if cert := s.Certificate(); cert != nil {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AddCert(cert)
	}
	return s, cfg
}

// Memory is a listener without a network: its connections are net.Pipes, which
// testing/synctest can wait for.
type Memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewMemory makes a listener.
func NewMemory() *Memory {
	return &Memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// DialContext connects to the listener, for any address.
func (m *Memory) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, errors.New("the listener is closed")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept returns the other end of a dialled connection.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr is a name for logs.
func (m *Memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// Refusing returns an address that refuses connections until the end of the test: it is the
// local address of an open connection, so that nothing listens on it and the system does
// not reuse it.
func Refusing(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c.LocalAddr().String()
}
