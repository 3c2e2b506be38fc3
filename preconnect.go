package netreply

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
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
	if ctx == nil {
		ctx = context.Background()
	}
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
		e.Method = "CONNECT"
		if httpurl.CheckHost(host) == "" { // else it is nothing to show: it may hold a password
			e.URL = u.String()
		}
		return e
	}
	if m == nil || m.wire == nil {
		return fail(errUnmade())
	}
	if reason := httpurl.CheckHost(host); reason != "" {
		return fail(localError(ProtocolInvalidOperationError, "Invalid host",
			&FieldError{Field: "host", Reason: reason + "; it is a name or an address alone, without scheme and port"}))
	}
	if err := q.validate("GET"); err != nil {
		return fail(err)
	}
	profiles, err := m.profiles.of(c, "Request.SSLConfiguration")
	if err != nil {
		return fail(localError(ProtocolInvalidOperationError, "Invalid request", err))
	}
	addr, err := httpurl.Address(u)
	if err != nil {
		return fail(localError(HostNotFoundError, "Host "+host+" not found", err))
	}
	key := wire.Key{Scheme: scheme, Addr: addr}
	if scheme == "https" {
		key.Profile = profiles.strict
	}
	list, err := m.chooseProxies(q, u)
	if err != nil {
		return fail(err)
	}
	for i, p := range list {
		if err = m.open(ctx, key, q, p); err == nil {
			return nil
		}
		if i == len(list)-1 || ctx.Err() != nil || !nextProxy(err) {
			break
		}
	}
	return fail(err)
}

// open opens a connection by way of a proxy, directly where p is nil.
func (m *Manager) open(ctx context.Context, key wire.Key, q *Request, p *Proxy) error {
	if p == nil {
		if m.cfg.DialContext == nil {
			if err := unresolvable(q.URL.Hostname()); err != nil {
				return err
			}
		}
		return m.wire.Open(ctx, key)
	}
	h := &proxied{proxy: p, url: q.URL}
	h.route = m.route(p, q, q.URL, h.known(m))
	if h.route.Kind == dial.Forward {
		key.Target, key.Addr, key.Protocol = key.Addr, h.route.Addr, wire.HTTP1
	}
	key.Route = h.route
	err := m.wire.Open(ctx, key)
	if err != nil {
		h.route.Close() // nobody is asked for credentials
	}
	return h.blame(err)
}
