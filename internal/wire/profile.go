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

// Question comes up in the middle of a handshake.
type Question struct {
	// About is a *certs.Failure, or what Profile.Handshake asked.
	About any
	// Profile, when it was set to one that accepts a Failure, is whose the connection
	// becomes.
	Profile *Profile
}

// handshake is one under way.
type handshake struct {
	t       *Transport
	key     Key
	profile *Profile
	d       *dialing
	cfg     *tls.Config

	sessions ownSessions
	chains   [][]*x509.Certificate // that were verified
	accepted *certs.Failure
	became   *Profile // nil for what it was
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

// newHandshake makes the configuration of one handshake.
func (t *Transport) newHandshake(key Key, d *dialing) *handshake {
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
		s.sessions.ClientSessionCache, s.sessions.addr, s.sessions.fresh = cfg.ClientSessionCache, key.Addr, d.again
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
		if err := s.t.question(ctx, s.d, q); err != nil && err != errLeft {
			return err
		}
		if q.Profile == nil || !q.Profile.Accept(f) {
			return f
		}
		s.accepted, s.became = f, q.Profile
		s.sessions.foreign.Store(true)
	}
	return nil
}

// run shakes hands over raw.
func (s *handshake) run(ctx context.Context, raw net.Conn) (net.Conn, *tls.ConnectionState, error) {
	dialer := s.t.cfg.Dialer
	if h := s.profile.Handshake; h != nil {
		var state *tls.ConnectionState
		nc, err := dialer.Secure(ctx, raw, s.key.Addr, func(ctx context.Context) (nc net.Conn, err error) {
			nc, state, err = h(ctx, raw, s.cfg, func(about any) error { return s.t.question(ctx, s.d, &Question{About: about}) })
			return nc, err
		})
		if err != nil { // the handshake may still be going on
			return nil, nil, err
		}
		return nc, state, nil
	}
	var tc *tls.Conn
	_, err := dialer.Secure(ctx, raw, s.key.Addr, func(ctx context.Context) (net.Conn, error) {
		if !s.cfg.InsecureSkipVerify { // which would be the caller's own wish
			certs.Supervise(s.cfg, s.profile.Depth, func(state tls.ConnectionState, chains [][]*x509.Certificate, f *certs.Failure) error {
				return s.decide(ctx, state, chains, f)
			})
		}
		tc = tls.Client(raw, s.cfg)
		return tc, tc.HandshakeContext(ctx)
	})
	if err != nil {
		return nil, nil, err
	}
	state := tc.ConnectionState()
	if s.chains != nil {
		state.VerifiedChains = s.chains
	}
	return tc, &state, nil
}

// errLeft is the answer to a question whose exchange is not there any more.
var errLeft = errors.New("wire: nobody waits for the connection")

// question brings a question to the exchange that the dial is for, and waits until it
// has seen it.
func (t *Transport) question(ctx context.Context, d *dialing, q *Question) error {
	seen := make(chan struct{})
	t.mu.Lock()
	if d.owner.done || d.asked >= maxAsked {
		t.mu.Unlock()
		return errLeft
	}
	if d.asked++; d.asked == 1 {
		d.host.opening--
	}
	d.asker = d.owner
	d.owner.ch <- msg{kind: asking, question: q, seen: seen}
	old := t.startDials(d.host)
	t.mu.Unlock()
	t.shut(old...)
	select {
	case <-seen:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxAsked bounds the questions of one handshake.
const maxAsked = 4
