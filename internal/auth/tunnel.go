package auth

import (
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
)

// For a tunnel a Dialog only chooses the credentials: package dial answers the challenges
// of the proxy with them.

// TunnelSent records the scheme with which the credentials of a tunnel were sent, Unknown
// for none.
func (d *Dialog) TunnelSent(n httpauth.Strength) {
	if n != httpauth.Unknown && d.credentials != nil {
		d.Spaces.mayUse(d.Origin, d.credentials, n)
	}
}

// TunnelRefused finds other credentials after a proxy has refused those for a tunnel.
// header is that of its response, nil for SOCKS5; unchecked reports that the proxy did not
// check the credentials.
func (d *Dialog) TunnelRefused(header http.Header, unchecked bool) Step {
	if d.rounds++; d.rounds == MaxRounds {
		return d.fail(ErrTooManyRounds)
	}
	var c challenge
	if header == nil {
		c.Scheme = "SOCKS5"
	} else if c = d.choose(header, true); c.Scheme == "" {
		return d.step(GiveUp)
	}
	s := d.Spaces.space(spaceKey{originKey{d.Origin, d.User}, c.Realm()})
	tried := d.credentials
	if unchecked {
		tried = nil
	}
	d.Spaces.refused(s, tried)
	d.open = question{challenge: c, space: s, tried: tried}
	return d.search()
}

// TunnelOpened stores the credentials that have opened a tunnel.
func (d *Dialog) TunnelOpened() {
	if d.space != nil && d.credentials != nil {
		d.scheme = ""
		d.accept(nil)
	}
}
