package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

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
	UserAgent  string // of CONNECT; "" sends none

	// What the proxy has asked for, to be answered unasked on the next connection.
	mu     sync.Mutex
	basic  bool
	digest *httpauth.Digest
	count  uint32
}

// Fault is what a proxy has failed with.
type Fault int

const (
	ProxyUnreachable Fault = iota // no connection to it: Err says why
	ProxyClosed                   // it has ended the connection
	ProxyUnwilling                // it wants credentials, or others
	ProxyRefused                  // it does not do it
	ProxyMalformed                // what it said makes no sense
	TargetNotFound                // it tells that it does not find the target
	TargetRefused                 // it tells that the target does not accept
)

// ProxyError is the failure of a proxy.
type ProxyError struct {
	Fault Fault
	Proxy string // host:port
	// Response is that to CONNECT, nil when there was none, and Body what it brought, at
	// most 64 KiB.
	Response *http.Response
	Body     []byte
	Err      error
}

func (e *ProxyError) Error() string {
	text := "proxy " + e.Proxy + ": "
	if e.Err != nil {
		return text + e.Err.Error()
	}
	return text + "status " + e.Response.Status
}

func (e *ProxyError) Unwrap() error { return e.Err }

const (
	maxProxyHead = 64 << 10
	maxProxyBody = 64 << 10
	maxRounds    = 6 // CONNECTs of one connection to a target
)

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
	if ctx.Err() != nil {
		err = &ProxyError{Fault: ProxyUnreachable, Proxy: p.Addr, Err: context.Cause(ctx)}
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
		return "", err
	}
	a, err := d.Resolve(ctx, host)
	return net.JoinHostPort(a.String(), port), err
}

// Resolve looks a name up and gives the first address that Check does not refuse; if
// there is none, what it said. Its errors are *Error.
func (d *Dialer) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	all, _, err := d.lookup(ctx, host)
	if err != nil {
		return netip.Addr{}, fail(ctx, Resolve, host, err)
	}
	for _, a := range all {
		if d.Check == nil {
			return a, nil
		}
		if err = d.Check(a); err == nil {
			return a, nil
		}
	}
	return netip.Addr{}, fail(ctx, Connect, host, err)
}

// through returns a *ProxyError for whatever goes wrong.
func (d *Dialer) through(ctx context.Context, p *Proxy, addr string, connecting func()) (net.Conn, error) {
	c, err := d.proxy(ctx, p, connecting)
	if err != nil || p.Kind == Forward {
		return c, err
	}
	if p.Kind == SOCKS5 {
		stop := interrupt(ctx, c)
		err := p.socks(c, addr)
		if !stop() || err != nil {
			c.Close()
			return nil, p.failed(ctx, err)
		}
		return c, nil
	}
	in := newProxyReader(c)
	tried := false // the credentials
	line, fromMemory := p.beforehand(addr)
	for range maxRounds {
		stop := interrupt(ctx, c)
		t, resp, err := p.connect(c, in, addr, line)
		if !stop() || err != nil {
			c.Close()
			return nil, p.failed(ctx, err)
		}
		if resp == nil {
			return t, nil
		}
		if line != "" && !fromMemory {
			tried = true
		}
		again, err := p.answer(resp, addr, line, tried)
		if err != nil {
			c.Close()
			return nil, err
		}
		line, fromMemory = again, false
		if resp.close {
			c.Close()
			if c, err = d.proxy(ctx, p, nil); err != nil {
				return nil, err
			}
			in = newProxyReader(c)
		}
	}
	c.Close()
	return nil, &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: errors.New("does not stop asking")}
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

// interrupt makes reading and writing end with ctx, until stop is called, which tells
// whether it has not.
func interrupt(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
}

func (p *Proxy) failed(ctx context.Context, err error) error {
	var pe *ProxyError
	switch {
	case ctx.Err() != nil:
		return &ProxyError{Fault: ProxyUnreachable, Proxy: p.Addr, Err: context.Cause(ctx)}
	case errors.As(err, &pe):
		return pe
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isGone(err):
		return &ProxyError{Fault: ProxyClosed, Proxy: p.Addr, Err: errors.New("closed the connection")}
	}
	return &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: err}
}

func isGone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// refusal is a response to CONNECT that is not 2xx.
type refusal struct {
	*http.Response
	body  []byte
	close bool
}

// proxyReader reads what a proxy says, up to a limit.
type proxyReader struct {
	*bufio.Reader
	limit *io.LimitedReader
}

func newProxyReader(c net.Conn) *proxyReader {
	limit := &io.LimitedReader{R: c}
	return &proxyReader{bufio.NewReader(limit), limit}
}

// connect asks for a tunnel. It returns the tunnel, or the response that says why not.
func (p *Proxy) connect(c net.Conn, in *proxyReader, addr, line string) (net.Conn, *refusal, error) {
	req := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if p.UserAgent != "" {
		req += "User-Agent: " + p.UserAgent + "\r\n"
	}
	if line != "" {
		req += "Proxy-Authorization: " + line + "\r\n"
	}
	if _, err := io.WriteString(c, req+"\r\n"); err != nil {
		return nil, nil, err
	}
	in.limit.N = maxProxyHead
	var resp *http.Response
	var err error
	for range 8 { // interim ones
		if resp, err = http.ReadResponse(in.Reader, &http.Request{Method: http.MethodConnect}); err != nil {
			if in.limit.N <= 0 {
				err = errors.New("its response head does not end")
			}
			return nil, nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	if resp.StatusCode < 200 {
		return nil, nil, errors.New("its interim responses, or its protocol, lead nowhere")
	}
	if resp.StatusCode/100 == 2 {
		return withRest(c, in.Reader), nil, nil
	}
	in.limit.N = maxProxyBody + maxProxyHead
	r := &refusal{Response: resp, close: resp.Close}
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxProxyBody))
	if err != nil || len(r.body) == maxProxyBody || resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		r.close = true // what comes next is not known to be a response
	}
	return nil, r, nil
}

// withRest gives back what was read too much.
func withRest(c net.Conn, br *bufio.Reader) net.Conn {
	n := br.Buffered()
	if n == 0 {
		return c
	}
	rest, _ := br.Peek(n)
	return &restConn{Conn: c, rest: append([]byte(nil), rest...)}
}

type restConn struct {
	net.Conn
	rest []byte
}

func (c *restConn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// beforehand answers what the proxy has asked on another connection.
func (p *Proxy) beforehand(addr string) (line string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.Credentials:
	case p.digest != nil:
		return p.digestLine(addr), true
	case p.basic:
		return httpauth.Basic(p.User, p.Password), true
	}
	return "", false
}

// digestLine answers the challenge; the caller holds the lock.
func (p *Proxy) digestLine(addr string) string {
	p.count++
	line, _, err := p.digest.Authorize(p.User, p.Password, http.MethodConnect, addr, p.count, func(io.Writer) error { return nil })
	if err != nil {
		return ""
	}
	return line
}

// answer finds the credentials for the next try, or says why there is none. tried tells
// that the credentials were refused.
func (p *Proxy) answer(r *refusal, addr, line string, tried bool) (string, error) {
	refused := &ProxyError{Proxy: p.Addr, Response: r.Response, Body: r.body}
	switch r.StatusCode {
	case http.StatusProxyAuthRequired:
	case http.StatusNotFound:
		refused.Fault = TargetNotFound
		return "", refused
	case http.StatusServiceUnavailable:
		refused.Fault = TargetRefused
		return "", refused
	default:
		refused.Fault = ProxyRefused
		return "", refused
	}
	refused.Fault = ProxyUnwilling
	if !p.Credentials {
		return "", refused
	}
	challenges := httpauth.Parse(r.Header["Proxy-Authenticate"])
	if is(line, "NTLM") { // the second message is answered on the same connection
		for _, c := range challenges {
			if token, err := base64.StdEncoding.DecodeString(c.Token); c.Is("NTLM") && len(token) > 0 && err == nil && !r.close {
				out, err := httpauth.NTLMAnswer(token, p.User, p.Password)
				if err != nil {
					return "", &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: fmt.Errorf("NTLM: %w", err)}
				}
				return "NTLM " + base64.StdEncoding.EncodeToString(out), nil
			}
		}
		return "", refused
	}
	var best *httpauth.Digest
	basic, ntlm := false, false
	for _, c := range challenges {
		switch {
		case c.Is("Digest"):
			if d, err := httpauth.NewDigest(c); err == nil && (best == nil || d.Strength() > best.Strength()) {
				best = d
			}
		case c.Is("Basic"):
			basic = true
		case c.Is("NTLM"):
			ntlm = true
		}
	}
	if tried && !(best != nil && best.Stale) {
		return "", refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case best != nil:
		p.digest, p.count = best, 0
		return p.digestLine(addr), nil
	case ntlm:
		start, err := httpauth.NTLMStart()
		if err != nil {
			return "", &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: fmt.Errorf("NTLM: %w", err)}
		}
		return "NTLM " + base64.StdEncoding.EncodeToString(start), nil
	case basic:
		p.basic = true
		return httpauth.Basic(p.User, p.Password), nil
	}
	return "", refused
}

func is(line, scheme string) bool {
	return len(line) > len(scheme) && line[:len(scheme)+1] == scheme+" "
}
