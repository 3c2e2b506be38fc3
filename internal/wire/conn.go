package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/certs"
)

// connection exchanges requests for responses: one at a time on HTTP/1, as many
// as capacity says on HTTP/2. The pool owns it and is the only caller.
type connection interface {
	// roundTrip returns the head of the response, and fills in what the
	// exchange learns of it. It ends with the context of the request.
	roundTrip(*http.Request, *Exchange) (*http.Response, error)
	// fault describes an error of this connection.
	fault(err error, phase Phase, x *Exchange) error
	// room is how many exchanges an HTTP/2 connection may carry at once, as far as its
	// peer has said, and whether it takes new ones at all. It never waits: the pool asks
	// under its lock.
	room() (n int, open bool)
	// reusable asks, once an exchange is over, whether an HTTP/1 connection may carry
	// another. It may wait for the locks of net/http, so it must not be called under a lock.
	reusable() bool
	// ended is closed when the peer has ended the connection.
	ended() <-chan struct{}
	// parted is called when an exchange on it is over.
	parted()
	// close ends the connection in good order. It may wait for the peer, and is called on a
	// goroutine of its own.
	close()
}

// conn is a connection and what the pool knows about it. The fields below mu
// of the Transport are guarded by it.
type conn struct {
	connection
	t     *Transport
	host  *host
	http2 bool
	tls   *tls.ConnectionState
	nc    net.Conn
	// accepted is what is wrong with the server's certificate, in the profile's eyes not
	// too wrong
	accepted *certs.Failure
	// waited tells that its server had to wait for a question to be answered, and may
	// have gone away as one does from an idle connection
	waited bool
	// local and remote are the addresses, nil where a Dialer's connection has none.
	local, remote net.Addr

	answered atomic.Bool // a response head has come

	// guarded by Transport.mu
	place    links[conn] // in a queue of its host
	listed   links[conn] // in the list of all
	uses     int
	kept     bool // it was opened for nobody, and lay idle
	streams  int  // exchanges it carries now
	expiry   time.Duration
	hint     time.Duration // how long the server keeps it, 0 when it has not said
	deadline time.Time     // when it has been idle for too long
	due      time.Time     // of its entry in the Transport's expiry
	dueAt    int           // the place of that, counted from 1
	dead     bool          // it takes no new exchange
	gone     bool          // it is out of the books of its host
}

// stdConn is a connection on which net/http speaks HTTP/1 or HTTP/2.
type stdConn struct {
	cc    *http.ClientConn
	tap   *tapConn
	http2 bool
	// secure is what HTTP/2 over TLS is spoken on.
	secure net.Conn
}

// newStdConn wraps raw, or secure over raw, in a connection of net/http.
func (t *Transport) newStdConn(key Key, raw net.Conn, secure func(net.Conn) (net.Conn, *tls.ConnectionState, error), c *conn) (*stdConn, *tls.ConnectionState, error) {
	var state *tls.ConnectionState
	var given net.Conn
	s := &stdConn{}
	transport := t.std
	switch {
	case key.Scheme != "https":
		s.http2 = key.Protocol == HTTP2
		s.tap = newTapConn(raw, !s.http2, t.cfg.MaxHeaderBytes)
		given = s.tap
		if s.http2 {
			transport = t.h2c
		}
	default:
		under := newTapConn(raw, false, t.cfg.MaxHeaderBytes)
		tc, cs, err := secure(under)
		if err != nil {
			return nil, nil, err
		}
		state = cs
		if cs.NegotiatedProtocol == "h2" {
			s.http2, s.tap, s.secure, given = true, under, tc, tc
		} else {
			s.tap = newTapConn(tc, true, t.cfg.MaxHeaderBytes)
			given = s.tap
		}
	}
	s.tap.onEnd = func() { t.ended(c) }
	// The connection is there already: its context must not end with a request.
	ctx := context.WithValue(context.Background(), connKey{}, given)
	scheme, addr := key.Scheme, key.Addr
	if scheme == Local {
		scheme, addr = "http", "localhost:80"
	}
	cc, err := transport.NewClientConn(ctx, scheme, addr)
	if err != nil {
		given.Close()
		return nil, nil, &Error{Phase: Connect, Fault: Malformed, Err: err}
	}
	s.cc = cc
	return s, state, nil
}

func (s *stdConn) roundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	if s.http2 {
		resp, err := s.cc.RoundTrip(withoutHops(req))
		if err != nil {
			return nil, s.fault(err, Headers, x)
		}
		x.Observer.Activity()
		return resp, nil
	}
	s.tap.arm(x.Observer.Activity)
	resp, err := s.cc.RoundTrip(req)
	if err != nil {
		return nil, s.fault(err, Headers, x)
	}
	s.tap.headDone()
	var ok bool
	s.tap.mu.Lock()
	x.Head, ok = s.tap.tap.head(resp)
	s.tap.mu.Unlock()
	if !ok {
		x.Head = ""
		resp.Body.Close()
		s.cc.Close()
		return nil, &Error{Phase: Headers, Fault: Malformed, Reused: x.Conn.Reused, Began: true,
			Err: errors.New("malformed status line, or a response that nobody asked for")}
	}
	return resp, nil
}

// withoutHops takes the fields out of a request that are about one HTTP/1
// connection and mean nothing on HTTP/2 (RFC 9113, section 8.2.2).
func withoutHops(req *http.Request) *http.Request {
	copied := false
	for name := range req.Header {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
			if !copied {
				copied = true
				req = req.Clone(req.Context())
			}
			delete(req.Header, name)
		}
	}
	return req
}

// SourceError marks an error of the request body, which is the caller's and not
// the connection's. Bodies wrap what they return in it.
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
	malformed, gone, readErr := s.tap.state()
	e.Sent = sent
	if s.http2 {
		e.Began = false // of the connection, not of this stream
		if alert := s.lateAlert(err, x); alert != nil {
			e.Phase, e.Fault, e.Err = TLS, Alert, alert
			return e
		}
		h2Fault(e, gone || errors.Is(err, net.ErrClosed))
		return e
	}
	if phase == Headers {
		e.Began = received > 0
	}
	switch {
	case isAlert(err) || readErr != nil && isAlert(readErr):
		e.Fault = Alert
		if !e.Began {
			e.Phase = TLS
		}
	case phase == Headers && malformed:
		e.Fault = Malformed
	case gone && (phase == Headers || peerClosed(err)):
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
		// net/http saw the idle connection end before this exchange began
		e.Fault = Closed
	default:
		e.Fault = Malformed
	}
	return e
}

// lateAlert finds the alert by which a server has refused the client after the
// handshake. net/http may keep it to itself, where it ends a connection on which HTTP/2
// had not begun, or meets the closed end first when it writes.
func (s *stdConn) lateAlert(err error, x *Exchange) error {
	if isAlert(err) {
		return err
	}
	tc, ok := s.secure.(*tls.Conn)
	if !ok || !neverBegan(err) && !(x.early && peerClosed(err)) {
		return nil
	}
	tc.SetReadDeadline(time.Unix(1, 0)) // what has ended it comes first
	var b [1]byte
	if _, err := tc.Read(b[:]); err != nil && isAlert(err) {
		return err
	}
	return nil
}

// endError prefers the socket's error to the one net/http made of it.
func endError(err, readErr error) error {
	if isReset(readErr) {
		return readErr
	}
	return err
}

func (s *stdConn) room() (n int, open bool) { return 100, true }

func (s *stdConn) reusable() bool { return s.cc.Err() == nil && s.cc.Available() > 0 }

func (s *stdConn) ended() <-chan struct{} { return s.tap.ended }

func (s *stdConn) parted() {
	if !s.http2 {
		s.tap.disarm()
	}
}

func (s *stdConn) close() {
	s.cc.Close()
	s.tap.Close()
}
