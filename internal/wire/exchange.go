package wire

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"syscall"
	"time"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
)

// Protocol is a wish for the version of HTTP.
type Protocol int

const (
	Negotiate Protocol = iota // HTTP/2 when TLS agrees on it, HTTP/1 otherwise
	HTTP1                     // HTTP/1 only
	HTTP2                     // HTTP/2 without asking: prior knowledge in clear text
)

// Key names the exchanges that may share connections.
type Key struct {
	Scheme string // http, https or Local
	// Addr is host:port in ASCII, with a Route that forwards the proxy's, or the name of
	// a local socket.
	Addr     string
	Protocol Protocol
	// Profile is the encryption of https.
	Profile *Profile
	// Route is the proxy, nil for none; its address is its identity.
	Route *dial.Proxy
	// Target is, with a Route that forwards, the host:port that the requests are for:
	// connections and their limit are per target (rule N41).
	Target string
	// Owner is whom the connections are authenticated for, anything comparable; nil
	// for nobody, as long as the requests carry their credentials themselves.
	Owner any
}

// Local is the scheme of HTTP over a Unix domain socket.
const Local = "unix"

// Priority orders the exchanges that wait for a connection.
type Priority int8

const (
	High Priority = iota
	Normal
	Low
	priorities
)

// Observer is told what happens to one exchange. The calls come from the
// goroutine that called RoundTrip, except Activity.
type Observer interface {
	// Waiting: there is no connection to send on at once. queued says that all that there
	// may be carry other exchanges; otherwise one is being opened.
	Waiting(queued bool)
	// Connecting: a TCP connection is being opened for this exchange.
	Connecting()
	// Encrypted: the handshake is over; nothing of the request has been sent. What is
	// wrong with the server's certificate, and was accepted, comes along.
	Encrypted(*tls.ConnectionState, *certs.Failure)
	// Question: the handshake needs something to be known or decided. It goes on when
	// this returns.
	Question(*Question)
	// Sending: the request goes out now, on this connection.
	Sending(Conn)
	// Activity: bytes of the response came. It must not block.
	Activity()
}

// Conn is what is known of the connection that carries an exchange.
type Conn struct {
	HTTP2      bool
	Reused     bool
	TLS        *tls.ConnectionState
	LocalAddr  net.Addr
	RemoteAddr net.Addr
	// Ended is closed when the peer has ended the connection. A request body whose Read may
	// wait for long must watch it, besides the context and its Close: net/http does not
	// return from an exchange before that Read does.
	Ended <-chan struct{}

	nc net.Conn
}

// Untaken is how many bytes that were sent on the connection its peer has not taken yet, -1
// where the system does not tell. On HTTP/2 they may be another exchange's.
func (c Conn) Untaken() int {
	nc := c.nc
	for range 8 { // a program's connection may say that it is inside itself
		if sc, ok := nc.(syscall.Conn); ok {
			return untaken(sc)
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return -1
		}
		nc = inner.NetConn()
	}
	return -1
}

// Exchange is one request on its way, and the facts about it. One that failed before it had
// a connection, see Begun, may be handed to RoundTrip once more, its fields changed or not.
type Exchange struct {
	Key Key
	// IdleTimeout is how long the connection may lie idle afterwards: 0 means
	// the Transport's time, below 0 not at all.
	IdleTimeout time.Duration
	Observer    Observer
	// Session, when not nil, keeps the exchange with others on one connection.
	Session  *Session
	Priority Priority
	// Fresh asks for a connection that nothing was sent on before.
	Fresh bool
	// Repeated says that the exchange has been tried before: nobody is told of a
	// connection that takes the place of one that ended (rule N22).
	Repeated bool
	idled    bool  // the connection had lain idle before it was taken for the exchange
	untaken  int32 // with moved, of PeerMoved

	ending *ending
	body   body // of the response

	waiter  *waiter // the last one, guarded by Transport.mu
	carrier *conn   // set before Sending
	moved   int64
	got     *httptrace.GotConnInfo // filled in by begin; nil where no trace wants it

	// Set by RoundTrip.
	Conn Conn
	Head string // the response head as it came, for ParseHead; "" when it was not seen
}

// Begun tells, once RoundTrip has returned, whether it had a connection to send on.
func (x *Exchange) Begun() bool { return x.carrier != nil }
