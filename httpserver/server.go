package httpserver

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config configures a Server. The zero value has Qt 6.11's limits.
type Config struct {
	// MaxBodySize is the largest request body in bytes; 32 MiB, below 0 no limit.
	// Larger ones get 413, or make reading fail with an *http.MaxBytesError.
	MaxBodySize int64
	// MaxURLSize is the longest request target in bytes; 64 KiB. Longer ones get 414.
	MaxURLSize int
	// MaxHeaderSize is the largest sum of the header fields in bytes; 64 KiB. Larger
	// ones get 431.
	MaxHeaderSize int
	// KeepAliveTimeout is how long a connection may lie idle, and how long a request
	// head may take; 15 s.
	KeepAliveTimeout time.Duration
	// RateLimit is how many requests a second one address may send, of IPv6 one network
	// (/64), 0 for any number. Those beyond get 429.
	RateLimit int
	// TLS, when not nil, is what Serve speaks TLS with.
	TLS *tls.Config
	// HTTP2Cleartext lets clients without TLS speak HTTP/2 by prior knowledge.
	HTTP2Cleartext bool
}

// Server is a http.ServeMux that answers with Responders and Responses (Qt:
// QHttpServer). Routes and hooks are set before it serves.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	missing http.Handler
	after   []func(*http.Request, *Response)
	http    http.Server
	rates   rates
}

// NewServer makes a Server without routes. The error names the field that cannot be
// used.
func NewServer(c Config) (*Server, error) {
	switch {
	case c.MaxURLSize < 0, c.MaxHeaderSize < 0, c.KeepAliveTimeout < 0, c.RateLimit < 0:
		return nil, errors.New("httpserver: Config.MaxURLSize, MaxHeaderSize, KeepAliveTimeout and RateLimit must not be negative")
	case c.MaxURLSize > math.MaxInt32 || c.MaxHeaderSize > math.MaxInt32:
		return nil, errors.New("httpserver: Config.MaxURLSize or MaxHeaderSize is beyond 2 GiB")
	}
	if c.MaxBodySize == 0 {
		c.MaxBodySize = 32 << 20
	}
	if c.MaxURLSize == 0 {
		c.MaxURLSize = 64 << 10
	}
	if c.MaxHeaderSize == 0 {
		c.MaxHeaderSize = 64 << 10
	}
	if c.KeepAliveTimeout == 0 {
		c.KeepAliveTimeout = 15 * time.Second
	}
	s := &Server{cfg: c, mux: http.NewServeMux()}
	s.http = http.Server{Handler: s, IdleTimeout: c.KeepAliveTimeout, ReadHeaderTimeout: c.KeepAliveTimeout, TLSConfig: c.TLS,
		MaxHeaderBytes: c.MaxURLSize + c.MaxHeaderSize, Protocols: new(http.Protocols)}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(c.HTTP2Cleartext)
	return s, nil
}

// Route answers requests of a pattern of http.ServeMux, such as "GET /files/{name}",
// with what f returns. nil is NotFound. It panics when the pattern is not valid or
// conflicts with another, as ServeMux does.
func (s *Server) Route(pattern string, f func(*http.Request) *Response) {
	s.Handle(pattern, respond(f))
}

func respond(f func(*http.Request) *Response) func(*http.Request, *Responder) {
	return func(r *http.Request, w *Responder) {
		p := f(r)
		if p == nil {
			p = StatusResponse(NotFound)
		}
		if err := w.SendResponse(p); err != nil && !w.Responded() {
			w.WriteStatus(InternalServerError)
		}
	}
}

// Handle lets f answer the requests of a pattern.
func (s *Server) Handle(pattern string, f func(*http.Request, *Responder)) {
	s.mux.Handle(pattern, s.handler(f))
}

func (s *Server) handler(f func(*http.Request, *Responder)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := New(w, r)
		if len(s.after) > 0 {
			a.prepare = s.prepare
		}
		f(r, a)
		a.finish()
	})
}

// AfterRequest lets f change every Response before it is sent, in the order of the
// calls. Answers that a Responder writes by itself do not pass there.
func (s *Server) AfterRequest(f func(*http.Request, *Response)) { s.after = append(s.after, f) }

func (s *Server) prepare(r *http.Request, p *Response) {
	for _, f := range s.after {
		f(r, p)
	}
}

// SetMissingHandler answers what no route takes, instead of ServeMux's 404 and 405.
func (s *Server) SetMissingHandler(f func(*http.Request, *Responder)) { s.missing = s.handler(f) }

// ServeHTTP holds the limits and finds the route.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := s.refuse(r); status != 0 {
		w.Header().Set("Connection", "close")
		if status == TooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		New(w, r).WriteStatus(status)
		return
	}
	if s.cfg.MaxBodySize > 0 && r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBodySize)
	}
	if s.missing != nil {
		if _, pattern := s.mux.Handler(r); pattern == "" {
			s.missing.ServeHTTP(w, r)
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

// refuse is the status for a request beyond the limits, 0 for one within.
func (s *Server) refuse(r *http.Request) StatusCode {
	if len(r.RequestURI) > s.cfg.MaxURLSize {
		return UriTooLong
	}
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	switch {
	case size > s.cfg.MaxHeaderSize:
		return RequestHeaderFieldsTooLarge
	case s.cfg.MaxBodySize > 0 && r.ContentLength > s.cfg.MaxBodySize:
		return PayloadTooLarge
	case s.cfg.RateLimit > 0 && !s.rates.allow(r.RemoteAddr, s.cfg.RateLimit):
		return TooManyRequests
	}
	return 0
}

// Serve answers the connections of l until Shutdown or Close, and returns
// http.ErrServerClosed then.
func (s *Server) Serve(l net.Listener) error {
	if s.cfg.TLS != nil {
		return s.http.ServeTLS(l, "", "")
	}
	return s.http.Serve(l)
}

// ListenAndServe is Serve on a TCP address, such as "127.0.0.1:8080".
func (s *Server) ListenAndServe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// Shutdown takes no new connections and returns when those under way have ended, or
// with the context's error.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close cuts all connections.
func (s *Server) Close() error { return s.http.Close() }

// maxRates bounds the addresses that are counted at one time.
const maxRates = 10_000

// rates counts the requests of each address, of those that have asked last.
type rates struct {
	mu   sync.Mutex
	each map[netip.Addr]*list.Element
	used list.List // of *client, the one that asked last in front
}

type client struct {
	at    netip.Addr
	limit *rate.Limiter
}

// clientOf is the address that a client is known by: of IPv6 its network, the /64, in which
// every client has as many addresses as it likes (RFC 4291, section 2.5.4).
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if network, err := a.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return a
}

func (c *rates) allow(remote string, limit int) bool {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true // no address, as from a test or a Unix socket
	}
	at := clientOf(addr.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.each[at]
	if e != nil {
		c.used.MoveToFront(e)
		return e.Value.(*client).limit.Allow()
	}
	if c.each == nil {
		c.each = map[netip.Addr]*list.Element{}
	}
	if len(c.each) >= maxRates {
		oldest := c.used.Back()
		delete(c.each, c.used.Remove(oldest).(*client).at)
	}
	l := &client{at, rate.NewLimiter(rate.Limit(limit), limit)}
	c.each[at] = c.used.PushFront(l)
	return l.limit.Allow()
}
