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

// connection sends requests and receives responses: one at a time on HTTP/1, as many as
// room returns on HTTP/2. Only the pool uses it.
type connection interface {
	// roundTrip returns the head of the response, and sets the results in the Exchange. It
	// ends with the context of the request.
	roundTrip(*http.Request, *Exchange) (*http.Response, error)
	// fault classifies an error of this connection.
	fault(err error, phase Phase, x *Exchange) error
	// room returns how many concurrent exchanges the peer of an HTTP/2 connection allows,
	// and whether new ones may begin. It must not block, because the pool calls it under
	// its lock.
	room() (n int, open bool)
	// reusable reports, after an exchange, whether an HTTP/1 connection can be reused, and
	// how long the server keeps it idle, 0 if unknown. It may wait for locks of net/http,
	// so it must not be called under a lock.
	reusable() (ok bool, hint time.Duration)
	// stillIdle reports, before a request is sent, whether the peer has neither sent
	// anything on the idle HTTP/1 connection nor closed it. It may make a system call.
	stillIdle() bool
	// ended returns a channel that is closed when the peer has ended the connection.
	ended() <-chan struct{}
	// exchangeDone is called at the end of an exchange.
	exchangeDone()
	// close closes the connection gracefully. It may wait for the peer, and is called on
	// its own goroutine.
	close()
}

// conn is a connection with its state in the pool.
type conn struct {
	connection
	http2  bool
	probed bool // nothing reads it while it is idle: it is probed regularly
	tls    *tls.ConnectionState
	nc     net.Conn // the socket, or the result of DialContext
	stream net.Conn // carries HTTP: nc, or TLS on it
	socket *socket  // nc, nil if it cannot be asked whether anything has arrived
	// accepted are flaws of the server's certificate that were accepted; nil for none
	accepted *certs.Failure
	addrs    *Addrs

	// guarded by Transport.mu
	host       *host       // set when it is added to the pool
	queueLinks links[conn] // in a queue of its host
	allLinks   links[conn] // in the list of all connections
	uses       int
	preopened  bool // opened by Transport.Open, and not used yet
	// delayed: the handshake waited for a question, so that the server may have closed the
	// connection like an idle one
	delayed   bool
	streams   int // current exchanges
	expiry    time.Duration
	hint      time.Duration // how long the server keeps it idle, 0 if unknown
	idleSince time.Time     // start of the idle time; zero while in use
	deadline  time.Time     // end of the idle time
	due       time.Time     // time of its entry in the expiry heap
	heapIndex int           // index of the entry plus 1, 0 for none
	probes    int           // number of probes since it became idle
	nextProbe time.Time
	probing   bool // it counts as in use while it is being probed
	excluded  bool // accepts no new exchanges
	removed   bool // removed from its host
	upgraded  bool // removed, and not closed by its user yet; see Upgraded
}

// HTTP1Conn selects the connections for HTTP/1.
type HTTP1Conn int

const (
	DefaultConn HTTP1Conn = iota
	StdConn               // those of net/http
	OwnConn               // those of this package, where the system can tell what has arrived
)

// Own reports whether k selects those of this package.
func (k HTTP1Conn) Own() bool { return k == OwnConn || k == DefaultConn && ownConns }

// startHTTP starts the negotiated version of HTTP on c. HTTP/2 is always left to net/http,
// and so is HTTP/1 on connections that nobody would read while they are idle: those of the
// program, of its own TLS, and inside the TLS of a proxy.
func (t *Transport) startHTTP(key Key, c *conn) (err error) {
	if c.tls != nil {
		c.http2 = c.tls.NegotiatedProtocol == "h2"
	} else {
		c.http2 = key.Protocol == HTTP2
	}
	if c.http2 {
		c.connection, err = t.newH2Conn(key, c)
	} else if t.cfg.HTTP1.Own() && c.socket != nil {
		h := newH1Conn(c, t.cfg.MaxHeaderBytes)
		h.giveUp = func() { t.endExchange(c, false) }
		c.connection, c.probed = h, true
	} else {
		c.connection, err = t.newStdConn(key, c)
	}
	return err
}

// clientConn makes a connection of net/http on nc.
func clientConn(transport *http.Transport, key Key, nc net.Conn) (*http.ClientConn, error) {
	// The connection exists already, and must not end with the context of a request.
	ctx := context.WithValue(context.Background(), connKey{}, nc)
	addr := key.Addr
	if key.Scheme == Local {
		addr = "localhost:80"
	}
	// TLS is below nc: to net/http the connection is plain text.
	cc, err := transport.NewClientConn(ctx, "http", addr)
	if err != nil {
		dial.GiveUp(nc)
		e := &Error{Phase: Connect, Fault: Malformed, Err: err}
		if peerClosed(err) { // closed before the HTTP/2 preface was sent
			e.Fault = Closed
		}
		return nil, e
	}
	return cc, nil
}
