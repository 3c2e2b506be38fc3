package wire

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/netreply/netreply/internal/oserr"
)

// stdConn is an HTTP/1 connection of net/http.
type stdConn struct {
	cc      *http.ClientConn
	tap     *tapConn
	raw     net.Conn    // the socket under the tap, and under TLS
	records *recordConn // between these, nil for none
	// trace reports the interim responses of all exchanges: net/http tells them only there
	trace httptrace.ClientTrace
}

func (t *Transport) newStdConn(key Key, c *conn) (*stdConn, error) {
	s := &stdConn{tap: newTapConn(c.stream, t.cfg.MaxHeaderBytes), raw: c.nc, records: c.records()}
	s.tap.onEnd = func() { t.connEnded(c) }
	s.trace.Got1xxResponse = s.tap.interim
	var err error
	s.cc, err = clientConn(t.std, key, s.tap)
	return s, err
}

func (s *stdConn) roundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	s.tap.arm(req.Method, x.Observer)
	addTrace(req, &s.trace)
	resp, err := s.cc.RoundTrip(req)
	if err != nil {
		return nil, s.fault(err, Headers, x)
	}
	return s.checked(resp, x)
}

// addTrace gives a request a trace, in addition to that of its context. It is not inlined, to
// keep the stack of roundTrip small.
//
//go:noinline
func addTrace(req *http.Request, trace *httptrace.ClientTrace) {
	if httptrace.ContextClientTrace(req.Context()) != nil {
		added := *trace // which is joined with the other
		trace = &added
	}
	*req = *req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
}

// checked returns an error if net/http has parsed the response head differently from the
// tap.
//
//go:noinline
func (s *stdConn) checked(resp *http.Response, x *Exchange) (*http.Response, error) {
	head, ok := s.tap.final(resp)
	if !ok {
		resp.Body.Close()
		s.cc.Close()
		return nil, &Error{Phase: Headers, Fault: Malformed, Reused: x.Conn.Reused, Began: true,
			Err: errors.New("ambiguous response head")}
	}
	x.Head = head
	return resp, nil
}

// SourceError wraps an error of the request body, which is not an error of the connection.
// Request bodies return their errors wrapped in it.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

func (s *stdConn) fault(err error, phase Phase, x *Exchange) error {
	e := &Error{Phase: phase, Reused: x.Conn.Reused, Began: phase == Body, Err: err}
	var source *SourceError
	if errors.As(err, &source) {
		e.Phase, e.Fault, e.Err = Send, Source, source.Err
		return e
	}
	received, sent := s.tap.counts()
	gone, readErr := s.tap.state()
	stray, at, wrong := s.tap.fault()
	e.Sent = sent
	if phase == Headers {
		// stray bytes belong to an earlier exchange
		e.Stray = stray && e.Reused
		e.Began = received > 0 && !e.Stray
	}
	switch {
	case wrong != nil:
		e.Fault, e.Err = Malformed, wrong
	case isAlert(err) || readErr != nil && isAlert(readErr):
		e.Fault = Alert
		if !e.Began {
			e.Phase = TLS
		}
	case phase == Headers && at != inHead:
		e.Fault = Malformed // rejected by net/http
	case gone && at != over:
		e.Fault = Closed
		e.Err = endError(err, readErr)
	case readErr != nil && !gone:
		e.Fault = Other
		e.Err = readErr
	case peerClosed(err):
		e.Fault = Closed
	case isOS(err):
		e.Fault = Other
	case phase == Headers && !e.Began && s.cc.Err() != nil:
		// net/http has noticed the end of the idle connection before the exchange began
		e.Fault = Closed
	default:
		e.Fault = Malformed
	}
	return e
}

// endError returns the socket's error instead of net/http's if the connection was reset.
func endError(err, readErr error) error {
	if oserr.Is(readErr, oserr.Reset) {
		return readErr
	}
	return err
}

func (s *stdConn) room() (n int, open bool) { return 1, true }

func (s *stdConn) reusable() (ok bool, hint time.Duration) {
	return s.tap.usable() && s.cc.Err() == nil && s.cc.Available() > 0, s.tap.keepsFor()
}

// stillIdle checks the socket first: bytes that were read from it in between have reached
// the tap.
func (s *stdConn) stillIdle() bool {
	return !s.tap.hasPending(s.raw) && (s.records == nil || !s.records.ahead.pending()) && s.tap.usable()
}

func (s *stdConn) ended() <-chan struct{} { return s.tap.ended }

func (s *stdConn) exchangeDone() { s.tap.disarm() }

func (s *stdConn) close() {
	s.cc.Close()
	s.tap.Close()
}
