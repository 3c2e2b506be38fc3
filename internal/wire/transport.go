// Package wire is the bottom of the client: a pool of connections, each of
// which exchanges requests for responses. Connections are made by
// internal/dial, and net/http speaks HTTP on them; what the pool adds is its
// key, its limits and priorities, expiry, and knowing exactly in which phase an
// exchange failed.
//
// What happens in the pool is decided by books (pool, with host, waiter and dialing), under
// one lock and without doing anything; a Transport does it when it gives up the lock, see
// Transport.unlock.
package wire

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/dial"
)

// Config is set once; the zero value of a field is its default.
type Config struct {
	Dialer         *dial.Dialer
	ConnsPerHost   int           // HTTP/1 connections for one key; 0 means DefaultConnsPerHost
	IdleTimeout    time.Duration // 0 means DefaultIdleTimeout
	MaxHeaderBytes int64         // of a response, interim ones included; 0 means DefaultMaxHeaderBytes
	PingTimeout    time.Duration // HTTP/2: a silent connection is probed after this; 15 s
}

// Transport is the pool. It is safe for concurrent use.
type Transport struct {
	cfg  Config
	std  *http.Transport    // HTTP/1
	h2c  *http.Transport    // HTTP/2
	stop context.CancelFunc // ends all dials
	over chan struct{}      // closed when all has ended, after Close

	mu   sync.Mutex // given up by unlock, where anything may have been decided under it
	pool pool
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

// What zero values in a Config mean.
const (
	DefaultConnsPerHost   = 6
	DefaultIdleTimeout    = 120 * time.Second
	DefaultMaxHeaderBytes = 256 << 10
)

// NewTransport makes a pool without connections.
func NewTransport(cfg Config) *Transport {
	cfg.ConnsPerHost = cmp.Or(cfg.ConnsPerHost, DefaultConnsPerHost)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	cfg.MaxHeaderBytes = min(cmp.Or(cfg.MaxHeaderBytes, DefaultMaxHeaderBytes), 1<<30) // multiples of it are limits, too
	if cfg.PingTimeout == 0 {
		cfg.PingTimeout = 15 * time.Second
	}
	t := &Transport{cfg: cfg, over: make(chan struct{})}
	t.pool = pool{connsPerHost: cfg.ConnsPerHost, hosts: map[Key]*host{}, expiry: expiry{limit: cfg.IdleTimeout}}
	t.pool.ctx, t.stop = context.WithCancel(context.Background())
	t.pool.expiry.timer = time.AfterFunc(cfg.IdleTimeout, t.expire)
	t.pool.expiry.timer.Stop()
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
// the business of a trace in the context, all of whose hooks are called as net/http calls
// them; those that are about opening a connection belong to the exchange that it was begun
// for, even if another one gets it. A Read of the request body must end with the
// context, with the connection (Conn.Ended) and with Close.
//
// The request body is closed by the time the exchange is over, with one exception: when
// RoundTrip fails before it has a connection to send on (x.Begun is false then), it has
// neither read nor closed the body. The caller may call it again with the same request, or
// closes the body.
func (t *Transport) RoundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	// what is not net/http's is apart, to leave this a small stack
	c, err := t.begin(req, x)
	if err != nil {
		return nil, err
	}
	resp, err := c.roundTrip(req, x)
	if err != nil {
		return nil, t.failed(req, x, err)
	}
	return t.answered(req, resp, x)
}

// begin finds a connection for an exchange and says that it is about to use it.
//
//go:noinline
func (t *Transport) begin(req *http.Request, x *Exchange) (*conn, error) {
	ctx := req.Context()
	x.carrier = nil
	x.traceGetConn(ctx)
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
	t.tellSending(ctx, x)
	if ctx.Err() != nil { // the observer may have ended it: nothing leaves
		t.put(c, true)
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	x.ending = t.watch(ctx, c)
	return c, nil
}

// tellSending tells which connection the request goes out on. One whose observer panics, or
// ends its goroutine, ends.
func (t *Transport) tellSending(ctx context.Context, x *Exchange) {
	told := false
	defer func() {
		if !told {
			t.put(x.carrier, false)
		}
	}()
	x.traceGotConn(ctx)
	x.Observer.Sending(x.Conn)
	told = true
}

// answered makes the body of a response give its connection back.
//
//go:noinline
func (t *Transport) answered(req *http.Request, resp *http.Response, x *Exchange) (*http.Response, error) {
	c, ctx := x.carrier, req.Context()
	resp.Request = req
	if resp.Body == http.NoBody || !c.http2 && resp.ContentLength == 0 && resp.StatusCode != http.StatusSwitchingProtocols {
		// net/http has seen the end of it already
		t.done(c, x, true)
		return resp, nil
	}
	b := &x.body
	b.ReadCloser, b.t, b.c, b.x, b.ctx, b.left, b.upload = resp.Body, t, c, x, ctx, resp.ContentLength, req.Body != nil
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

// failed ends an exchange that has no response, and gives its error.
//
//go:noinline
func (t *Transport) failed(req *http.Request, x *Exchange, err error) error {
	c, ctx := x.carrier, req.Context()
	var e *Error
	if errors.As(err, &e) && (e.Fault == GoAway || e.Unprocessed && e.Fault != Reset) {
		t.retire(c)
	}
	x.ending.finish()
	t.put(c, false)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// Connections is the number of open connections, for tests and diagnosis.
func (t *Transport) Connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pool.live
}
