// Package wire is the connection pool of the client. Connections are made by internal/dial.
// net/http implements HTTP on them, or for HTTP/1 this package does; see
// Transport.startHTTP. The pool adds its key, limits and priorities, expiry, and exact
// knowledge of the phase in which an exchange failed.
//
// The types pool, host, waiter and dialing decide what happens, under one lock and without
// side effects; Transport.unlock carries out the actions after it has released the lock.
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

// Config is the configuration of a Transport. Zero values mean defaults.
type Config struct {
	Dialer         *dial.Dialer
	ConnsPerHost   int           // limit of HTTP/1 connections for one key; 0 means DefaultConnsPerHost
	IdleTimeout    time.Duration // 0 means DefaultIdleTimeout
	MaxHeaderBytes int64         // limit of a response head with its interim responses; 0 means DefaultMaxHeaderBytes
	PingTimeout    time.Duration // silence after which an HTTP/2 connection is probed; 0 means 15 s
	HTTP1          HTTP1Conn
}

// Transport is the pool. It is safe for concurrent use.
type Transport struct {
	cfg  Config
	std  *http.Transport    // HTTP/1
	h2c  *http.Transport    // HTTP/2
	stop context.CancelFunc // cancels all dials
	over chan struct{}      // closed after Close, when all connections and dials have ended

	mu   sync.Mutex // released by unlock, if there may be actions in pool.todo
	pool pool
}

// Sizes of net/http's buffers for heads on HTTP/1, which each connection has; bodies bypass
// them.
const (
	readBuffer  = 4 << 10
	writeBuffer = 1536
)

// h2Frame is the largest accepted frame. With net/http's default of 16 KiB large downloads
// are a third slower.
const h2Frame = 256 << 10

// h2Stream is the receive window of a stream. A larger one is not faster on a fast network,
// and costs memory with slow readers.
const h2Stream = 2 << 20

// Defaults of Config.
const (
	DefaultConnsPerHost   = 6
	DefaultIdleTimeout    = 120 * time.Second
	DefaultMaxHeaderBytes = 256 << 10
)

// NewTransport makes a Transport.
func NewTransport(cfg Config) *Transport {
	cfg.ConnsPerHost = cmp.Or(cfg.ConnsPerHost, DefaultConnsPerHost)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	cfg.MaxHeaderBytes = min(cmp.Or(cfg.MaxHeaderBytes, DefaultMaxHeaderBytes), 1<<30) // multiples of it are used as limits, too
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
	// The guard rejects large heads individually, where net/http would end the connection.
	// net/http must therefore accept all blocks that the guard passes. A block grows by
	// less than this factor when it is decoded.
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

// base is an http.Transport without pool, proxy and dialer: it uses the connection in the
// context.
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

// RoundTrip sends req on a connection of x.Key and returns the response head. It returns as
// soon as the context of req ends, which it may replace by one with the same end and values.
// The body of a 101 response is an *Upgraded. Hooks of a trace in the context are called as by
// net/http; those about opening a connection are called for the exchange for which a dial was
// started, even if another one gets the connection. A Read of the request body must return at
// the end of the context, of the connection (Conn.Ended), and at Close.
//
// The request body is closed by the end of the exchange, with one exception: if RoundTrip
// fails before it has a connection (x.Begun is false then), it has neither read nor closed
// the body. The caller may call it again with the same request, or must close the body.
func (t *Transport) RoundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	// begin and answered are not inlined, to keep this stack small
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

// begin gets a connection for an exchange and calls Observer.Sending.
//
//go:noinline
func (t *Transport) begin(req *http.Request, x *Exchange) (*conn, error) {
	ctx := req.Context()
	x.carrier = nil
	x.traceGetConn(ctx)
	c := t.sessionConn(x)
	for c == nil {
		var err error
		if c, err = t.acquire(ctx, x); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		if !t.stillUsable(c, x) {
			c = nil
		}
	}
	x.carrier = c
	t.reportSending(ctx, x)
	if ctx.Err() != nil { // the observer may have ended it: send nothing
		t.endExchange(c, true)
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	t.watch(ctx, c, x)
	return c, nil
}

// reportSending calls Observer.Sending. If that panics or calls runtime.Goexit, the
// connection is closed.
func (t *Transport) reportSending(ctx context.Context, x *Exchange) {
	told := false
	defer func() {
		if !told {
			t.endExchange(x.carrier, false)
		}
	}()
	x.traceGotConn(ctx)
	x.Observer.Sending(&x.Conn)
	told = true
}

// answered wraps the body of a response, so that its end returns the connection to the
// pool.
//
//go:noinline
func (t *Transport) answered(req *http.Request, resp *http.Response, x *Exchange) (*http.Response, error) {
	c, ctx := x.carrier, req.Context()
	resp.Request = req
	if resp.StatusCode == http.StatusSwitchingProtocols && !c.http2 {
		resp.Body = t.upgrade(c, resp.Body)
		return resp, nil
	}
	if resp.Body == http.NoBody || !c.http2 && resp.ContentLength == 0 {
		// there is no body to read
		t.done(c, x, true)
		x.cancellation.bodyOver()
		return resp, nil
	}
	b := &x.body
	b.ReadCloser, b.t, b.req, b.left = resp.Body, t, req, resp.ContentLength
	resp.Body = (*responseBody)(x)
	if !x.cancellation.answer() {
		resp.Body.Close()
		return nil, context.Cause(ctx)
	}
	if !c.http2 && (c.tls == nil || c.records() != nil) {
		b.lowat = newLowat(c.nc, resp.ContentLength)
	}
	return resp, nil
}

// stillUsable reports whether the reused connection c has not changed since it became idle;
// if it has, it is closed before anything is sent. It does not check new connections, since
// bytes on them, such as TLS 1.3 session tickets, belong to the handshake.
func (t *Transport) stillUsable(c *conn, x *Exchange) bool {
	if c.http2 || !x.wasIdle || c.stillIdle() {
		return true
	}
	t.endExchange(c, false)
	return false
}

// failed ends an exchange without a response, and returns its error.
//
//go:noinline
func (t *Transport) failed(req *http.Request, x *Exchange, err error) error {
	c, ctx := x.carrier, req.Context()
	var e *Error
	if errors.As(err, &e) && (e.Fault == GoAway || e.Unprocessed && e.Fault != Reset) {
		t.retire(c)
	}
	x.cancellation.finish()
	t.endExchange(c, false)
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

// Connections is the number of open connections, for tests and diagnostics.
func (t *Transport) Connections() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pool.live
}
