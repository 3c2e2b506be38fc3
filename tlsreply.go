package netreply

import (
	"net/url"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// The encryption of one reply: which profile each of its hops has.

// takeSSLConfiguration gives a reply its request's configuration as it is now. One that
// cannot be used leaves it without profiles, see Reply.validate.
func (m *Manager) takeSSLConfiguration(r *Reply) {
	c := r.req.SSLConfiguration
	if m.profiles != nil {
		r.profiles, _ = m.profiles.of(c, "")
	}
	switch {
	case c == nil:
	case r.profiles == nil:
		r.req.SSLConfiguration = c.Clone()
	default:
		r.req.SSLConfiguration = &r.profiles.from.SSLConfiguration
	}
}

// SSLConfiguration tells how the reply is encrypted (rule T10).
func (r *Reply) SSLConfiguration() SSLState {
	if r.profiles == nil { // not made by NewManager, or the configuration cannot be used
		return SSLState{Configuration: r.req.SSLConfiguration}
	}
	s := SSLState{Configuration: r.profiles.from.Clone()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tls != nil {
		s.ConnectionState = *r.tls
		s.addr, _ = httpurl.Address(r.url)
		s.profiles = r.hopProfiles(r.url)
	}
	return s
}

// profile is the encryption of the next exchange, which is for a URL.
func (r *Reply) profile(u *url.URL) *wire.Profile {
	p := r.hopProfiles(u)
	switch {
	case r.m.requiresTLS(u.Hostname()):
		return p.hstsProfile()
	case p.from.reportOnly():
		return p.strict
	case r.lenient != nil:
		return r.lenient.under(p, &r.req)
	case len(r.req.IgnoreSSLErrors) > 0:
		return p.ignoring(r.req.IgnoreSSLErrors)
	case r.req.IgnoreAllSSLErrors:
		return p.ignoring(nil)
	}
	return p.strict
}

// requiresTLS tells that a host is known to want TLS without any flaw (rules T6 and K10).
func (m *Manager) requiresTLS(host string) bool { return m.cfg.HSTS != nil && m.cfg.HSTS.Known(host) }

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

// sameOrigin tells whether u is of the origin that the request was made for, or what
// HSTS has made of that since.
func (r *Reply) sameOrigin(u *url.URL) bool {
	return httpurl.KeepsCredentials(r.req.URL, u) || httpurl.KeepsCredentials(r.m.flow.Upgrade(r.req.URL), u)
}

// leniency is a set of flaws that are accepted, and the encryption that does.
type leniency struct {
	accepted []SSLError
	profile  *wire.Profile
	of       *profiles // that profile is one of, where it is a reply's; see under
}

// allAccepted tells whether all of it was accepted.
func (l *leniency) allAccepted(f *certs.Failure) bool {
	return l != nil && covers(l.accepted, f.Problems)
}

// acceptFlaws makes the profile of a reply whose program has accepted flaws: these and those
// before, and what its request ignores anyhow.
func (r *Reply) acceptFlaws(u *url.URL, flaws []SSLError) *wire.Profile {
	if r.lenient == nil {
		r.lenient = &leniency{}
	}
	r.lenient.accepted, r.lenient.of = append(r.lenient.accepted, flaws...), nil
	return r.lenient.under(r.hopProfiles(u), &r.req)
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
