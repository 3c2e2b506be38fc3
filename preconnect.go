package netreply

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/wire"
)

// ConnectToHost opens a connection for http requests to come and sends nothing; port 0
// means 80. It returns when the connection is there, or with an *Error (rule N12). The
// next request of the Manager that fits uses it, and several calls open several. The
// Manager's proxy is used. Qt's does not wait: go m.ConnectToHost(…).
func (m *Manager) ConnectToHost(ctx context.Context, host string, port uint16) error {
	return m.preconnect(ctx, "http", host, port, nil)
}

// ConnectToHostEncrypted does the same for https, with the Manager's configuration if c
// is nil, else for the requests that have c; port 0 means 443. Nobody is asked about the
// server's certificate.
func (m *Manager) ConnectToHostEncrypted(ctx context.Context, host string, port uint16, c *SSLConfiguration) error {
	return m.preconnect(ctx, "https", host, port, c)
}

func (m *Manager) preconnect(ctx context.Context, scheme, host string, port uint16, c *SSLConfiguration) error {
	u := &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}
	if port == 0 {
		u.Host = strings.TrimSuffix(u.Host, ":0")
	}
	q := &Request{URL: u, SSLConfiguration: c}
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = &contextError{ctx.Err(), context.Cause(ctx)}
		}
		e := classify(err, PhaseLocal, host)
		e.Method, e.URL = "CONNECT", u.String()
		return e
	}
	if err := q.validate("GET"); err != nil {
		return fail(err)
	}
	addr, err := address(u)
	if err != nil {
		return fail(localError(HostNotFoundError, "Host "+host+" not found", err))
	}
	key := wire.Key{Scheme: scheme, Addr: addr}
	if scheme == "https" {
		key.Profile = m.sslConfiguration(q).profiles().strict
	}
	p, err := m.chooseProxy(q, u)
	if err != nil {
		return fail(err)
	}
	if p == nil {
		if m.cfg.DialContext == nil && unresolvable(host) {
			return fail(localError(HostNotFoundError, "Host "+host+" not found", nil))
		}
		if err := m.wire.Open(ctx, key); err != nil {
			return fail(err)
		}
		return nil
	}
	h := &proxied{proxy: p, url: u}
	creds, _ := h.known(&m.auth)
	h.route = m.route(p, q, u, creds)
	if h.route.Kind == dial.Forward {
		key.Addr, key.Protocol = h.route.Addr, wire.HTTP1
	}
	key.Route = h.route
	if err := m.wire.Open(ctx, key); err != nil {
		return fail(h.blame(err))
	}
	return nil
}
