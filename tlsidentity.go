package netreply

import (
	"net/url"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// hopProfiles are the profiles for a hop. What proves to a server who the client is, a
// certificate or a pre-shared key, is for the origin of the request: a redirect to
// another one leaves it behind, and one that comes back finds it again (D11). All else
// that the configuration says holds on every hop.
func (r *Reply) hopProfiles(u *url.URL) *profiles {
	p := r.profiles
	if p.identifies() && !r.sameOrigin(u) {
		return p.withoutIdentity()
	}
	return p
}

// identifies tells whether the configuration can prove who the client is.
func (p *profiles) identifies() bool {
	return len(p.config.Certificates) > 0 || p.config.GetClientCertificate != nil || p.from.PSK != nil
}

// withoutIdentity is the same without that, and with sessions of its own: a session
// carries the identity it was made with.
func (p *profiles) withoutIdentity() *profiles {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.anonymous == nil {
		from := *p.from
		from.Certificates, from.ClientCertificate, from.PSK = nil, nil, nil
		cfg := p.config.Clone()
		cfg.Certificates, cfg.GetClientCertificate = nil, nil
		n := &profiles{from: &from, config: cfg, pool: newSessions(nil)}
		cfg.ClientSessionCache = n.pool
		n.strict = n.profile(cfg)
		n.strict.Accept = p.strict.Accept
		p.anonymous = n
	}
	return p.anonymous
}

// under is the encryption that goes on in spite of what the program has accepted for a
// reply, and what its request ignores anyhow, on hops with profiles p.
func (l *leniency) under(p *profiles, q *Request) *wire.Profile {
	if l.of != p {
		list := append(append([]SSLError(nil), l.accepted...), q.IgnoreSSLErrors...)
		all := q.IgnoreAllSSLErrors && len(q.IgnoreSSLErrors) == 0
		l.of, l.profile = p, p.accepting(func(f *certs.Failure) bool { return all || covers(list, f.Problems) })
	}
	return l.profile
}

// sameOrigin tells whether u is of the origin that the request was made for, or what
// HSTS has made of that since.
func (r *Reply) sameOrigin(u *url.URL) bool {
	return httpurl.KeepsCredentials(r.req.URL, u) || httpurl.KeepsCredentials(r.m.flow.Upgrade(r.req.URL), u)
}
