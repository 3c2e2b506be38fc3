package wire

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/netreply/netreply/internal/certs"
)

// Profile says how a connection is encrypted, and what a server must show. Its address
// is its identity: exchanges with different ones never meet on a connection, or by a
// session ticket as long as each Config has a cache of its own. It must not be changed
// once in use.
type Profile struct {
	// Config is crypto/tls's, never nil; server name and ALPN are filled in where they are
	// missing.
	Config *tls.Config
	// Depth is how many certificates there may be between a leaf and its root; 0 means
	// any number.
	Depth int
	// Accept, when not nil, is asked whether to go on though something is wrong, before
	// the exchange is.
	Accept func(*certs.Failure) bool
	// Handshake, when not nil, takes the place of crypto/tls. ask brings a question to
	// the exchange that the connection is opened for.
	Handshake func(ctx context.Context, raw net.Conn, cfg *tls.Config, ask func(question any) error) (net.Conn, *tls.ConnectionState, error)
}
