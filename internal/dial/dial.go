// Package dial opens transport connections: name resolution, TCP over both address
// families, proxies, and TLS. Every error contains the phase in which it occurred.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer opens connections. Its zero value has no time limits. It is safe for concurrent
// use and must not be changed once in use.
type Dialer struct {
	// ConnectTimeout bounds resolution and TCP together; 0 means no limit.
	ConnectTimeout time.Duration
	// TLSTimeout bounds the handshake; 0 means no limit.
	TLSTimeout time.Duration
	// Resolver resolves host names; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// DialContext, if not nil, replaces resolution and TCP.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Check, if not nil, may refuse an address, before connecting to it or, with
	// DialContext, after that.
	Check func(netip.Addr) error
	// LocalAddr is the source address; nil means any.
	LocalAddr net.Addr
	// KeepAlive configures TCP keep-alive probes; the zero value is the default of package
	// net.
	KeepAlive net.KeepAliveConfig
}

// custom opens a connection with DialContext. An address that needs no lookup is checked before the
// call, and the remote address of the connection afterwards.
func (d *Dialer) custom(ctx context.Context, addr string, start func()) (net.Conn, error) {
	if err := d.refusedLiterally(addr); err != nil {
		return nil, err
	}
	start()
	c, err := call(ctx, func() (net.Conn, error) {
		c, err := d.DialContext(tracedDial(ctx), "tcp", addr)
		if err == nil && c == nil {
			err = errors.New("DialContext returned neither a connection nor an error")
		}
		return c, err
	}, closeConn)
	if err != nil {
		return nil, err
	}
	if d.Check != nil {
		remote := c.RemoteAddr()
		if remote == nil {
			err = errors.New("the connection of DialContext has no remote address, which has to be checked")
		} else {
			err = d.refused(remote.String())
		}
		if err != nil {
			GiveUp(c)
			return nil, err
		}
	}
	return c, nil
}

// refused calls Check for an address with a port.
func (d *Dialer) refused(address string) error {
	if d.Check == nil {
		return nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address connected to cannot be checked: %w", err)
	}
	return d.Check(a.Addr())
}

// refusedLiterally calls Check for a host that is an address or a localhost name, which is
// refused if no loopback address is allowed.
func (d *Dialer) refusedLiterally(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if d.Check == nil || err != nil {
		return err
	}
	list := loopback[:]
	if a, ok := literal(host); ok {
		list = []netip.Addr{a}
	} else if !isLocalhost(host) {
		return nil
	}
	for _, a := range list {
		if err = d.Check(a); err == nil {
			return nil
		}
	}
	return err
}

// limited returns ctx with ConnectTimeout.
func (d *Dialer) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return within(ctx, "ConnectTimeout", d.ConnectTimeout)
}

// Unix connects to a local socket.
func (d *Dialer) Unix(ctx context.Context, name string, connecting func()) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	if connecting != nil {
		connecting()
	}
	c, err := new(net.Dialer).DialContext(tracedConnect(ctx), "unix", name)
	if err != nil {
		return nil, fail(ctx, Connect, name, err)
	}
	return c, nil
}

// Handshake makes a TLS client connection over raw, and closes raw if that fails. The
// caller sets server name and ALPN in cfg.
func (d *Dialer) Handshake(ctx context.Context, raw net.Conn, addr string, cfg *tls.Config) (net.Conn, error) {
	c, _, err := d.Secure(ctx, raw, addr, func(ctx context.Context) (net.Conn, *tls.ConnectionState, error) {
		c := tls.Client(raw, cfg)
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		state := c.ConnectionState()
		return c, &state, nil
	})
	return c, err
}

// secured is the result of a handshake.
type secured struct {
	conn  net.Conn
	state *tls.ConnectionState
}

// Secure is Handshake with a function that makes the handshake. The function should return
// when its context ends or raw is closed; otherwise Secure does not wait for it.
func (d *Dialer) Secure(ctx context.Context, raw net.Conn, addr string,
	handshake func(context.Context) (net.Conn, *tls.ConnectionState, error)) (net.Conn, *tls.ConnectionState, error) {
	ctx, cancel := within(ctx, "TLSTimeout", d.TLSTimeout)
	defer cancel()
	handshakeBegins(ctx)
	stop := interrupt(ctx, raw)
	s, err := call(ctx, func() (s secured, err error) {
		s.conn, s.state, err = handshake(ctx)
		return s, err
	}, func(s secured) { s.conn.Close() })
	whole := stop() // false: raw is being closed
	if err == nil && !whole {
		GiveUp(s.conn)
		err = context.Cause(ctx)
	}
	handshakeEnds(ctx, s.state, err)
	if err != nil {
		if whole {
			GiveUp(raw)
		}
		return nil, nil, fail(ctx, TLS, addr, err)
	}
	return s.conn, s.state, nil
}
