package netreply

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// ConnectToHost opens a connection for later http requests, without sending a request; port
// 0 means 80. It returns when the connection is established, or with an *Error (rule N12).
// The next request of the Manager that fits uses the connection; several calls open several
// connections. The Manager's proxy is used. Qt's method does not wait; the equivalent is go
// m.ConnectToHost(…).
func (m *Manager) ConnectToHost(ctx context.Context, host string, port uint16) error {
	return m.preconnect(ctx, "http", host, port, nil)
}

// ConnectToHostEncrypted is ConnectToHost for https; port 0 means 443. The connection is
// for requests with the SSLConfiguration c; nil means the Manager's. Certificate flaws fail
// it without a question.
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
		if httpurl.CheckHost(host) == "" { // an invalid host may contain a password
			e.URL = u.String()
		}
		return e
	}
	if m == nil || m.flow == nil {
		return fail(errNotMade())
	}
	if reason := httpurl.CheckHost(host); reason != "" {
		return fail(localError(ProtocolInvalidOperationError, "Invalid host",
			&FieldError{Field: "host", Reason: reason + "; it must be a name or an address alone, without scheme and port"}))
	}
	err := q.validate("GET")
	if err == nil {
		err = checkHTTP(q)
	}
	if err != nil {
		return fail(err)
	}
	profiles, err := m.profiles.of(c, "Request.SSLConfiguration")
	if err != nil {
		return fail(localError(ProtocolInvalidOperationError, "Invalid request", err))
	}
	var profile *wire.Profile
	if scheme == "https" {
		profile = profiles.strict
	}
	list, err := m.proxies(q, u)
	if err != nil {
		return fail(err)
	}
	if err = m.flow.Open(ctx, u, profile, list); err != nil {
		return fail(err)
	}
	return nil
}
