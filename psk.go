package netreply

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"
)

// PSKDialer makes TLS handshakes with a pre-shared key instead of certificates (RFC 4279,
// RFC 5489, and RFC 8446, section 2.2), which crypto/tls does not support. The module
// github.com/netreply/netreply/opensslpsk implements it with OpenSSL. It must be safe for
// concurrent use.
type PSKDialer interface {
	// Handshake makes a TLS client connection over conn. It must return when ctx ends, and
	// must refuse a server that does not know the key. It calls PSKParameters.Ask when the
	// handshake needs the key.
	Handshake(ctx context.Context, conn net.Conn, p PSKParameters) (net.Conn, tls.ConnectionState, error)
}

// PSKParameters are the parameters of a handshake.
type PSKParameters struct {
	// ServerName is the host name.
	ServerName string
	// MinProtocol and MaxProtocol are TLS versions; 0 means any.
	MinProtocol, MaxProtocol uint16
	// ALPN are the protocols to offer.
	ALPN []string
	// Ask obtains identity and key from the program; see PreSharedKeyAuthenticator.Answer.
	// If it returns an error, the handshake must fail.
	Ask func(*PreSharedKeyAuthenticator) error
}

// PreSharedKeyAuthenticator is the question for a pre-shared key (Qt:
// QSslPreSharedKeyAuthenticator). It is asked during a handshake, which Config.TLSTimeout
// bounds, of requests whose SSLConfiguration has a PSKDialer. The reply waits for the
// answer if Request.Answer, Config.Answer or AskPreSharedKey is set; otherwise only an
// answer inside OnSignal counts. Without an answer the reply fails with
// SslHandshakeFailedError (rule T15). Its methods are safe for concurrent use.
type PreSharedKeyAuthenticator struct {
	// IdentityHint is the server's hint for choosing an identity; empty for TLS 1.3, where
	// the key is needed before the server's first message.
	IdentityHint []byte
	// MaximumIdentityLength and MaximumPreSharedKeyLength are in bytes.
	MaximumIdentityLength, MaximumPreSharedKeyLength int

	decision
	set atomic.Pointer[preSharedKey] // written under mu; a pointer type that package fmt does not print
}

type preSharedKey struct{ identity, key []byte }

// Set answers. It returns false, and has no effect, when there was an answer already, the
// reply is over, or identity or key is empty or too long.
func (a *PreSharedKeyAuthenticator) Set(identity, key []byte) bool {
	if a == nil || len(identity) == 0 || len(key) == 0 || len(identity) > a.MaximumIdentityLength || len(key) > a.MaximumPreSharedKeyLength {
		return false
	}
	return a.settle(func() { a.set.Store(&preSharedKey{slices.Clone(identity), slices.Clone(key)}) })
}

// Cancel fails the reply. It returns false when there was an answer already, or the reply is
// over.
func (a *PreSharedKeyAuthenticator) Cancel() bool { return a != nil && a.decline() }

// Answer returns the identity and the key, for a PSKDialer; ok is false if there are none.
func (a *PreSharedKeyAuthenticator) Answer() (identity, key []byte, ok bool) {
	if a == nil {
		return nil, nil, false
	}
	set := a.set.Load()
	if set == nil {
		return nil, nil, false
	}
	return set.identity, set.key, true
}

// noPSK is the error of AskPreSharedKey without a PSKDialer.
const noPSK = required + ": import github.com/netreply/netreply/opensslpsk and set it to opensslpsk.Dialer{}"

var errNoKey = errors.New("no pre-shared key was given")

// pskHandshake adapts a PSKDialer to wire.Profile.Handshake.
func pskHandshake(d PSKDialer) func(context.Context, net.Conn, *tls.Config, func(any) error) (net.Conn, *tls.ConnectionState, error) {
	return func(ctx context.Context, raw net.Conn, cfg *tls.Config, ask func(any) error) (net.Conn, *tls.ConnectionState, error) {
		nc, state, err := d.Handshake(ctx, raw, PSKParameters{
			ServerName: cfg.ServerName, MinProtocol: cfg.MinVersion, MaxProtocol: cfg.MaxVersion, ALPN: cfg.NextProtos,
			Ask: func(a *PreSharedKeyAuthenticator) error {
				if a == nil {
					return errNoKey
				}
				if err := ask(a); err != nil {
					return err
				}
				if _, _, ok := a.Answer(); !ok {
					return errNoKey
				}
				return nil
			},
		})
		if err == nil && isNil(nc) {
			err = errors.New("PSKDialer.Handshake returned neither a connection nor an error")
		}
		if err != nil {
			return nil, nil, err
		}
		return nc, &state, nil
	}
}
