package flow

import (
	"context"
	"net/url"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Open opens a connection for later requests to u, without sending a request. It tries
// proxies in turn; nil in the list, and an empty list, mean a direct connection. profile is
// the TLS profile for https.
func (e *Engine) Open(ctx context.Context, u *url.URL, profile *wire.Profile, proxies []*Proxy) error {
	addr, err := httpurl.Address(u)
	if err != nil {
		return &Error{Kind: BadAddress, Host: u.Hostname(), Err: err}
	}
	key := wire.Key{Scheme: u.Scheme, Addr: addr, Protocol: e.protocol(wire.Negotiate, u.Scheme, addr)}
	if u.Scheme == "https" {
		key.Profile = profile
	}
	if len(proxies) == 0 {
		proxies = directly
	}
	for i, p := range proxies {
		if err = e.open(ctx, u, key, p); err == nil {
			return nil
		}
		if i == len(proxies)-1 || ctx.Err() != nil || !e.cfg.NextProxy(err) {
			break
		}
	}
	return err
}

func (e *Engine) open(ctx context.Context, u *url.URL, key wire.Key, proxy *Proxy) error {
	if proxy == nil {
		if e.cfg.Resolves {
			if err := unresolvable(u.Hostname()); err != nil {
				return err
			}
		}
		return e.cfg.Wire.Open(ctx, key)
	}
	p := &proxied{proxy: proxy, url: u}
	p.route = e.route(proxy, &Request{}, u, p.knownCredentials(e))
	if p.route.Kind == dial.Forward {
		key.Target, key.Addr, key.Protocol = key.Addr, p.route.Addr, wire.HTTP1
	}
	key.Route = p.route
	err := e.cfg.Wire.Open(ctx, key)
	if err != nil {
		p.route.Close() // Open does not ask for credentials
	}
	return p.failure(err)
}
