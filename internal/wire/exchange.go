package wire

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"syscall"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
)

// Protocol is the version of HTTP to use.
type Protocol int

const (
	Negotiate Protocol = iota // HTTP/2 if ALPN selects it, HTTP/1 otherwise
	HTTP1                     // HTTP/1 only
	HTTP2                     // HTTP/2 only, without TLS by prior knowledge
)

// Key identifies exchanges that may share connections.
type Key struct {
	Scheme string // http, https or Local
	// Addr is host:port in ASCII, of the proxy if Route forwards, or the name of a local
	// socket.
	Addr     string
	Protocol Protocol
	// Profile is the TLS profile for https.
	Profile *Profile
	// Route is the proxy, nil for none. It is compared by address.
	Route *dial.Proxy
	// Target is the host:port of the target if Route forwards: connections and their limit
	// are per target (rule N41).
	Target string
	// Owner is the identity for which the connections are authenticated, any comparable
	// value; nil if they are not.
	Owner any
}

// Local is the scheme of HTTP over a Unix domain socket.
const Local = "unix"

// Priority is the priority of an exchange that waits for a connection.
type Priority int8

const (
	High Priority = iota
	Normal
	Low
	priorities
)

// Observer receives the events of one exchange. It is called on the goroutine of RoundTrip,
// except for Activity and Interim.
type Observer interface {
	// Waiting reports that no connection is available at once. queued means that all
	// allowed connections are in use; otherwise one is being opened.
	Waiting(queued bool)
	// Connecting reports that a TCP connection is being opened for this exchange.
	Connecting()
	// Encrypted reports the end of the TLS handshake, before anything of the request is
	// sent, and the certificate flaws that were accepted, nil for none.
	Encrypted(*tls.ConnectionState, *certs.Failure)
	// Question asks a question of the handshake, which continues when it returns.
	Question(*Question)
	// Sending reports that the request is about to be sent on this connection.
	Sending(*Conn)
	// Activity reports that bytes of the response were received. It must not block.
	Activity()
	// Interim reports an interim response. An error ends the exchange. On HTTP/2 it must not
	// block, since other exchanges wait meanwhile.
	Interim(code int, header textproto.MIMEHeader) error
}

// Addrs are the addresses of a connection, nil if a connection of DialContext has none.
type Addrs struct{ Local, Remote net.Addr }

// Conn describes the connection of an exchange.
type Conn struct {
	HTTP2  bool
	Reused bool
	// Detached: the request body is read on a goroutine for which nobody waits.
	Detached bool
	TLS      *tls.ConnectionState
	Addrs    *Addrs
	// Ended is closed when the peer has ended the connection. A request body whose Read may
	// block must also watch it, in addition to the context and its Close, unless Detached is
	// set, because net/http waits for that Read before it ends an exchange.
	Ended <-chan struct{}

	nc net.Conn
}

// Unacked is the number of bytes sent on the connection that the peer has not acknowledged,
// -1 if the system does not report it. On HTTP/2 they may belong to another exchange.
func (c Conn) Unacked() int {
	nc := c.nc
	for range 8 { // bounded, because NetConn of a program's connection may return itself
		if sc, ok := nc.(syscall.Conn); ok {
			return unacked(sc)
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return -1
		}
		nc = inner.NetConn()
	}
	return -1
}

// Exchange is one request and its response. If it failed before it had a connection, see
// Begun, it may be passed to RoundTrip again, even with changed fields.
type Exchange struct {
	Key Key
	// IdleTimeout is how long the connection is kept idle afterwards: 0 means the
	// Transport's time, below 0 that it is closed.
	IdleTimeout time.Duration
	Observer    Observer
	// Session, if not nil, makes several exchanges use one connection.
	Session *Session
	// Order, if not nil, has the fields of the caller in the order and spelling in which an
	// HTTP/1 connection of this package sends them. Their values are those in the request,
	// and fields that the request does not have are not sent.
	Order *headers.Headers
	// Memory, if not nil, begins with the whole request body. It may be used in place of the
	// body of the request.
	Memory   *[]byte
	Priority Priority
	// Fresh requires a connection on which nothing was sent before.
	Fresh bool
	// Repeated reports that the exchange was tried before: Observer.Connecting is not
	// called then (rule N22).
	Repeated bool
	waited   bool  // there was a waiter
	wasIdle  bool  // the connection was idle before the exchange
	unacked  int32 // state of PeerMoved, as is moved

	cancellation *cancellation
	body         body        // response body
	h1           *h1Exchange // on an h1Conn

	waiter     *waiter    // while it waits; guarded by Transport.mu
	lastQueued *time.Time // of the last waiter, nil for none; likewise

	carrier *conn // set before Sending
	moved   int64
	gotConn *httptrace.GotConnInfo // set by begin; nil without a trace hook for it

	// Set by RoundTrip.
	Conn Conn
	Head string // the bytes of an HTTP/1 response head, for ParseHead; "" on HTTP/2
}

// Spare is memory for an exchange on an HTTP/1 connection of this package or on HTTP/2, and for
// its response.
type Spare struct {
	h1 *h1Exchange
	h2 *cancellation
}

// Spare takes the memory out of an exchange that has ended. It returns false if anything may
// still refer to the exchange or its request, which is seldom so after one on such a connection
// that was kept. Nobody may use the response any more.
func (x *Exchange) Spare() (Spare, bool) {
	if x.waited {
		return Spare{}, false
	}
	if e := x.cancellation; e != nil {
		if x.body.closed.Load() || !e.renew() {
			return Spare{}, false
		}
		x.cancellation = nil
		return Spare{h2: e}, true
	}
	e := x.h1
	if e == nil || !e.clean {
		return Spare{}, false
	}
	x.h1 = nil
	e.head.clear()
	*e = h1Exchange{head: e.head}
	return Spare{h1: e}, true
}

// Use makes the exchange use s, before RoundTrip.
func (x *Exchange) Use(s Spare) { x.h1, x.cancellation = s.h1, s.h2 }

// Begun reports, after RoundTrip, whether the exchange had a connection.
func (x *Exchange) Begun() bool { return x.carrier != nil }
