package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Server is a http.ServeMux that answers with Responders and Responses (Qt:
// QHttpServer). Routes and hooks are set before it serves.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	missing http.Handler // nil for ServeMux's own
	handler http.Handler // the middleware, and behind it the routes
	around  []func(http.Handler) http.Handler
	after   []func(*http.Request, *Response)
	done    []func(*http.Request, Summary)
	http    http.Server
	tls     bool // http.TLSConfig is that of Config; net/http makes one for HTTP/2 otherwise
	rates   rates
	conns   connections

	// Shutdown ends the contexts of chunked answers first.
	streams    context.Context
	endStreams context.CancelFunc
	all        context.Context
	endAll     context.CancelCauseFunc
}

// NewServer makes a Server without routes. The error names the field that cannot be
// used.
func NewServer(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	tlsConfig := c.TLS.Clone() // net/http puts HTTP/2 into it
	if c.CertFile != "" {
		certs, err := loadCertificate(c.CertFile, c.KeyFile, c.complain)
		if err != nil {
			return nil, err
		}
		if tlsConfig == nil {
			tlsConfig = &tls.Config{}
		}
		tlsConfig.Certificates, tlsConfig.GetCertificate = nil, certs.get
	}
	errorLog := c.ErrorLog
	if errorLog == nil && c.Logger != nil {
		errorLog = slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn)
	}
	s := &Server{cfg: c, mux: http.NewServeMux(), tls: tlsConfig != nil, conns: connections{max: c.MaxConnections, perHost: c.MaxConnectionsPerHost,
		allow: networks(c.Allow), deny: networks(c.Deny)}}
	s.handler = http.HandlerFunc(s.route)
	s.streams, s.endStreams = context.WithCancel(context.Background())
	s.all, s.endAll = context.WithCancelCause(context.Background())
	s.http = http.Server{
		Handler: s, IdleTimeout: c.KeepAliveTimeout, ReadHeaderTimeout: c.KeepAliveTimeout, TLSConfig: tlsConfig, ErrorLog: errorLog, HTTP2: c.http2(),
		// net/http answers 431 to what is too long for it, be it the target: ServeHTTP tells them apart.
		// Its HTTP/2 reckons with twice that in 32 bits.
		MaxHeaderBytes: int(min(1<<30, max(1<<20, int64(c.MaxURLSize)+int64(c.MaxHeaderSize)))),
		Protocols:      new(http.Protocols),
		BaseContext:    func(net.Listener) context.Context { return s.all },
	}
	if s.conns.counted() {
		s.http.ConnState = s.conns.changed
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(c.HTTP2Cleartext)
	return s, nil
}

// Route answers requests of a pattern of http.ServeMux, such as "GET /files/{name}",
// with what f returns. nil is NotFound. It panics when f is nil, and when the pattern is not
// valid or conflicts with another, as ServeMux does.
func (s *Server) Route(pattern string, f func(*http.Request) *Response) {
	mustBeSet(f != nil, "Route", pattern)
	s.handle(pattern, HandlerFunc(respond(f)))
}

func respond(f func(*http.Request) *Response) func(*http.Request, *Responder) {
	return func(r *http.Request, w *Responder) {
		p := f(r)
		if p == nil {
			if w.x.handleError(&HTTPError{Status: NotFound}) {
				return
			}
			p = StatusResponse(NotFound)
		}
		w.SendResponse(p) // what it refuses is ErrNoAnswer's
	}
}

// Handle lets f answer the requests of a pattern. What becomes of the answer when f
// returns or panics is said at HandlerFunc. It panics where Route does.
func (s *Server) Handle(pattern string, f func(*http.Request, *Responder)) {
	mustBeSet(f != nil, "Handle", pattern)
	s.handle(pattern, HandlerFunc(f))
}

// HandleHTTP lets a handler of net/http answer the requests of a pattern, under the limits
// of the Server: http.FileServerFS, a proxy, a WebSocket. A panic is treated as with
// HandlerFunc. HandleHTTP itself panics where Route does.
//
// Limits and hooks are those of the http.ResponseWriter that h gets. What h writes to the
// one beneath it, found by its Unwrap, passes them by.
func (s *Server) HandleHTTP(pattern string, h http.Handler) {
	f, isFunc := h.(http.HandlerFunc)
	mustBeSet(h != nil && (!isFunc || f != nil), "HandleHTTP", pattern)
	s.handle(pattern, h)
}

// handle is mux.Handle for a handler whose request the hooks get.
func (s *Server) handle(pattern string, h http.Handler) {
	s.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sw := serverWriterOf(r); sw != nil {
			sw.routed(r, r.Pattern)
		}
		h.ServeHTTP(w, r)
	}))
}

// mustBeSet panics for a function that is nil, which would be found when it is called only.
func mustBeSet(set bool, call, pattern string) {
	if !set {
		if pattern != "" {
			call += " " + strconv.Quote(pattern)
		}
		panic("httpserver: " + call + ": the function is nil")
	}
}

// Use puts middleware around all routes and what no route takes, the first on the outside.
// Requests beyond the Server's limits do not reach it. Hooks see what leaves it. It panics
// for middleware that is nil or returns nil.
func (s *Server) Use(middleware ...func(http.Handler) http.Handler) {
	s.around = append(s.around, middleware...)
	s.handler = http.HandlerFunc(s.route)
	for i, m := range slices.Backward(s.around) {
		if m != nil {
			s.handler = m(s.handler)
		}
		if m == nil || s.handler == nil {
			panic("httpserver: Use: middleware " + strconv.Itoa(i) + " is nil, or returns nil")
		}
	}
}

// AfterRequest lets f change the head of every answer before it leaves, in the order of the
// calls: those of Responders, of other handlers, of ServeMux (404, 405) and those to requests
// beyond the limits (413, 414, 429, 431). Only what net/http answers by itself, because it
// finds no request of HTTP or one many times beyond the limits, does not pass there. How an
// answer has ended is for Finished.
//
// Status and Headers are those of the answer. A change of Content-Length, Transfer-Encoding
// and Trailer does not count. Body is nil and stays so, as does whether the Status has a body
// (204, 205 and 304 have none): such a change is ignored. Only in answers of
// SendResponse and Route f can change all that, before middleware sees them.
//
// f runs within the call that sends the head: it must not call that request's Responder,
// which would wait for itself.
//
// The request is the one that Finished gets.
func (s *Server) AfterRequest(f func(*http.Request, *Response)) {
	mustBeSet(f != nil, "AfterRequest", "")
	s.after = append(s.after, f)
}

func (s *Server) prepare(w *serverWriter, p *Response) {
	r, _ := w.request()
	for _, f := range s.after {
		f(r, p)
	}
}

// SetMissingHandler answers what no route takes, instead of the ErrorHandler or ServeMux's
// 404 and 405, which nil restores. Methods tells which of both a request is: for 405 it
// gives what the field Allow has to have (RFC 9110, section 15.5.6).
func (s *Server) SetMissingHandler(f func(*http.Request, *Responder)) {
	s.missing = nil
	if f != nil {
		s.missing = HandlerFunc(f)
	}
}

// ServeHTTP holds the limits and finds the route. Limits of connections and of the request
// head's time are Serve's, and so is that a client of HTTP/2 which reads nothing from its
// connection is cut: another server has to set http.HTTP2Config.WriteByteTimeout for that.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refused := s.refuse(r)
	if refused != nil && r.ContentLength != 0 {
		closePolitely(w) // the client may be sending
	}
	sw := newServerWriter(w, r, s)
	if refused != nil {
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		if refused.Status == TooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		sw.serve(answerWith(refused))
		return
	}
	if s.cfg.StallTimeout > 0 && r.ProtoMajor == 1 && r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.StallTimeout)) // for net/http's reading of the rest
	}
	sw.serve(s.handler)
}

// route finds who answers.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if sw := serverWriterOf(r); sw != nil && sw.r != r {
		sw.routed(r, "")
	}
	if (s.missing != nil || s.cfg.ErrorHandler != nil) && r.RequestURI != "*" { // which ServeMux refuses with 400
		if h, pattern := s.mux.Handler(r); pattern == "" {
			if s.missing != nil {
				h = s.missing
			} else if status, allow := missing(h, r); status == NotFound || status == MethodNotAllowed {
				h = answerWith(&HTTPError{Status: status, Allow: allow})
			}
			h.ServeHTTP(w, r)
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

var (
	errURLSize     = errors.New("the target is longer than Config.MaxURLSize")
	errFieldSize   = errors.New("a header field is larger than Config.MaxHeaderFieldSize")
	errHeaderSize  = errors.New("the header fields are larger than Config.MaxHeaderSize")
	errFieldsCount = errors.New("there are more header fields than Config.MaxHeaderFields")
	errRate        = errors.New("the client sends more requests than Config.RateLimit")
)

// refuse says what is beyond the limits in a request, nil for one within.
func (s *Server) refuse(r *http.Request) *HTTPError {
	c := &s.cfg
	if c.RateLimit > 0 && !s.rates.allow(r.RemoteAddr, c.RateLimit) { // those that are refused below count, too
		return &HTTPError{Status: TooManyRequests, Err: errRate}
	}
	if len(r.RequestURI) > c.MaxURLSize {
		return &HTTPError{Status: UriTooLong, Err: errURLSize}
	}
	const around = len(": \r\n")
	size, count := len("Host")+len(r.Host)+around, 1
	for name, values := range r.Header {
		for _, v := range values {
			field := len(name) + len(v) + around
			if field > c.MaxHeaderFieldSize {
				return &HTTPError{Status: RequestHeaderFieldsTooLarge, Err: errFieldSize}
			}
			size += field
			count++
		}
	}
	switch {
	case size > c.MaxHeaderSize:
		return &HTTPError{Status: RequestHeaderFieldsTooLarge, Err: errHeaderSize}
	case count > c.MaxHeaderFields:
		return &HTTPError{Status: RequestHeaderFieldsTooLarge, Err: errFieldsCount}
	case c.MaxBodySize > 0 && r.ContentLength > c.MaxBodySize:
		return &HTTPError{Status: PayloadTooLarge, Err: &http.MaxBytesError{Limit: c.MaxBodySize}}
	}
	return nil
}

// Serve answers the connections of l until Shutdown or Close, and returns
// http.ErrServerClosed then.
func (s *Server) Serve(l net.Listener) error {
	if s.conns.limited() {
		l = &limitedListener{l, &s.conns, s.cfg.Logger}
	}
	if s.tls {
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

// Shutdown takes no new connections, ends the Contexts of chunked answers and event
// streams, and waits for the handlers, whose Contexts end DrainTimeout later. It returns
// when they have ended, or the error of ctx, with which all Contexts end; Close cuts what
// is left then. Connections that handlers have taken over, such as WebSockets, are not waited
// for: the Contexts of their requests tell them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endStreams()
	end := func() { s.endAll(http.ErrServerClosed) }
	if s.cfg.DrainTimeout >= 0 {
		defer time.AfterFunc(s.cfg.DrainTimeout, end).Stop()
	}
	err := s.http.Shutdown(ctx)
	end()
	return err
}

// Close cuts all connections.
func (s *Server) Close() error {
	s.endStreams()
	s.endAll(http.ErrServerClosed)
	return s.http.Close()
}
