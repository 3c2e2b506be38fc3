package auth

import (
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
)

// A Dialog of a tunnel knows only which credentials open it: package dial answers the
// challenges of the proxy with them.

// TunnelSent notes by which scheme the credentials of a tunnel have gone out, Unknown for none.
func (d *Dialog) TunnelSent(n httpauth.Strength) {
	if n != httpauth.Unknown && d.credentials != nil {
		d.Spaces.claim(d.Origin, d.credentials, n)
	}
}

// TunnelRefused finds credentials in the place of those that a proxy did not take for a tunnel.
// header is that of its response, nil where it speaks SOCKS5; unseen tells that it has not
// looked at them.
func (d *Dialog) TunnelRefused(header http.Header, unseen bool) Step {
	if d.rounds++; d.rounds == MaxRounds {
		return d.fail(ErrTooManyRounds)
	}
	var c challenge
	if header == nil {
		c.Scheme = "SOCKS5"
	} else if c = d.choose(header, true); c.Scheme == "" {
		return d.step(GiveUp)
	}
	s := d.Spaces.at(spaceKey{place{d.Origin, d.User}, c.Realm()})
	tried := d.credentials
	if unseen {
		tried = nil
	}
	d.Spaces.refused(s, tried)
	d.open = question{challenge: c, space: s, tried: tried}
	return d.search()
}

// TunnelOpened keeps the credentials that have opened a tunnel, for the next one.
func (d *Dialog) TunnelOpened() {
	if d.space != nil && d.credentials != nil {
		d.scheme = ""
		d.accept(nil)
	}
}
