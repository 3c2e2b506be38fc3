package netreply

import (
	"context"

	"github.com/netreply/netreply/internal/auth"
)

// Negotiator speaks an authentication scheme that needs neither user nor password
// from us, Negotiate with Kerberos for instance (RFC 4559). It may be used from
// several goroutines at once.
type Negotiator interface {
	// Scheme is the name of the scheme, such as "Negotiate".
	Scheme() string
	// Start begins to authenticate one connection to a host. An error means that
	// there is nothing to authenticate with: the next weaker scheme is tried.
	Start(ctx context.Context, host string) (Negotiation, error)
}

// Negotiation authenticates one connection. It is used by one goroutine.
type Negotiation interface {
	// Next returns the token to send, for what the server has sent: nil at first.
	// The server's last token comes too, with its answer, if it has one; what Next
	// returns then is not sent. An error fails the reply.
	Next(token []byte) ([]byte, error)
	// Close ends it. It is called once.
	Close() error
}

// negotiator is one that the program plugged in, for package auth; its address stands for it.
type negotiator struct{ Negotiator }

func (n *negotiator) Start(ctx context.Context, host string) (auth.Negotiation, error) {
	return n.Negotiator.Start(ctx, host)
}
