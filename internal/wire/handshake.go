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

// handshake is a running TLS handshake.
type handshake struct {
	t       *Transport
	key     Key
	profile *Profile
	d       *dialing
	cfg     *tls.Config
	socket  *socket // the socket, nil if it is none

	sessions        ownSessions
	chains          [][]*x509.Certificate // verified chains
	accepted        *certs.Failure
	acceptedProfile *Profile // set by the answer to a question: the profile of the connection from then on

	questions int // number asked; guarded by Transport.mu
}

// ownSessions is the session cache of a profile for one handshake. It is keyed by address,
// where crypto/tls would use the server name; and sessions of a connection whose flaws were
// accepted by an answer are not stored.
type ownSessions struct {
	tls.ClientSessionCache
	addr     string
	noResume bool // do not resume a session
	noStore  atomic.Bool
}

func (c *ownSessions) Get(string) (*tls.ClientSessionState, bool) {
	if c.noResume {
		return nil, false
	}
	return c.ClientSessionCache.Get(c.addr)
}

func (c *ownSessions) Put(_ string, session *tls.ClientSessionState) {
	if !c.noStore.Load() {
		c.ClientSessionCache.Put(c.addr, session)
	}
}

// errStale is the error of a resumed session whose certificate is not accepted any more.
var errStale = errors.New("wire: the certificate of the resumed session is no longer valid")

// newHandshake prepares a handshake. With full it does not resume a session.
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
		// with HTTP1 no other protocol may be selected, whatever the configuration says,
		// and net/http supports HTTP/2 only on connections of crypto/tls
		cfg.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), func(p string) bool { return p == "h2" })
		if len(cfg.NextProtos) == 0 {
			cfg.NextProtos = []string{"http/1.1"}
		}
	}
	s := &handshake{t: t, key: key, profile: key.Profile, d: d, cfg: cfg}
	if cfg.ClientSessionCache != nil {
		s.sessions.ClientSessionCache, s.sessions.addr, s.sessions.noResume = cfg.ClientSessionCache, key.Addr, full
		cfg.ClientSessionCache = &s.sessions
	}
	return s
}

// decide returns nil if a certificate is accepted. f are its flaws, nil for none.
func (s *handshake) decide(ctx context.Context, state tls.ConnectionState, chains [][]*x509.Certificate, f *certs.Failure) error {
	switch {
	case f == nil:
		s.chains = chains
	case s.profile.Accept != nil && s.profile.Accept(f):
		s.accepted = f
	case state.DidResume:
		// the server's certificate or the accepted flaws may have changed: make a full
		// handshake
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
		s.sessions.noStore.Store(true)
	}
	return nil
}

// run makes the handshake over raw.
func (s *handshake) run(ctx context.Context, raw net.Conn) (net.Conn, *tls.ConnectionState, error) {
	return s.t.cfg.Dialer.Secure(ctx, raw, s.key.Addr, func(ctx context.Context) (net.Conn, *tls.ConnectionState, error) {
		if h := s.profile.Handshake; h != nil {
			return h(ctx, raw, s.cfg, func(about any) error { return s.t.ask(ctx, s, &Question{About: about}) })
		}
		if !s.cfg.InsecureSkipVerify { // otherwise the program has turned verification off
			certs.Supervise(s.cfg, s.profile.Depth, func(state tls.ConnectionState, chains [][]*x509.Certificate, f *certs.Failure) error {
				return s.decide(ctx, state, chains, f)
			})
		}
		records := newRecordConn(raw, s.socket)
		c := tls.Client(records, s.cfg)
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		state := c.ConnectionState()
		if s.chains != nil {
			state.VerifiedChains = s.chains
		}
		renegotiates := state.Version < tls.VersionTLS13 && s.cfg.Renegotiation != tls.RenegotiateNever
		return &tlsStream{Conn: c, records: records, single: renegotiates}, &state, nil
	})
}
