package auth

import (
	"context"
	"net/http"
	"slices"

	"github.com/netreply/netreply/internal/httpauth"
)

// Negotiator speaks a scheme that needs neither user nor password from us. Its value must
// be comparable: it stands for the connections that it authenticates.
type Negotiator interface {
	// Scheme is the name of the scheme.
	Scheme() string
	// Start begins to authenticate a connection to a host. An error means that there is
	// nothing to authenticate with.
	Start(ctx context.Context, host string) (Negotiation, error)
}

// Negotiation authenticates one connection.
type Negotiation interface {
	// Next returns the token to send, for what the peer has sent: nil at first.
	Next(token []byte) ([]byte, error)
	// Close ends it. It is called once.
	Close() error
}

// challenge is the one of a response that is answered.
type challenge struct {
	httpauth.Challenge
	digest     *httpauth.Digest
	negotiator Negotiator
}

func (c challenge) strength() httpauth.Strength { return httpauth.StrengthOf(c.Scheme, c.digest) }

// choose takes the strongest challenge (rule U1): what the program plugged in, Digest by
// its algorithm, NTLM, Basic. Its scheme is "" for none. What authenticates connections is
// left out without perConnection.
func (d *Dialog) choose(header http.Header, perConnection bool) challenge {
	var best challenge
	rank := 0
	for _, c := range httpauth.Parse(header[d.Role.Challenge]) {
		if len(c.Realm()) > httpauth.MaxValue {
			continue // it would be kept, for as many realms as the server likes
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

// negotiatorOf finds the negotiator for a challenge that has not failed yet; nil for none.
// A tunnel is opened without them.
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
