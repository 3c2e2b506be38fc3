// Package wire is the bottom of the client: a pool of connections, each of
// which exchanges requests for responses. Connections are made by
// internal/dial, and net/http speaks HTTP on them; what the pool adds is its
// key, its limits and priorities, expiry, and knowing exactly in which phase an
// exchange failed.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
type Priority int

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
	Key      Key
	Priority Priority
	// IdleTimeout is how long the connection may lie idle afterwards: 0 means
	// the Transport's time, below 0 not at all.
	IdleTimeout time.Duration
	Observer    Observer
	// Session, when not nil, keeps the exchange with others on one connection.
	Session *Session
	// Fresh asks for a connection that nothing was sent on before.
	Fresh bool
	// Repeated says that the exchange has been tried before: nobody is told of a
	// connection that takes the place of one that ended (rule N22).
	Repeated bool
	idled    bool  // the connection had lain idle before it was taken for the exchange
	untaken  int32 // with moved, of PeerMoved

	ending *ending

	waiter  *waiter // the last one, guarded by Transport.mu
	carrier *conn   // set before Sending
	moved   int64

	// Set by RoundTrip.
	Conn Conn
	Head string // the response head as it came, for ParseHead; "" when it was not seen
}

// Config is set once; the zero value of a field is its default.
type Config struct {
	Dialer         *dial.Dialer
	ConnsPerHost   int           // HTTP/1 connections for one key; 6
	IdleTimeout    time.Duration // 120 s
	MaxHeaderBytes int64         // of a response, interim ones included; 256 KiB
	PingTimeout    time.Duration // HTTP/2: a silent connection is probed after this; 15 s
}

// Transport is the pool. It is safe for concurrent use.
type Transport struct {
	cfg  Config
	std  *http.Transport // HTTP/1
	h2c  *http.Transport // HTTP/2
	stop context.CancelFunc
	ctx  context.Context // of all dials

	live atomic.Int64  // open connections
	over chan struct{} // closed when all has ended, after Close

	mu      sync.Mutex
	hosts   map[Key]*host
	all     allConns // those that have not been closed to the end
	expiry  expiry
	dialing int // dials under way
	closed  bool
	isOver  bool // over is closed
}

// What net/http reads heads into and writes them from on HTTP/1; bodies pass it by.
// Each connection holds both.
const (
	readBuffer  = 4 << 10
	writeBuffer = 1536
)

// h2Frame is the largest DATA frame we take: net/http's 16 KiB cost a third of
// the rate of a large download.
const h2Frame = 256 << 10

// h2Stream is how much of one stream may lie unread before its peer stops: more
// gains no rate on a fast network, and costs memory with every slow reader.
const h2Stream = 2 << 20

// NewTransport makes a pool without connections.
func NewTransport(cfg Config) *Transport {
	if cfg.ConnsPerHost == 0 {
		cfg.ConnsPerHost = 6
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 120 * time.Second
	}
	if cfg.MaxHeaderBytes == 0 {
		cfg.MaxHeaderBytes = 256 << 10
	}
	cfg.MaxHeaderBytes = min(cfg.MaxHeaderBytes, 1<<30) // multiples of it are limits, too
	if cfg.PingTimeout == 0 {
		cfg.PingTimeout = 15 * time.Second
	}
	t := &Transport{cfg: cfg, hosts: map[Key]*host{}, over: make(chan struct{})}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.std, t.h2c = t.base(), t.base()
	t.std.Protocols = protocols((*http.Protocols).SetHTTP1)
	t.h2c.Protocols = protocols((*http.Protocols).SetUnencryptedHTTP2)
	// The guard refuses larger heads one by one, where net/http would end the connection:
	// it must be able to read what the guard lets it skip. A block grows by less than that
	// when it is decoded.
	t.h2c.MaxResponseHeaderBytes = 4 * h2BlockLimit(cfg.MaxHeaderBytes)
	return t
}

func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	for _, f := range set {
		f(p, true)
	}
	return p
}

// base is an http.Transport that has no pool, no proxy and no dialer of its
// own: it takes the connection that lies in the context.
func (t *Transport) base() *http.Transport {
	given := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return ctx.Value(connKey{}).(net.Conn), nil
	}
	return &http.Transport{
		DialContext:            given,
		DisableCompression:     true,
		MaxResponseHeaderBytes: t.cfg.MaxHeaderBytes,
		ReadBufferSize:         readBuffer,
		WriteBufferSize:        writeBuffer,
		ExpectContinueTimeout:  time.Second,
		HTTP2: &http.HTTP2Config{
			MaxReadFrameSize:          h2Frame,
			MaxReceiveBufferPerStream: h2Stream,
			SendPingTimeout:           t.cfg.PingTimeout,
			PingTimeout:               t.cfg.PingTimeout,
		},
	}
}

type connKey struct{}

// RoundTrip sends req on a connection of x.Key and returns the head of its
// response. It returns as soon as the context of req ends. Interim responses are
// the business of a trace in the context. A Read of the request body must end with the
// context, with the connection (Conn.Ended) and with Close.
//
// The request body is closed by the time the exchange is over, with one exception: when
// RoundTrip fails before it has a connection to send on (x.Begun is false then), it has
// neither read nor closed the body. The caller may call it again with the same request, or
// closes the body.
func (t *Transport) RoundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	ctx := req.Context()
	x.carrier = nil
	c := t.claim(x)
	for c == nil {
		var err error
		if c, err = t.take(ctx, x); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		if !t.fits(c, x) {
			c = nil
		}
	}
	x.carrier = c
	x.Observer.Sending(x.Conn)
	if ctx.Err() != nil { // the observer may have ended it: nothing leaves
		t.put(c, true)
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	x.ending = t.watch(ctx, c)
	resp, err := c.roundTrip(req, x)
	if err != nil {
		t.failed(c, x, err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	resp.Request = req
	if resp.Body == http.NoBody || !c.http2 && resp.ContentLength == 0 && resp.StatusCode != http.StatusSwitchingProtocols {
		// net/http has seen the end of it already
		t.done(c, x, true)
		return resp, nil
	}
	b := &body{ReadCloser: resp.Body, t: t, c: c, x: x, ctx: ctx, left: resp.ContentLength, upload: req.Body != nil}
	if !x.ending.answered(b) {
		b.Close()
		return nil, context.Cause(ctx)
	}
	if !c.http2 && c.tls == nil {
		b.lowat = newLowat(c.nc, resp.ContentLength)
	}
	resp.Body = b
	return resp, nil
}

// Begun tells, once RoundTrip has returned, whether it had a connection to send on.
func (x *Exchange) Begun() bool { return x.carrier != nil }

// fits tells whether c, taken for x, is as it was left when it became idle. If not, it is
// given up before anything is sent. What comes on a new connection belongs to its handshake:
// tickets of TLS 1.3 follow that.
func (t *Transport) fits(c *conn, x *Exchange) bool {
	if c.http2 || !x.idled || c.fit() {
		return true
	}
	t.put(c, false)
	return false
}

// failed ends an exchange that has no response.
func (t *Transport) failed(c *conn, x *Exchange, err error) {
	var e *Error
	if errors.As(err, &e) && (e.Fault == GoAway || e.Unprocessed && e.Fault != Reset) {
		t.retire(c)
	}
	x.ending.finish()
	t.put(c, false)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// body gives the connection back at its end.
type body struct {
	io.ReadCloser
	t    *Transport
	c    *conn
	x    *Exchange
	ctx  context.Context
	done atomic.Bool

	left   int64 // what is missing, when the length is known
	lowat  *lowat
	upload bool // the request has a body, which may be on its way still
	closed atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.lowat != nil {
		b.left -= int64(n)
		b.lowat.read(n, b.left)
	}
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.release(true)
		return n, err
	}
	if b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	} else if !errors.Is(err, net.ErrClosed) {
		err = b.c.fault(err, Body, b.x)
	}
	b.release(false)
	return n, err
}

func (b *body) Write(p []byte) (int, error) { // after 101
	w, ok := b.ReadCloser.(io.Writer)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return w.Write(p)
}

// Close gives the response up. It does not wait for an HTTP/2 connection: the stream is
// reset in the background.
func (b *body) Close() error {
	if b.c.http2 {
		if (b.upload || !b.done.Load()) && b.closed.CompareAndSwap(false, true) {
			go b.abandon()
		}
		return nil
	}
	err := b.ReadCloser.Close()
	b.release(true)
	return err
}

func (b *body) release(ok bool) {
	if b.done.CompareAndSwap(false, true) {
		if b.lowat != nil {
			b.lowat.end()
		}
		b.t.done(b.c, b.x, ok)
	}
}

// Connections is the number of open connections, for tests and diagnosis.
func (t *Transport) Connections() int { return int(t.live.Load()) }
