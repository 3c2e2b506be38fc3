package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/netreply/netreply/internal/httpauth"
)

// Kind is how a proxy is spoken to.
type Kind int

const (
	Tunnel  Kind = iota // HTTP CONNECT (RFC 9110, section 9.3.6)
	Forward             // HTTP requests with the whole URL; nothing to be done on opening
	SOCKS5              // RFC 1928 and RFC 1929
)

// Proxy is what a connection goes through. It is safe for concurrent use; its exported
// fields must not be changed once in use.
type Proxy struct {
	Kind Kind
	Addr string      // host:port
	TLS  *tls.Config // of the connection to the proxy itself; nil for none
	// User and Password are given when the proxy asks, if Credentials is set.
	Credentials    bool
	User, Password string
	// LocalNames says that names are looked up here. It matters for SOCKS5 only.
	LocalNames bool
	// Fields are further header fields of CONNECT, a name and a value each. With a
	// Proxy-Authorization among them what the proxy asks is not answered.
	Fields [][2]string

	mu      sync.Mutex
	memory  memory
	weakest httpauth.Strength // by which the credentials may go out; see Allow
	parked  *parked
	retired bool
}

// Fault is what a proxy has failed with.
type Fault int

const (
	ProxyUnreachable  Fault = iota // no connection to it: Err says why
	ProxyClosed                    // it has ended the connection
	ProxyAuthRequired              // it wants credentials, or others
	ProxyNoMethod                  // it takes none of the ways to authenticate there are
	ProxyRefused                   // it does not do it
	ProxyMalformed                 // what it said makes no sense
	TargetNotFound                 // it tells that it does not find the target
	TargetRefused                  // it tells that the target does not accept
)

// ProxyError is the failure of a proxy.
type ProxyError struct {
	Fault Fault
	Proxy string // host:port
	// Response is that to CONNECT, nil when there was none, and Body what it brought, at
	// most 64 KiB.
	Response *http.Response
	Body     []byte
	// Weaker says that the proxy has not seen the credentials: it asks for a weaker scheme
	// than they may go out by.
	Weaker bool
	Err    error
}

func (e *ProxyError) Error() string {
	text := "proxy " + e.Proxy + ": "
	if e.Err != nil {
		return text + printable(e.Err.Error())
	}
	text += "it answered CONNECT with status " + printable(e.Response.Status)
	if e.Fault == ProxyAuthRequired {
		text += ": it wants a user name and a password, or others"
	}
	return text
}

func (e *ProxyError) Unwrap() error { return e.Err }

// printable writes what a proxy may have had a hand in so that it does nothing to a
// terminal or a log.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	return q[1 : len(q)-1]
}

// Through opens a connection to addr by way of a proxy: for Forward one to the proxy
// itself. connecting is as in TCP. ConnectTimeout bounds it all.
func (d *Dialer) Through(ctx context.Context, p *Proxy, addr string, connecting func()) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	if p.Kind != Forward {
		pinned, err := d.target(ctx, p, addr)
		if err != nil {
			return nil, err
		}
		addr = pinned
	}
	c, err := d.through(ctx, p, addr, connecting)
	if err == nil {
		return c, nil
	}
	var limit *LimitError
	if ctx.Err() != nil && !errors.As(err, &limit) {
		err = &ProxyError{Fault: ProxyUnreachable, Proxy: p.Addr, Err: cause(ctx, Proxying, p.Addr)}
	}
	return nil, &Error{Phase: Proxying, Addr: addr, Err: err}
}

// target decides what the proxy is asked for: an address where names are looked up here,
// and where addresses are checked, so that nobody can mean another one afterwards.
func (d *Dialer) target(ctx context.Context, p *Proxy, addr string) (string, error) {
	if d.Check == nil && !(p.Kind == SOCKS5 && p.LocalNames) {
		return addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", &Error{Phase: Connect, Addr: addr, Err: err}
	}
	all, err := d.resolve(ctx, host)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if d.Check != nil {
			err = d.Check(a)
		}
		if err == nil {
			return net.JoinHostPort(a.String(), port), nil
		}
	}
	return "", fail(ctx, Connect, host, err)
}

// CheckAll looks a name up for somebody who will do so once more, and gives the first of
// its addresses that is refused, if any. Its errors are *Error.
func (d *Dialer) CheckAll(ctx context.Context, host string) error {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	all, err := d.resolve(ctx, host)
	if err != nil || d.Check == nil {
		return err
	}
	for _, a := range all {
		if err := d.Check(a); err != nil {
			return fail(ctx, Connect, host, err)
		}
	}
	return nil
}

func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	all, _, err := d.lookup(ctx, host)
	return all, fail(ctx, Resolve, host, err)
}

// through returns a *ProxyError for whatever goes wrong.
func (d *Dialer) through(ctx context.Context, p *Proxy, addr string, connecting func()) (net.Conn, error) {
	if p.Kind == Tunnel {
		return d.tunnel(ctx, p, addr, connecting)
	}
	c, err := d.proxy(ctx, p, connecting)
	if err != nil || p.Kind == Forward {
		return c, err
	}
	_, err = converse(ctx, c, func() (struct{}, error) { return struct{}{}, p.socks(c, addr) })
	if err != nil {
		GiveUp(c)
		return nil, p.failed(ctx, err)
	}
	return c, nil
}

// proxy opens the connection to the proxy itself. Nobody checks its address: that is the
// program's word.
func (d *Dialer) proxy(ctx context.Context, p *Proxy, connecting func()) (net.Conn, error) {
	plain := *d
	plain.Check, plain.ConnectTimeout = nil, 0
	c, err := plain.TCP(ctx, p.Addr, connecting)
	if err == nil && p.TLS != nil {
		c, err = plain.Handshake(ctx, c, p.Addr, p.TLS)
	}
	if err != nil {
		return nil, &ProxyError{Fault: ProxyUnreachable, Proxy: p.Addr, Err: err}
	}
	return c, nil
}

// converse speaks with the proxy on c, which ends with ctx.
func converse[T any](ctx context.Context, c net.Conn, speak func() (T, error)) (T, error) {
	stop := interrupt(ctx, c)
	t, err := call(ctx, speak, func(T) { c.Close() })
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return t, err
}

func (p *Proxy) failed(ctx context.Context, err error) error {
	var pe *ProxyError
	switch {
	case ctx.Err() != nil:
		return &ProxyError{Fault: ProxyUnreachable, Proxy: p.Addr, Err: cause(ctx, Proxying, p.Addr)}
	case errors.As(err, &pe):
		return pe
	case isGone(err):
		return &ProxyError{Fault: ProxyClosed, Proxy: p.Addr, Err: errors.New("it closed the connection before it had answered")}
	}
	return &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: err}
}

// isGone tells that the peer has ended the connection.
func isGone(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &op) && !op.Timeout()
}
