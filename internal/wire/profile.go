package wire

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/netreply/netreply/internal/certs"
)

// Profile is the TLS configuration of connections. It is compared by address: exchanges
// with different profiles never share a connection or, if each Config has its own cache, a
// TLS session. It must not be changed once in use.
type Profile struct {
	// Config is never nil. Server name and ALPN are filled in if they are missing.
	Config *tls.Config
	// Depth is the maximum number of certificates between the leaf and the root; 0 means
	// any number.
	Depth int
	// Accept, if not nil, reports whether certificate flaws are accepted without a
	// question.
	Accept func(*certs.Failure) bool
	// Handshake, if not nil, replaces crypto/tls. ask passes a question to the exchange for
	// which the connection is opened.
	Handshake func(ctx context.Context, raw net.Conn, cfg *tls.Config, ask func(question any) error) (net.Conn, *tls.ConnectionState, error)
	// Trust is the same for profiles that trust the same servers and have the same identity;
	// "" for the default of crypto/tls and none.
	Trust string
}
