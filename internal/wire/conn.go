package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
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
	// exchangeDone is called when an exchange on it is over.
	exchangeDone()
	// close ends the connection in good order. It may wait for the peer, and is called on a
	// goroutine of its own.
	close()
}

// conn is a connection and what the pool knows about it. The fields below mu
// of the Transport are guarded by it.
type conn struct {
	connection
	http2  bool
	tls    *tls.ConnectionState
	nc     net.Conn // the socket, or what a Dialer's DialContext gave
	stream net.Conn // what HTTP is spoken on: nc, or the encryption on it
	// accepted is what is wrong with the server's certificate, in the profile's eyes not
	// too wrong
	accepted *certs.Failure
	// local and remote are the addresses, nil where a Dialer's connection has none.
	local, remote net.Addr

	// guarded by Transport.mu
	host   *host       // set once it is in the books
	place  links[conn] // in a queue of its host
	listed links[conn] // in the list of all
	uses   int
	kept   bool // it was opened for nobody, and lay idle
	// waited tells that its server had to wait for a question to be answered, and may
	// have gone away as one does from an idle connection
	waited   bool
	streams  int // exchanges it carries now
	expiry   time.Duration
	hint     time.Duration // how long the server keeps it, 0 when it has not said
	idleFrom time.Time     // since when it lies in the pool; zero while it carries something
	deadline time.Time     // when it has been idle for too long
	due      time.Time     // of its entry in the Transport's expiry
	dueAt    int           // the place of that, counted from 1
	dead     bool          // it takes no new exchange
	gone     bool          // it is out of the books of its host
}

// speak makes c a connection of the version of HTTP that was agreed on.
func (t *Transport) speak(key Key, c *conn) (err error) {
	if c.tls != nil {
		c.http2 = c.tls.NegotiatedProtocol == "h2"
	} else {
		c.http2 = key.Protocol == HTTP2
	}
	if c.http2 {
		c.connection, err = t.newH2Conn(key, c)
	} else {
		c.connection, err = t.newStdConn(key, c)
	}
	return err
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
