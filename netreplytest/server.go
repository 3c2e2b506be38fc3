package netreplytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/netreply/netreply"
)

// Kind is the protocol of a Server.
type Kind int

const (
	HTTP           Kind = iota // HTTP/1.1
	HTTPS                      // HTTP/1.1 over TLS
	HTTP2                      // HTTP/2 over TLS, and HTTP/1.1 for a client that wants it
	HTTP2Cleartext             // HTTP/2 without TLS, by prior knowledge, and HTTP/1.1
)

// Kinds are all kinds, for tests that have to hold for each.
var Kinds = []Kind{HTTP, HTTPS, HTTP2, HTTP2Cleartext}

// String returns the name of the constant.
func (k Kind) String() string {
	names := [...]string{"HTTP", "HTTPS", "HTTP2", "HTTP2Cleartext"}
	if k < 0 || int(k) >= len(names) {
		return "unknown Kind"
	}
	return names[k]
}

func (k Kind) tls() bool { return k == HTTPS || k == HTTP2 }
func (k Kind) h2() bool  { return k == HTTP2 || k == HTTP2Cleartext }

func (k Kind) scheme() string {
	if k.tls() {
		return "https"
	}
	return "http"
}

func (k Kind) port() int {
	if k.tls() {
		return 443
	}
	return 80
}

// Host is the name of a Server in memory in the URLs that Server.URL makes. Such a Server
// answers for every other host too.
const Host = "server.example"

// Server is a server that does what a test says, its failures included. It answers a request
// with the first of these: the fault of Fail, the next answer of the script (Next), the
// handler of a route (Handle), and otherwise 404. It ends with the test. Its methods are safe
// for concurrent use, except that those that can fail the test must be called by it. Those of the
// zero Server panic: it belongs to no test.
//
// A Server in memory, and every client of it, can live in a bubble of testing/synctest.
type Server struct {
	*endpoint
	mux *http.ServeMux

	routesMu sync.Mutex
	routes   []route

	proxyMu    sync.Mutex
	proxy      *Proxy
	configured bool // a Config without the proxy exists

	managerOnce sync.Once
	manager     *netreply.Manager
}

// route is a pattern of Server.Handle, and the file and line of the call.
type route struct{ pattern, at string }

// mustBeMade tells a Server that nobody has made from others: it has no test that could fail.
func (s *Server) mustBeMade() {
	if s == nil || s.endpoint == nil {
		panic(prefix + "a Server is made by NewServer or NewPortServer")
	}
}

// NewServer starts a server in memory: it has no port, and is reached by Config or
// DialContext only, under every host name. With TLS it has a certificate for each of them.
func NewServer(t TB, kind Kind) *Server {
	t.Helper()
	if kind < HTTP || kind > HTTP2Cleartext {
		t.Fatalf(prefix+"%d is no Kind", int(kind))
	}
	s := &Server{mux: http.NewServeMux()}
	s.endpoint = newEndpoint(t, "Server", kind, s.mux)
	return s
}

// NewPortServer starts a server on a port of 127.0.0.1. Programs and clients without its
// Config reach it too; they then meet no faults of connecting, which Config's DialContext
// makes, and do not trust its certificate. It cannot be used in a bubble of testing/synctest.
func NewPortServer(t TB, kind Kind) *Server {
	t.Helper()
	s := NewServer(t, kind)
	s.listen()
	return s
}

// URL is the URL of a path on the server, which begins with a slash.
func (s *Server) URL(path string) string {
	s.mustBeMade()
	s.t.Helper()
	if !strings.HasPrefix(path, "/") {
		s.t.Fatalf(prefix+"the path %q does not begin with a slash", path)
	}
	host := Host
	if s.tcp != nil {
		host = s.tcp.Addr().String()
	}
	return s.kind.scheme() + "://" + host + path
}

// Request makes a Request for a path on the server, with the protocol that it needs.
func (s *Server) Request(path string) *netreply.Request {
	s.mustBeMade()
	s.t.Helper()
	req, err := netreply.NewRequest(s.URL(path))
	if err != nil {
		s.t.Fatalf(prefix+"the path %q: %v", path, err)
	}
	if s.kind == HTTP2Cleartext {
		req.HTTP = netreply.HTTP2Direct
	}
	return req
}

// Config returns a configuration that leads every connection to the server and trusts its
// certificates, and no others.
func (s *Server) Config() netreply.Config {
	var c netreply.Config
	s.Configure(&c)
	return c
}

// Configure makes a configuration lead to the server: it sets DialContext, and Proxy if
// Server.Proxy was called, and in a copy of SSLConfiguration adds the server's authority to
// RootCAs or, without those, makes it the only one.
func (s *Server) Configure(c *netreply.Config) {
	s.mustBeMade()
	c.DialContext = s.DialContext
	ssl := &netreply.SSLConfiguration{}
	if c.SSLConfiguration != nil {
		ssl = c.SSLConfiguration.Clone()
	}
	if ssl.RootCAs == nil {
		ssl.RootCAs = rootCAs()
	} else {
		ssl.AddedCAs = append(ssl.AddedCAs, trusted().cert)
	}
	c.SSLConfiguration = ssl
	s.proxyMu.Lock()
	defer s.proxyMu.Unlock()
	if s.proxy != nil {
		c.Proxy = s.proxy.address()
	} else {
		s.configured = true
	}
}

// Manager is a Manager with Config, the same at each call. It is closed at the end of the
// test.
func (s *Server) Manager() *netreply.Manager {
	s.mustBeMade()
	s.t.Helper()
	s.managerOnce.Do(func() {
		m, err := netreply.NewManager(s.Config())
		if err != nil {
			s.t.Fatalf(prefix+"%v", err)
		}
		s.manager = m
		s.t.Cleanup(func() { m.Close() })
	})
	return s.manager
}

// DialContext connects to the server, whatever the address, or to its Proxy for that one's
// address. It is for Config and for clients other than netreply.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mustBeMade()
	s.proxyMu.Lock()
	proxy := s.proxy
	s.proxyMu.Unlock()
	if proxy != nil && addr == proxyAddr {
		return proxy.dial(ctx, addr)
	}
	return s.dial(ctx, addr)
}

// Handle answers the requests of a pattern, as http.ServeMux.Handle does: by an Answer, a
// Fault, or any http.Handler. Handlers over HTTP/2 can flush, send interim responses and
// trailers; over HTTP/1 they can do all that those of net/http can. The end of the test waits for
// handlers, after it has ended the context of their requests.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mustBeMade()
	s.t.Helper()
	if wrong := misplaced(h, s.kind, false); wrong != "" {
		s.t.Fatalf(prefix+"Server: the answer of %q: %s", pattern, wrong)
	}
	at := "another call"
	if _, file, line, ok := runtime.Caller(1); ok {
		at = fmt.Sprintf("%s:%d", filepath.Base(file), line)
	}
	if wrong := s.handle(route{pattern, at}, h); wrong != "" {
		s.t.Fatalf(prefix+"Server: the pattern %q%s", pattern, wrong)
	}
}

// handle adds a route. It says what is wrong with the pattern; "" for nothing.
func (s *Server) handle(r route, h http.Handler) (wrong string) {
	s.routesMu.Lock()
	defer s.routesMu.Unlock()
	why := refusal(s.mux, r.pattern, h)
	if why == "" {
		s.routes = append(s.routes, r)
		return ""
	}
	for _, old := range s.routes {
		both := http.NewServeMux()
		both.Handle(old.pattern, h)
		if conflict := refusal(both, r.pattern, h); conflict != "" {
			// the first line has lines of this file
			_, how, _ := strings.Cut(conflict, "\n")
			return fmt.Sprintf(" conflicts with %q of %s:\n%s", old.pattern, old.at, how)
		}
	}
	return ": " + why
}

// refusal adds a handler. It returns what a ServeMux that refuses it panics with, "" for
// nothing.
func refusal(mux *http.ServeMux, pattern string, h http.Handler) (why string) {
	defer func() {
		if bad := recover(); bad != nil {
			why = fmt.Sprint(bad)
		}
	}()
	mux.Handle(pattern, h)
	return ""
}

// Next adds to the script: the next requests, in order, get these answers, one each, whatever
// their path. A Fault of connecting or of the handshake stands for the next connection, and
// the answer before it ends the connection.
func (s *Server) Next(answers ...http.Handler) {
	s.mustBeMade()
	s.t.Helper()
	s.script(answers)
}

// Fail lets every request and connection meet a fault, until Recover. If it is one of
// connecting or of the handshake, requests cannot use the connections that exist any more:
// clients are told so, and connect anew. For faults of a proxy see Fault.
func (s *Server) Fail(f Fault) {
	s.mustBeMade()
	s.t.Helper()
	if f.proxied != nil {
		s.Proxy().Fail(*f.proxied)
		return
	}
	s.fail(f)
}

// Pending is how many answers of the script have not been used. They do not fail the test by
// themselves, because a script may have answers to spare; a test that wants all of them used
// ends with a look at Pending.
func (s *Server) Pending() int {
	s.mustBeMade()
	return s.pending()
}

// Recover ends the fault of Fail, and drops the rest of the script, here and at the Proxy.
func (s *Server) Recover() {
	s.mustBeMade()
	s.recover()
	s.proxyMu.Lock()
	proxy := s.proxy
	s.proxyMu.Unlock()
	if proxy != nil {
		proxy.Recover()
	}
}

// Requests are the requests so far, in order.
func (s *Server) Requests() []Request {
	s.mustBeMade()
	return s.seen()
}

// Connections is how many connections were accepted.
func (s *Server) Connections() int {
	s.mustBeMade()
	return s.connections()
}
