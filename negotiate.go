package netreply

import (
	"context"
	"errors"

	"github.com/netreply/netreply/internal/auth"
)

// Negotiator implements an authentication scheme that needs no user and password from the
// program, such as Negotiate with Kerberos (RFC 4559). It must be safe for concurrent use.
type Negotiator interface {
	// Scheme is the name of the scheme, such as "Negotiate".
	Scheme() string
	// Start begins the authentication of one connection to a host. An error means that no
	// credentials are available; the next weaker scheme is tried then.
	Start(ctx context.Context, host string) (Negotiation, error)
}

// Negotiation authenticates one connection. It is used by one goroutine.
type Negotiation interface {
	// Next returns the token to send after the server's token, which is nil at first. It is
	// also called with a token of the final response, if there is one; its result is not
	// sent then. An error fails the reply.
	Next(token []byte) ([]byte, error)
	// Close releases the resources. It is called once.
	Close() error
}

// negotiator adapts a Negotiator to package auth, which compares it by its address.
type negotiator struct{ Negotiator }

func (n *negotiator) Start(ctx context.Context, host string) (auth.Negotiation, error) {
	negotiation, err := n.Negotiator.Start(ctx, host)
	if err == nil && isNil(negotiation) {
		err = errors.New("Negotiator.Start returned neither a Negotiation nor an error")
	}
	return negotiation, err
}
