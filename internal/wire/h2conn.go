package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// h2Conn is an HTTP/2 connection of net/http, below which a guard checks all frames.
type h2Conn struct {
	cc    *http.ClientConn
	guard *h2Guard
	tls   *tls.ConnectionState
	begun atomic.Bool // the first exchange has begun
}

// newH2Conn starts HTTP/2 on c. net/http gets no *tls.Conn, so it starts at once.
func (t *Transport) newH2Conn(key Key, c *conn) (*h2Conn, error) {
	s := &h2Conn{guard: newH2Guard(c.stream, t.cfg.MaxHeaderBytes), tls: c.tls}
	if c.tls != nil {
		s.guard.force = c.nc
	}
	s.guard.onChange, s.guard.onEnd = func() { t.connChanged(c) }, func() { t.connEnded(c) }
	var err error
	s.cc, err = clientConn(t.h2c, key, s.guard)
	return s, err
}

func (s *h2Conn) roundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	if err := s.awaitSettings(req.Context()); err != nil {
		closeBody(req)
		return nil, err
	}
	s.prepare(req, x)
	req = withoutHops(req)
	resp, err := s.cc.RoundTrip(req)
	if err != nil {
		return nil, s.fault(err, Headers, x)
	}
	x.Observer.Activity()
	resp.TLS = s.tls
	if bodiless(int64(resp.StatusCode)) {
		resp.Body = emptyBody{resp.Body}
	}
	return resp, nil
}

// awaitSettings makes all exchanges except the first wait for the server's first SETTINGS,
// which contain the number of allowed streams. More streams might be refused without a
// guarantee that they were not processed.
func (s *h2Conn) awaitSettings(ctx context.Context) error {
	select {
	case <-s.guard.settled:
		return nil
	default:
	}
	if s.begun.CompareAndSwap(false, true) {
		return nil
	}
	select {
	case <-s.guard.settled:
	case <-s.guard.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// prepare gives the request the context for net/http, with a trace that reports interim
// responses, and tells the guard which stream is a HEAD request: net/http calls it under the
// lock under which it writes the request. It is not inlined, to keep the stack of roundTrip
// small.
//
//go:noinline
func (s *h2Conn) prepare(req *http.Request, x *Exchange) {
	e := x.cancellation
	if req.Method == http.MethodHead {
		e.trace.WroteHeaderField = func(string, []string) { s.guard.isHead = true }
	} else if httptrace.ContextClientTrace(e.Context) == nil {
		*req = *req.WithContext(e)
		return
	}
	e.joined = true
	*req = *req.WithContext(httptrace.WithClientTrace(e, &e.trace))
}

// emptyBody is the body of a response that has none by definition. net/http would report
// the bytes of its content-length as missing, but that describes another response (RFC
// 9113, section 8.1.1).
type emptyBody struct{ io.ReadCloser }

func (b emptyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// withoutHops removes connection-specific fields, which HTTP/2 does not allow (RFC 9113,
// section 8.2.2), and Close, for which net/http would end the shared connection.
func withoutHops(req *http.Request) *http.Request {
	copied := false
	if req.Close {
		req, copied = withOwnHeader(req), true
		req.Close = false
	}
	for name := range req.Header {
		if isHopName(name) {
			if !copied {
				req, copied = withOwnHeader(req), true
			}
			delete(req.Header, name)
		}
	}
	return req
}

// isHopName reports whether a field is a connection-specific one, in any spelling.
func isHopName(name string) bool {
	hop := ""
	switch len(name) {
	case len("Upgrade"):
		hop = "Upgrade"
	case len("Connection"): // and of Keep-Alive
		if hop = "Connection"; name[0]|0x20 == 'k' {
			hop = "Keep-Alive"
		}
	case len("Proxy-Connection"):
		hop = "Proxy-Connection"
	default:
		return false
	}
	return strings.EqualFold(name, hop)
}

// withOwnHeader returns a copy of a request whose header can be changed. It shares Trailer,
// which is filled in while the body is sent.
func withOwnHeader(req *http.Request) *http.Request {
	req = req.WithContext(req.Context())
	req.Header = maps.Clone(req.Header)
	return req
}

func (s *h2Conn) fault(err error, phase Phase, x *Exchange) error {
	e := &Error{Phase: phase, Reused: x.Conn.Reused, Sent: s.guard.sent.Load(), Err: err}
	var source *SourceError
	if errors.As(err, &source) {
		e.Phase, e.Fault, e.Err = Send, Source, source.Err
		return e
	}
	goAway, readErr := s.guard.state()
	h2Fault(e, goAway, readErr)
	if phase == Body { // a response means that the request was processed
		e.Unprocessed = false
	}
	return e
}

func (s *h2Conn) room() (n int, open bool) { return s.guard.capacity() }

// silentFor is the time since the last bytes from the peer.
func (s *h2Conn) silentFor() time.Duration {
	return time.Since(time.Unix(0, s.guard.lastRead.Load()))
}

func (s *h2Conn) reusable() (ok bool, hint time.Duration) { return true, 0 }
func (s *h2Conn) stillIdle() bool                         { return true }
func (s *h2Conn) ended() <-chan struct{}                  { return s.guard.ended }
func (s *h2Conn) exchangeDone()                           {}

func (s *h2Conn) close() {
	s.cc.Close()
	s.guard.Close()
}
