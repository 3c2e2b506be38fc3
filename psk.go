package netreply

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"
)

// PSKDialer shakes hands by a key that both sides have beforehand, without certificates
// (RFC 4279, RFC 5489, and RFC 8446, section 2.2). crypto/tls cannot; the module
// github.com/netreply/netreply/opensslpsk implements it with OpenSSL. It may be used
// from several goroutines at once.
type PSKDialer interface {
	// Handshake makes a TLS client connection over conn. It ends with ctx, and must
	// refuse a server that does not know the key. When the handshake needs the key it
	// calls PSKParameters.Ask.
	Handshake(ctx context.Context, conn net.Conn, p PSKParameters) (net.Conn, tls.ConnectionState, error)
}

// PSKParameters are what a PSKDialer needs to know.
type PSKParameters struct {
	// ServerName is the host.
	ServerName string
	// MinProtocol and MaxProtocol are versions of TLS; 0 means any.
	MinProtocol, MaxProtocol uint16
	// ALPN is what to offer.
	ALPN []string
	// Ask fills identity and key in, or returns an error that must end the handshake.
	Ask func(*PreSharedKeyAuthenticator) error
}

// PreSharedKeyAuthenticator is the question for a pre-shared key (Qt:
// QSslPreSharedKeyAuthenticator). It comes up in the middle of a handshake, which
// Config.TLSTimeout bounds, on requests whose SSLConfiguration has a PSKDialer. The
// reply waits for the answer where the Request or the Manager has an Answer or
// AskPreSharedKey; otherwise there is none, unless it is given inside OnSignal. No answer
// fails the reply with SslHandshakeFailedError (rule T15). Its methods may be called from any
// goroutine.
type PreSharedKeyAuthenticator struct {
	// IdentityHint is what the server tells to help to choose; empty under TLS 1.3, where
	// the key is needed before the server has said anything.
	IdentityHint []byte
	// MaximumIdentityLength and MaximumPreSharedKeyLength are in bytes.
	MaximumIdentityLength, MaximumPreSharedKeyLength int

	decision
	set atomic.Pointer[preSharedKey] // written under mu; package fmt does not look into it
}

type preSharedKey struct{ identity, key []byte }

// Set answers. It returns false when there was an answer already, the reply is over, or one
// of both is empty or too long, and then changes nothing.
func (a *PreSharedKeyAuthenticator) Set(identity, key []byte) bool {
	if a == nil || len(identity) == 0 || len(key) == 0 || len(identity) > a.MaximumIdentityLength || len(key) > a.MaximumPreSharedKeyLength {
		return false
	}
	return a.settle(func() { a.set.Store(&preSharedKey{slices.Clone(identity), slices.Clone(key)}) })
}

// Cancel fails the reply. It returns false when there was an answer already, or the reply is
// over.
func (a *PreSharedKeyAuthenticator) Cancel() bool { return a != nil && a.refuse() }

// Answer is what was set, for a PSKDialer; ok is false when nothing was.
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

// noPSK says what AskPreSharedKey needs.
const noPSK = required + ": import github.com/netreply/netreply/opensslpsk and set it to opensslpsk.Dialer{}"

var errNoKey = errors.New("no pre-shared key was given")

// pskHandshake makes a dialer's handshake for the wire.
func pskHandshake(d PSKDialer) func(context.Context, net.Conn, *tls.Config, func(any) error) (net.Conn, *tls.ConnectionState, error) {
	return func(ctx context.Context, raw net.Conn, cfg *tls.Config, ask func(any) error) (net.Conn, *tls.ConnectionState, error) {
		nc, state, err := d.Handshake(ctx, raw, PSKParameters{
			ServerName: cfg.ServerName, MinProtocol: cfg.MinVersion, MaxProtocol: cfg.MaxVersion, ALPN: cfg.NextProtos,
			Ask: func(a *PreSharedKeyAuthenticator) error {
				if err := ask(a); err != nil {
					return err
				}
				if _, _, ok := a.Answer(); !ok {
					return errNoKey
				}
				return nil
			},
		})
		if err != nil {
			return nil, nil, err
		}
		return nc, &state, nil
	}
}
