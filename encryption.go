package netreply

import (
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/wire"
)

// The choice of the TLS profile for each hop of a reply.

// encryption chooses the TLS profiles of one reply. It does not change while that runs.
type encryption struct {
	profiles *profiles // of the request's configuration; nil if that is invalid
}

// ignored are the certificate flaws that a request ignores.
type ignored struct {
	list []SSLError
	all  bool
}

// hopSecurity has the properties of a hop that decide its profile.
type hopSecurity struct {
	sameOrigin  bool // the hop has the origin of the request
	requiresTLS bool // the host has an HSTS policy: no flaw may be ignored (rules T6 and K10)
	ignored     ignored
}

// profile is the TLS profile of the next exchange. accepted may be nil.
func (e *encryption) profile(h hopSecurity, accepted *leniency) *wire.Profile {
	p := e.forHop(h.sameOrigin)
	switch {
	case h.requiresTLS:
		return p.hstsProfile()
	case p.from.reportOnly():
		return p.strict
	case accepted != nil:
		return accepted.profileFor(p, h.ignored)
	case len(h.ignored.list) > 0:
		return p.ignoring(h.ignored.list)
	case h.ignored.all:
		return p.ignoring(nil)
	}
	return p.strict
}

// forHop returns the profiles for a hop. Client certificates and pre-shared keys are used
// for the origin of the request only, not on hops to other origins (D11). Everything else
// in the configuration holds on every hop.
func (e *encryption) forHop(sameOrigin bool) *profiles {
	if e.profiles.identifies() && !sameOrigin {
		return e.profiles.withoutIdentity()
	}
	return e.profiles
}

// leniency is a set of accepted flaws, and the profile that accepts them.
type leniency struct {
	accepted []SSLError
	profile  *wire.Profile
	of       *profiles // the profiles that profile was made from, see profileFor
}

// allAccepted reports whether every problem was accepted.
func (l *leniency) allAccepted(f *certs.Failure) bool {
	return l != nil && covers(l.accepted, f.Problems)
}

// leniency is that of the program, nil if it has accepted nothing. It is used by the goroutine of
// the transfer.
func (r *Reply) leniency() *leniency {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil {
		return nil
	}
	return r.extra.lenient
}

// makeLeniency is leniency, which it makes.
func (r *Reply) makeLeniency() *leniency {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more().lenient == nil {
		r.extra.lenient = new(leniency)
	}
	return r.extra.lenient
}

// acceptFlaws adds flaws that the program has accepted to l, and returns the profile that
// accepts all of these and those that the request ignores.
func (e *encryption) acceptFlaws(h hopSecurity, flaws []SSLError, l *leniency) *wire.Profile {
	l.accepted, l.of = append(l.accepted, flaws...), nil
	return l.profileFor(e.forHop(h.sameOrigin), h.ignored)
}

// profileFor returns the profile, made from p, that accepts the flaws of l and those that the
// request ignores.
func (l *leniency) profileFor(p *profiles, i ignored) *wire.Profile {
	if l.of != p {
		list := append(append([]SSLError(nil), l.accepted...), i.list...)
		all := i.all && len(i.list) == 0
		l.of, l.profile = p, p.accepting(func(f *certs.Failure) bool { return all || covers(list, f.Problems) })
	}
	return l.profile
}
