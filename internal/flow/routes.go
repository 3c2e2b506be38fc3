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

// routeKey tells routes apart.
type routeKey struct {
	kind           dial.Kind
	addr           string
	ssl            any // Proxy.TLSKey
	tls            bool
	credentials    bool
	user, password string
	local          bool
	agent, fields  string // of CONNECT
}

// routes gives the same address to the same way.
type routes struct {
	mu     sync.Mutex
	known  map[routeKey]*dial.Proxy
	closed bool
}

// clear forgets them, with the connections on which credentials are waited for. Who is on one
// of them goes on.
func (r *routes) clear() { r.forget(false) }

// close is clear for good.
func (r *routes) close() { r.forget(true) }

func (r *routes) forget(forGood bool) {
	r.mu.Lock()
	known := r.known
	r.known, r.closed = nil, r.closed || forGood
	r.mu.Unlock()
	for _, p := range known {
		p.Retire()
	}
}

// closeParked ends the connections on which credentials are waited for.
func (r *routes) closeParked() {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.known))
	r.mu.Unlock()
	for _, p := range all {
		p.Close()
	}
}

// maxRoutes bounds them; beyond, connections of before are not found any more.
const maxRoutes = 256

// at gives the one of a key, and makes it if need be.
func (r *routes) at(k routeKey, make func() *dial.Proxy) *dial.Proxy {
	r.mu.Lock()
	p, full := r.known[k], len(r.known) >= maxRoutes
	r.mu.Unlock()
	if p != nil {
		return p
	}
	if full {
		r.clear()
	}
	p = make()
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[k]; known != nil { // somebody was faster
		return known
	}
	if r.closed {
		p.Retire()
		return p
	}
	if r.known == nil {
		r.known = map[routeKey]*dial.Proxy{}
	}
	r.known[k] = p
	return p
}

// route is the way through a proxy for a URL, with credentials or without.
func (e *Engine) route(p *Proxy, q *Request, u *url.URL, creds *auth.Credentials) *dial.Proxy {
	k := routeKey{kind: dial.Tunnel, addr: p.Addr, tls: p.TLS != nil, local: p.LocalNames}
	switch {
	case p.SOCKS5:
		k.kind = dial.SOCKS5
	case u.Scheme == "http" && q.HTTP != wire.HTTP2:
		k.kind = dial.Forward
	default:
		k.agent = e.cfg.UserAgent
		if q.Headers.Has("User-Agent") { // rule X4
			k.agent = q.Headers.Get("User-Agent")
		}
		if p.Headers.Len() > 0 {
			k.fields = fmt.Sprintf("%q", slices.Collect(pairs(p.Headers)))
		}
	}
	if k.tls {
		k.ssl = p.TLSKey
	}
	if creds != nil && k.kind != dial.Forward {
		k.credentials, k.user, k.password = true, creds.User, creds.Password
	}
	route := e.routes.at(k, func() *dial.Proxy {
		r := &dial.Proxy{Kind: k.kind, Addr: k.addr, Credentials: k.credentials, User: k.user, Password: k.password,
			LocalNames: k.local}
		if k.kind == dial.Tunnel {
			r.Fields = connectFields(k.agent, p.Headers)
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

// connectFields are the header fields of CONNECT: Proxy.Headers and the User-Agent, if
// there is none among them.
func connectFields(agent string, h headers.Headers) [][2]string {
	var fields [][2]string
	if agent != "" && !h.Has("User-Agent") {
		fields = append(fields, [2]string{"User-Agent", agent})
	}
	return slices.AppendSeq(fields, pairs(h))
}

// pairs gives the names and values of h.
func pairs(h headers.Headers) iter.Seq[[2]string] {
	return func(yield func([2]string) bool) {
		for name, value := range h.All() {
			if !yield([2]string{name, value}) {
				return
			}
		}
	}
}
