package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"github.com/netreply/netreply/internal/certs"
)

// handshake is one under way.
type handshake struct {
	t       *Transport
	key     Key
	profile *Profile
	d       *dialing
	cfg     *tls.Config

	sessions        ownSessions
	chains          [][]*x509.Certificate // that were verified
	accepted        *certs.Failure
	acceptedProfile *Profile // whose the connection becomes; nil for what it was

	questions int // asked; guarded by Transport.mu
}

// ownSessions are the sessions of a profile as one handshake sees them: of its address,
// where crypto/tls goes by the name alone; and what was made by accepting more than the
// profile does is no session of it.
type ownSessions struct {
	tls.ClientSessionCache
	addr    string
	fresh   bool // none is to be resumed
	foreign atomic.Bool
}

func (c *ownSessions) Get(string) (*tls.ClientSessionState, bool) {
	if c.fresh {
		return nil, false
	}
	return c.ClientSessionCache.Get(c.addr)
}

func (c *ownSessions) Put(_ string, session *tls.ClientSessionState) {
	if !c.foreign.Load() {
		c.ClientSessionCache.Put(c.addr, session)
	}
}

// errStale is a session whose certificate is not good enough any more.
var errStale = errors.New("wire: the certificate of the resumed session is no longer valid")

// newHandshake makes the configuration of one handshake. With full it resumes no session.
func (t *Transport) newHandshake(d *dialing, full bool) *handshake {
	key := d.host.key
	cfg := key.Profile.Config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(key.Addr)
	}
	if len(cfg.NextProtos) == 0 {
		switch key.Protocol {
		case Negotiate:
			cfg.NextProtos = []string{"h2", "http/1.1"}
		case HTTP1:
			cfg.NextProtos = []string{"http/1.1"}
		case HTTP2:
			cfg.NextProtos = []string{"h2"}
		}
	}
	if key.Protocol == HTTP1 || key.Profile.Handshake != nil {
		// who needs HTTP/1 must not get anything else, whatever was configured; net/http
		// speaks HTTP/2 on connections of crypto/tls only
		cfg.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), func(p string) bool { return p == "h2" })
		if len(cfg.NextProtos) == 0 {
			cfg.NextProtos = []string{"http/1.1"}
		}
	}
	s := &handshake{t: t, key: key, profile: key.Profile, d: d, cfg: cfg}
	if cfg.ClientSessionCache != nil {
		s.sessions.ClientSessionCache, s.sessions.addr, s.sessions.fresh = cfg.ClientSessionCache, key.Addr, full
		cfg.ClientSessionCache = &s.sessions
	}
	return s
}

// decide says whether a certificate is good enough. f is what is wrong, nil for nothing.
func (s *handshake) decide(ctx context.Context, state tls.ConnectionState, chains [][]*x509.Certificate, f *certs.Failure) error {
	switch {
	case f == nil:
		s.chains = chains
	case s.profile.Accept != nil && s.profile.Accept(f):
		s.accepted = f
	case state.DidResume:
		// what it was accepted for may have changed on both sides: a full handshake tells
		s.sessions.Put("", nil)
		return errStale
	default:
		q := &Question{About: f}
		if err := s.t.ask(ctx, s, q); err != nil && err != errLeft {
			return err
		}
		if q.Profile == nil || !q.Profile.Accept(f) {
			return f
		}
		s.accepted, s.acceptedProfile = f, q.Profile
		s.sessions.foreign.Store(true)
	}
	return nil
}

// run shakes hands over raw.
func (s *handshake) run(ctx context.Context, raw net.Conn) (net.Conn, *tls.ConnectionState, error) {
	return s.t.cfg.Dialer.Secure(ctx, raw, s.key.Addr, func(ctx context.Context) (net.Conn, *tls.ConnectionState, error) {
		if h := s.profile.Handshake; h != nil {
			return h(ctx, raw, s.cfg, func(about any) error { return s.t.ask(ctx, s, &Question{About: about}) })
		}
		if !s.cfg.InsecureSkipVerify { // which would be the caller's own wish
			certs.Supervise(s.cfg, s.profile.Depth, func(state tls.ConnectionState, chains [][]*x509.Certificate, f *certs.Failure) error {
				return s.decide(ctx, state, chains, f)
			})
		}
		c := tls.Client(raw, s.cfg)
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		state := c.ConnectionState()
		if s.chains != nil {
			state.VerifiedChains = s.chains
		}
		return c, &state, nil
	})
}
