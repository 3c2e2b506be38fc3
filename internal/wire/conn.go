package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/oserr"
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
	// another, and how long its peer keeps it idle, 0 when it has not said. It may wait for
	// the locks of net/http, so it must not be called under a lock.
	reusable() (ok bool, hint time.Duration)
	// fit tells, before a request goes out, whether the peer has left the idle HTTP/1
	// connection alone. It may ask the system.
	fit() bool
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

// carry books that an exchange begins on c, or with -1 that one ends; the caller holds the
// lock.
func (c *conn) carry(n int) {
	c.streams += n
	c.host.carried += n
}

// newConnection speaks HTTP on raw, or on what secure makes of it.
func (t *Transport) newConnection(key Key, raw net.Conn, secure func(net.Conn) (net.Conn, *tls.ConnectionState, error), c *conn) (connection, *tls.ConnectionState, error) {
	if key.Scheme != "https" {
		if key.Protocol == HTTP2 {
			s, err := t.newH2Conn(key, raw, nil, c)
			return s, nil, err
		}
		s, err := t.newStdConn(key, raw, c)
		return s, nil, err
	}
	nc, state, err := secure(raw)
	if err != nil {
		return nil, nil, err
	}
	if state.NegotiatedProtocol == "h2" {
		s, err := t.newH2Conn(key, nc, state, c)
		return s, state, err
	}
	s, err := t.newStdConn(key, nc, c)
	return s, state, err
}

// clientConn makes net/http speak on nc.
func clientConn(transport *http.Transport, key Key, nc net.Conn) (*http.ClientConn, error) {
	// The connection is there already: its context must not end with a request.
	ctx := context.WithValue(context.Background(), connKey{}, nc)
	addr := key.Addr
	if key.Scheme == Local {
		addr = "localhost:80"
	}
	// Whatever is encrypted is so already: net/http is to send what it is given.
	cc, err := transport.NewClientConn(ctx, "http", addr)
	if err != nil {
		dial.GiveUp(nc)
		e := &Error{Phase: Connect, Fault: Malformed, Err: err}
		if peerClosed(err) { // it could not be greeted any more
			e.Fault = Closed
		}
		return nil, e
	}
	return cc, nil
}

// stdConn is a connection on which net/http speaks HTTP/1.
type stdConn struct {
	cc  *http.ClientConn
	tap *tapConn
	raw net.Conn // the socket under the tap, and under TLS
}

func (t *Transport) newStdConn(key Key, nc net.Conn, c *conn) (*stdConn, error) {
	s := &stdConn{tap: newTapConn(nc, t.cfg.MaxHeaderBytes), raw: c.nc}
	s.tap.onEnd = func() { t.ended(c) }
	var err error
	s.cc, err = clientConn(t.std, key, s.tap)
	return s, err
}

func (s *stdConn) roundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	s.tap.arm(req.Method, x.Observer.Activity)
	resp, err := s.cc.RoundTrip(req)
	if err != nil {
		return nil, s.fault(err, Headers, x)
	}
	head, ok := s.tap.final(resp)
	if !ok {
		resp.Body.Close()
		s.cc.Close()
		return nil, &Error{Phase: Headers, Fault: Malformed, Reused: x.Conn.Reused, Began: true,
			Err: errors.New("a response head that can be read in two ways")}
	}
	x.Head = head
	return resp, nil
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
	gone, readErr := s.tap.state()
	stray, at, wrong := s.tap.fault()
	e.Sent = sent
	if phase == Headers {
		// what is no response at all was meant for an exchange before
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
		e.Fault = Malformed // net/http has refused it
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
		// net/http saw the idle connection end before this exchange began
		e.Fault = Closed
	default:
		e.Fault = Malformed
	}
	return e
}

// endError prefers the socket's error to the one net/http made of it.
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

// fit asks the socket first: what has left it meanwhile, the tap knows.
func (s *stdConn) fit() bool { return !s.tap.hasPending(s.raw) && s.tap.usable() }

func (s *stdConn) ended() <-chan struct{} { return s.tap.ended }

func (s *stdConn) parted() { s.tap.disarm() }

func (s *stdConn) close() {
	s.cc.Close()
	s.tap.Close()
}
