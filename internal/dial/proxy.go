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

// Kind is the protocol of a proxy.
type Kind int

const (
	Tunnel  Kind = iota // HTTP CONNECT (RFC 9110, section 9.3.6)
	Forward             // HTTP requests with an absolute URL; Through only connects to the proxy
	SOCKS5              // RFC 1928 and RFC 1929
)

// Proxy is a proxy. It is safe for concurrent use; its exported fields must not be changed
// once in use.
type Proxy struct {
	Kind Kind
	Addr string      // host:port
	TLS  *tls.Config // for the connection to the proxy; nil for none
	// User and Password answer the challenges of the proxy, if Credentials is set.
	Credentials    bool
	User, Password string
	// LocalNames makes SOCKS5 send addresses instead of host names.
	LocalNames bool
	// Fields are further header fields of CONNECT, each a name and a value. If they contain
	// Proxy-Authorization, challenges are not answered.
	Fields [][2]string

	mu        sync.Mutex
	challenge lastChallenge
	weakest   httpauth.Strength // weakest scheme for the credentials; see Allow
	parked    *parked
	retired   bool
}

// Fault is the kind of failure of a proxy.
type Fault int

const (
	ProxyUnreachable  Fault = iota // connecting to it failed with Err
	ProxyClosed                    // it closed the connection
	ProxyAuthRequired              // it requires credentials, or other ones
	ProxyNoMethod                  // it accepts none of the offered authentication methods
	ProxyRefused                   // it refused the tunnel
	ProxyMalformed                 // its response is invalid
	TargetNotFound                 // it reports that the target was not found
	TargetRefused                  // it reports that the target refused the connection
)

// ProxyError is the failure of a proxy.
type ProxyError struct {
	Fault Fault
	Proxy string // host:port
	// Response is the response to CONNECT, nil if there was none, and Body its body, at
	// most 64 KiB.
	Response *http.Response
	Body     []byte
	// Weaker reports that the credentials were not sent, because the proxy requires a
	// weaker scheme than they allow.
	Weaker bool
	Err    error
}

func (e *ProxyError) Error() string {
	text := "proxy " + e.Proxy + ": "
	if e.Err != nil {
		return text + printable(e.Err.Error())
	}
	text += "CONNECT failed with status " + printable(e.Response.Status)
	if e.Fault == ProxyAuthRequired {
		text += ": it requires a user name and a password, or other ones"
	}
	return text
}

func (e *ProxyError) Unwrap() error { return e.Err }

// printable escapes untrusted text for terminals and logs.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	return q[1 : len(q)-1]
}

// Through opens a connection to addr through a proxy; for Forward one to the proxy itself.
// connecting is as in TCP. ConnectTimeout bounds the whole.
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

// target returns the address for which the tunnel is requested. If names are resolved
// locally or addresses are checked, it is an IP address, so that the proxy cannot resolve
// the name differently.
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

// CheckAll resolves a name and returns an error if any of its addresses is refused. It is
// for proxies that resolve the name again. Its errors are of type *Error.
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

// through is Through; all its errors are of type *ProxyError.
func (d *Dialer) through(ctx context.Context, p *Proxy, addr string, connecting func()) (net.Conn, error) {
	if p.Kind == Tunnel {
		return d.tunnel(ctx, p, addr, connecting)
	}
	c, err := d.proxy(ctx, p, connecting)
	if err != nil || p.Kind == Forward {
		return c, err
	}
	_, err = withConn(ctx, c, func() (struct{}, error) { return struct{}{}, p.socks(c, addr) })
	if err != nil {
		GiveUp(c)
		return nil, p.failed(ctx, err)
	}
	return c, nil
}

// proxy opens the connection to the proxy. Its address is not checked, because the program
// has chosen it.
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

// withConn runs speak, which uses c, and closes c when ctx ends.
func withConn[T any](ctx context.Context, c net.Conn, speak func() (T, error)) (T, error) {
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
		return &ProxyError{Fault: ProxyClosed, Proxy: p.Addr, Err: errors.New("it closed the connection without a response")}
	}
	return &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: err}
}

// isGone reports whether the peer has closed the connection.
func isGone(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &op) && !op.Timeout()
}
