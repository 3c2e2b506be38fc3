package netreplytest

import (
	"fmt"
	"io"
	"net/http"

	"github.com/netreply/netreply"
)

// ServeHTTP sends the answer. If it cannot be sent as it stands, it fails the test of a Server, and
// in another server it panics.
func (a Answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &response{w: w, r: r, e: endpointOf(r), early: a.early()}
	if wrong := a.misplaced(s.kind()); wrong != "" {
		s.misuse("%s", wrong)
	}
	p := &player{sink: s}
	p.known, p.length = a.bodyLength()
	if !a.early() {
		io.Copy(io.Discard, r.Body)
	}
	if p.play(a) == nil {
		p.head()
	}
}

// ServeHTTP is the fault as the answer to a request.
func (f Fault) ServeHTTP(w http.ResponseWriter, r *http.Request) { Answer{f}.ServeHTTP(w, r) }

// response is the sink of a server.
type response struct {
	w http.ResponseWriter
	r *http.Request
	e *endpoint // nil in another server

	early bool
}

// kind is that of the server, as far as it can be known of another one.
func (s *response) kind() Kind {
	switch {
	case s.e != nil:
		return s.e.kind
	case s.r.ProtoMajor == 2 && s.r.TLS != nil:
		return HTTP2
	case s.r.ProtoMajor == 2:
		return HTTP2Cleartext
	case s.r.TLS != nil:
		return HTTPS
	}
	return HTTP
}

func (s *response) add(fields []fieldStep) {
	for _, f := range fields {
		s.w.Header().Add(f.name, f.value)
	}
}

func (s *response) interim(status int, fields []fieldStep) error {
	final := s.w.Header().Clone()
	clear(s.w.Header())
	s.add(fields)
	s.w.WriteHeader(status)
	clear(s.w.Header())
	for name, values := range final {
		s.w.Header()[name] = values
	}
	return nil
}

func (s *response) head(status int, fields []fieldStep) error {
	s.add(fields)
	s.w.WriteHeader(status)
	return nil
}

// write leaves the last byte to flush or the return of the handler: when the client has the
// whole answer, the request is over here too. HTTP/2 has a frame for its end.
func (s *response) write(text string) error {
	split := len(text) - 1
	if s.r.ProtoMajor != 1 {
		split = 0
	}
	for _, part := range []string{text[:split], text[split:]} {
		if part == "" {
			continue
		}
		if _, err := io.WriteString(s.w, part); err != nil && err != http.ErrBodyNotAllowed {
			return err
		}
	}
	return nil
}

func (s *response) flush() error { return http.NewResponseController(s.w).Flush() }

func (s *response) trailer(name, value string) { s.w.Header().Add(http.TrailerPrefix+name, value) }

func (s *response) redirect(status int, location string) error {
	return s.head(status, []fieldStep{{"Location", location}, {"Content-Length", "0"}})
}

func (s *response) signal(netreply.Event) error {
	return s.misuse("Signal is for a Backend and a Reply")
}

func (s *response) self() string { return s.r.URL.RequestURI() }

func (s *response) left() <-chan struct{} { return s.r.Context().Done() }

func (s *response) requestHasBody() error {
	if s.r.ContentLength == 0 {
		return s.misuse("the fault of ContentReSendError needs a request with a body, and %s %s has none", s.r.Method, s.r.URL.Path)
	}
	return nil
}

// fault carries out a fault.
func (s *response) fault(p *player, f Fault) error {
	if err := p.play(f.steps); err != nil || f.act == nil {
		return err
	}
	if p.begun {
		if err := p.flush(); err != nil {
			return err
		}
	}
	c := controlOf(s.w, s.r, s.early)
	if c == nil {
		return s.misuse("%s needs a Server, or another one of HTTP/1 that can be hijacked", f.name)
	}
	if err := f.act(c); err != nil {
		defer c.closeConn()
		return s.misuse("%s %v", f.name, err)
	}
	return errLeft
}

// misuse fails the test, or panics in another server, and ends the connection.
func (s *response) misuse(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if s.e == nil {
		panic(prefix + text)
	}
	s.e.t.Errorf(prefix+"%s: %s", s.e.what, text)
	panic(http.ErrAbortHandler)
}
