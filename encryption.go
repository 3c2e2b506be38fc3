package netreply

import (
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/wire"
)

// The encryption of one reply: which profile each of its hops has.

// encryption is how one reply is encrypted. It belongs to the goroutine of the transfer, but
// for profiles, which do not change.
type encryption struct {
	profiles *profiles // of the request's configuration; nil where that cannot be used
	lenient  *leniency // what the program has accepted of certificates; nil for nothing
}

// ignored are the flaws of certificates that a request ignores.
type ignored struct {
	list []SSLError
	all  bool
}

// hopSecurity is what of a hop counts.
type hopSecurity struct {
	sameOrigin  bool // as the request
	requiresTLS bool // the host is known to want TLS without any flaw (rules T6 and K10)
	ignored     ignored
}

// profile is the encryption of the next exchange.
func (e *encryption) profile(h hopSecurity) *wire.Profile {
	p := e.forHop(h.sameOrigin)
	switch {
	case h.requiresTLS:
		return p.hstsProfile()
	case p.from.reportOnly():
		return p.strict
	case e.lenient != nil:
		return e.lenient.under(p, h.ignored)
	case len(h.ignored.list) > 0:
		return p.ignoring(h.ignored.list)
	case h.ignored.all:
		return p.ignoring(nil)
	}
	return p.strict
}

// forHop are the profiles for a hop. What proves to a server who the client is, a
// certificate or a pre-shared key, is for the origin of the request: a redirect to
// another one leaves it behind, and one that comes back finds it again (D11). All else
// that the configuration says holds on every hop.
func (e *encryption) forHop(sameOrigin bool) *profiles {
	if e.profiles.identifies() && !sameOrigin {
		return e.profiles.withoutIdentity()
	}
	return e.profiles
}

// leniency is a set of flaws that are accepted, and the encryption that does.
type leniency struct {
	accepted []SSLError
	profile  *wire.Profile
	of       *profiles // that profile is one of, where it is a reply's; see under
}

// allAccepted reports whether all of it was accepted.
func (l *leniency) allAccepted(f *certs.Failure) bool {
	return l != nil && covers(l.accepted, f.Problems)
}

// acceptFlaws makes the profile of a reply whose program has accepted flaws: these and those
// before, and what its request ignores anyhow.
func (e *encryption) acceptFlaws(h hopSecurity, flaws []SSLError) *wire.Profile {
	if e.lenient == nil {
		e.lenient = &leniency{}
	}
	e.lenient.accepted, e.lenient.of = append(e.lenient.accepted, flaws...), nil
	return e.lenient.under(e.forHop(h.sameOrigin), h.ignored)
}

// under is the encryption that goes on in spite of what the program has accepted for a
// reply, and what its request ignores anyhow, on hops with profiles p.
func (l *leniency) under(p *profiles, i ignored) *wire.Profile {
	if l.of != p {
		list := append(append([]SSLError(nil), l.accepted...), i.list...)
		all := i.all && len(i.list) == 0
		l.of, l.profile = p, p.accepting(func(f *certs.Failure) bool { return all || covers(list, f.Problems) })
	}
	return l.profile
}
