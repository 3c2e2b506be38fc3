package auth

import (
	"context"
	"net/http"
	"slices"

	"github.com/netreply/netreply/internal/httpauth"
)

// Negotiator implements a scheme that needs no user and password. Its value must be
// comparable: it identifies the connections that it authenticates.
type Negotiator interface {
	// Scheme is the name of the scheme.
	Scheme() string
	// Start begins the authentication of a connection to a host. An error means that no
	// credentials are available.
	Start(ctx context.Context, host string) (Negotiation, error)
}

// Negotiation authenticates one connection.
type Negotiation interface {
	// Next returns the token to send after the peer's token, which is nil at first.
	Next(token []byte) ([]byte, error)
	// Close releases the resources. It is called once.
	Close() error
}

// challenge is the challenge that is answered.
type challenge struct {
	httpauth.Challenge
	digest     *httpauth.Digest
	negotiator Negotiator
}

func (c challenge) strength() httpauth.Strength { return httpauth.StrengthOf(c.Scheme, c.digest) }

// choose returns the strongest challenge (rule U1): of a Negotiator, Digest by its
// algorithm, NTLM, Basic. Its scheme is "" if there is none. Without perConnection schemes
// that authenticate connections are ignored.
func (d *Dialog) choose(header http.Header, perConnection bool) challenge {
	var best challenge
	rank := 0
	for _, c := range httpauth.Parse(header[d.Role.Challenge]) {
		if len(c.Realm()) > httpauth.MaxValue {
			continue // realms are stored
		}
		this, n := challenge{Challenge: c}, 0
		switch negotiator := d.negotiatorOf(c); {
		case perConnection && negotiator != nil:
			this.negotiator, n = negotiator, 10_000
		case c.Is("Digest"):
			this.Scheme = "Digest"
			if digest, err := httpauth.NewDigest(c); err == nil {
				this.digest, n = digest, 100+digest.Strength()
			}
		case perConnection && c.Is("NTLM"):
			this.Scheme, n = "NTLM", 50
		case c.Is("Basic"):
			this.Scheme, n = "Basic", 1
		}
		if n > rank {
			best, rank = this, n
		}
	}
	return best
}

// negotiatorOf returns the negotiator for a challenge, unless it has failed; nil for none.
// Tunnels do not use negotiators.
func (d *Dialog) negotiatorOf(c httpauth.Challenge) Negotiator {
	if d.Tunnel {
		return nil
	}
	for _, n := range d.Negotiators {
		if c.Is(n.Scheme()) {
			if slices.Contains(d.failed, n) {
				return nil
			}
			return n
		}
	}
	return nil
}
