// Package dial opens transport connections: name resolution, TCP over both
// address families, proxies, and TLS. Every failure says in which phase it happened, so
// that nobody has to guess it from a text.
package dial

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Phase is the step of opening a connection in which it failed.
type Phase int

const (
	Resolve  Phase = iota // looking the name up
	Connect               // opening the TCP connection
	TLS                   // shaking hands
	Proxying              // reaching a proxy, and being let through
)

func (p Phase) String() string { return [...]string{"resolve", "connect", "tls", "proxy"}[p] }

// Error is the failure to open a connection.
type Error struct {
	Phase Phase
	Addr  string // host:port that was asked for
	Err   error
}

func (e *Error) Error() string { return e.Phase.String() + " " + e.Addr + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrTimeout is the cause when a limit of the Dialer, not of the caller's
// context, ended an attempt.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string   { return "timed out" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Dialer opens connections. Its zero value has no limits of its own.
// It is safe for concurrent use and must not be changed once in use.
type Dialer struct {
	// ConnectTimeout bounds resolution and TCP together; 0 means no limit.
	ConnectTimeout time.Duration
	// TLSTimeout bounds the handshake; 0 means no limit.
	TLSTimeout time.Duration
	// Resolver looks names up; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// DialContext replaces resolution and TCP as a whole when it is set.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Check, when not nil, may refuse an address that is about to be connected to,
	// or, with DialContext, has been.
	Check func(netip.Addr) error
	// LocalAddr is the address to connect from; nil means any.
	LocalAddr net.Addr
	// KeepAlive says how a silent TCP connection is probed; the zero value is that of
	// package net.
	KeepAlive net.KeepAliveConfig
}

// refused asks Check about an address with its port, as package net writes it.
func (d *Dialer) refused(address string) error {
	if d.Check == nil {
		return nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return d.Check(a.Addr())
}

// TCP opens a TCP connection to addr. connecting, when not nil, is called once,
// before the first packet leaves and after the name was resolved, from another
// goroutine than the caller's.
func (d *Dialer) TCP(ctx context.Context, addr string, connecting func()) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	var started atomic.Bool
	start := func() {
		if started.CompareAndSwap(false, true) && connecting != nil {
			connecting()
		}
	}
	if d.DialContext != nil {
		start()
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			if err = d.refused(c.RemoteAddr().String()); err != nil {
				c.Close()
				c = nil
			}
		}
		return c, fail(ctx, Connect, addr, err)
	}
	list, looked, err := d.addresses(ctx, addr)
	if err != nil {
		phase := Connect // port 99999, for instance, is no failed look-up
		if looked {
			phase = Resolve
		}
		return nil, fail(ctx, phase, addr, err)
	}
	nd := net.Dialer{
		LocalAddr:       d.LocalAddr,
		KeepAliveConfig: d.KeepAlive,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			if err := d.refused(address); err != nil {
				return err
			}
			start()
			return nil
		},
	}
	c, err := d.race(ctx, list, func(ctx context.Context, addr string) (net.Conn, error) { return nd.DialContext(ctx, "tcp", addr) })
	if err != nil {
		if ctx.Err() != nil {
			err = &outOfTime{context.Cause(ctx), err}
			return nil, &Error{Phase: Connect, Addr: addr, Err: err}
		}
		return nil, fail(ctx, Connect, addr, err)
	}
	return c, nil
}

// outOfTime is the reason the context ended for, and what had been tried until then.
type outOfTime struct{ why, tried error }

func (e *outOfTime) Error() string   { return e.why.Error() }
func (e *outOfTime) Unwrap() []error { return []error{e.why, e.tried} }

// limited is ctx within ConnectTimeout.
func (d *Dialer) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.ConnectTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d.ConnectTimeout, ErrTimeout)
}

// Unix connects to a local socket.
func (d *Dialer) Unix(ctx context.Context, name string, connecting func()) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	if connecting != nil {
		connecting()
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", name)
	if err != nil {
		return nil, fail(ctx, Connect, name, err)
	}
	return c, nil
}

// Handshake makes a TLS client connection over raw and closes raw when that
// fails. cfg must be ready to use: server name and ALPN are the caller's.
func (d *Dialer) Handshake(ctx context.Context, raw net.Conn, addr string, cfg *tls.Config) (*tls.Conn, error) {
	c := tls.Client(raw, cfg)
	_, err := d.Secure(ctx, raw, addr, func(ctx context.Context) (net.Conn, error) { return c, c.HandshakeContext(ctx) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Secure is Handshake for whatever handshake shakes hands. It must end with its
// context.
func (d *Dialer) Secure(ctx context.Context, raw net.Conn, addr string, handshake func(context.Context) (net.Conn, error)) (net.Conn, error) {
	if d.TLSTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d.TLSTimeout, ErrTimeout)
		defer cancel()
	}
	c, err := handshake(ctx)
	if err != nil {
		raw.Close()
		return nil, fail(ctx, TLS, addr, err)
	}
	return c, nil
}

// fail wraps err, and prefers the reason the context ended for to the text
// that its end made somebody else produce.
func fail(ctx context.Context, phase Phase, addr string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
	}
	return &Error{Phase: phase, Addr: addr, Err: err}
}
