package flow

import (
	"fmt"
	"iter"
	"maps"
	"net/url"
	"slices"
	"sync"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/wire"
)

// routeKey identifies a route.
type routeKey struct {
	kind              dial.Kind
	addr              string
	tlsKey            any // Proxy.TLSKey
	tls               bool
	credentials       bool
	user, password    string
	local             bool
	userAgent, fields string // of CONNECT
}

// routes returns the same *dial.Proxy for equal keys, since the pool compares routes by
// address.
type routes struct {
	// dropped is called with the routes that were removed because there were too many: no
	// later request uses their connections.
	dropped func([]*dial.Proxy)

	mu     sync.Mutex
	byKey  map[routeKey]*dial.Proxy
	closed bool
}

// clear removes all routes, and closes the connections that wait for credentials. Transfers
// in progress continue.
func (r *routes) clear() { r.forget(false) }

// close is the last clear: later routes are not kept.
func (r *routes) close() { r.forget(true) }

func (r *routes) forget(forGood bool) (removed []*dial.Proxy) {
	r.mu.Lock()
	removed = slices.Collect(maps.Values(r.byKey))
	r.byKey, r.closed = nil, r.closed || forGood
	r.mu.Unlock()
	for _, p := range removed {
		p.Retire()
	}
	return removed
}

// closeParked closes the connections that wait for credentials.
func (r *routes) closeParked() {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.byKey))
	r.mu.Unlock()
	for _, p := range all {
		p.Close()
	}
}

// maxRoutes bounds the number of routes. When it is exceeded, all are removed, their idle
// connections are closed, and later requests open new ones.
const maxRoutes = 256

// get returns the route of a key, and makes it if necessary.
func (r *routes) get(k routeKey, make func() *dial.Proxy) *dial.Proxy {
	r.mu.Lock()
	p, full := r.byKey[k], len(r.byKey) >= maxRoutes
	r.mu.Unlock()
	if p != nil {
		return p
	}
	if full {
		r.dropped(r.forget(false))
	}
	p = make()
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.byKey[k]; known != nil { // made meanwhile by another request
		return known
	}
	if r.closed {
		p.Retire()
		return p
	}
	if r.byKey == nil {
		r.byKey = map[routeKey]*dial.Proxy{}
	}
	r.byKey[k] = p
	return p
}

// route returns the route through a proxy for a URL, with or without credentials.
func (e *Engine) route(p *Proxy, q *Request, u *url.URL, creds *auth.Credentials) *dial.Proxy {
	k := routeKey{kind: dial.Tunnel, addr: p.Addr, tls: p.TLS != nil, local: p.LocalNames}
	switch {
	case p.SOCKS5:
		k.kind = dial.SOCKS5
	case u.Scheme == "http" && q.HTTP != wire.HTTP2:
		k.kind = dial.Forward
	default:
		k.userAgent = e.cfg.UserAgent
		if q.Headers.Has("User-Agent") { // rule X4
			k.userAgent = q.Headers.Get("User-Agent")
		}
		if p.Headers.Len() > 0 {
			k.fields = fmt.Sprintf("%q", slices.Collect(pairs(p.Headers)))
		}
	}
	if k.tls {
		k.tlsKey = p.TLSKey
	}
	if creds != nil && k.kind != dial.Forward {
		k.credentials, k.user, k.password = true, creds.User, creds.Password
	}
	route := e.routes.get(k, func() *dial.Proxy {
		r := &dial.Proxy{Kind: k.kind, Addr: k.addr, Credentials: k.credentials, User: k.user, Password: k.password,
			LocalNames: k.local}
		if k.kind == dial.Tunnel {
			r.Fields = connectFields(k.userAgent, p.Headers)
		}
		if k.tls {
			r.TLS = p.TLS()
		}
		return r
	})
	if k.credentials {
		if n := e.spaces.Weakest(p.originKey(), creds); n != httpauth.Unknown {
			route.Allow(n)
		}
	}
	return route
}

// connectFields are the header fields of CONNECT: Proxy.Headers, and the User-Agent if they
// do not contain one.
func connectFields(agent string, h headers.Headers) [][2]string {
	var fields [][2]string
	if agent != "" && !h.Has("User-Agent") {
		fields = append(fields, [2]string{"User-Agent", agent})
	}
	return slices.AppendSeq(fields, pairs(h))
}

// pairs iterates over the names and values of h.
func pairs(h headers.Headers) iter.Seq[[2]string] {
	return func(yield func([2]string) bool) {
		for name, value := range h.All() {
			if !yield([2]string{name, value}) {
				return
			}
		}
	}
}
