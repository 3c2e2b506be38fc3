package netreply

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"slices"
	"sync"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/wire"
)

// sessionCacheSize is how many TLS sessions a configuration keeps for resumption.
const sessionCacheSize = 128

// profiles are what a configuration becomes on the wire: a strict one, and one for each
// set of flaws that is ignored.
type profiles struct {
	from   *sslSnapshot
	config *tls.Config
	pool   *sessions
	strict *wire.Profile

	mu        sync.Mutex
	lenient   []leniency    // no two with the same flaws
	forHSTS   *wire.Profile // see hstsProfile
	anonymous *profiles     // see withoutIdentity
}

// maxLenient bounds the sets of ignored flaws that share connections.
const maxLenient = 64

func (c *sslSnapshot) profiles() *profiles {
	cfg := c.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.RootCAs = c.tlsRoots.content
	set(&cfg.MinVersion, c.MinProtocol)
	set(&cfg.MaxVersion, c.MaxProtocol)
	set(&cfg.ServerName, c.PeerVerifyName)
	if c.Ciphers != nil {
		cfg.CipherSuites = c.Ciphers
	}
	if c.Curves != nil {
		cfg.CurvePreferences = c.Curves
	}
	if c.ALPN != nil {
		cfg.NextProtos = c.ALPN
	}
	if c.Certificates != nil {
		cfg.Certificates = c.Certificates
	}
	if c.ClientCertificate != nil {
		cfg.GetClientCertificate = c.ClientCertificate
	}
	if c.KeyLog != nil {
		cfg.KeyLogWriter = &locked{w: c.KeyLog}
	}
	if c.RootCAs != nil {
		cfg.RootCAs = c.roots.content
	}
	if len(c.AddedCAs) > 0 {
		if cfg.RootCAs != nil {
			cfg.RootCAs = cfg.RootCAs.Clone()
		} else if cfg.RootCAs, _ = x509.SystemCertPool(); cfg.RootCAs == nil {
			cfg.RootCAs = x509.NewCertPool()
		}
		for _, ca := range c.AddedCAs {
			cfg.RootCAs.AddCert(ca)
		}
	}
	if len(c.Pins) > 0 {
		cfg.VerifyConnection = pinned(c.Pins, cfg)
	}
	p := &profiles{from: c, config: cfg, pool: newSessions(c.SessionTicket)}
	cfg.ClientSessionCache = p.pool // a session is somebody's identity, too
	p.strict = p.profile(cfg)
	if c.reportOnly() {
		p.strict.Accept = func(*certs.Failure) bool { return true }
	}
	return p
}

// reportOnly tells that no certificate fails a reply (rule T8).
func (c *SSLConfiguration) reportOnly() bool {
	return c.PeerVerifyMode == VerifyNone || c.PeerVerifyMode == QueryPeer
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func (p *profiles) profile(cfg *tls.Config) *wire.Profile {
	w := &wire.Profile{Config: cfg, Depth: p.from.PeerVerifyDepth}
	if p.from.PSK != nil {
		w.Handshake = pskHandshake(p.from.PSK)
	}
	return w
}

// accepting makes a profile that goes on in spite of some flaws, none if accept is nil,
// with sessions of its own.
func (p *profiles) accepting(accept func(*certs.Failure) bool) *wire.Profile {
	cfg := p.config.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	w := p.profile(cfg)
	w.Accept = accept
	return w
}

// ignoring is the profile of all requests that ignore the same (rule T2); nil flaws
// stand for all there are. It is called for every exchange: the sets are few, and to
// compare certificates costs nothing where they are the same value.
func (p *profiles) ignoring(flaws []SSLError) *wire.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lenient {
		if (l.accepted == nil) == (flaws == nil) && slices.EqualFunc(l.accepted, flaws, SSLError.Equal) {
			return l.profile
		}
	}
	if len(p.lenient) == maxLenient {
		p.lenient = nil // those in use live on
	}
	flaws = slices.Clone(flaws)
	w := p.accepting(func(f *certs.Failure) bool { return flaws == nil || covers(flaws, f.Problems) })
	p.lenient = append(p.lenient, leniency{accepted: flaws, profile: w})
	return w
}

// pinned adds the check of pins to what cfg does with a connection. Where no chain was
// verified, because flaws are ignored or nothing is verified at all, what counts is who
// has signed for the server's key: anybody can send any certificate along (rule T30).
func pinned(pins []PublicKeyPin, cfg *tls.Config) func(tls.ConnectionState) error {
	further, o := cfg.VerifyConnection, certs.Options{Roots: cfg.RootCAs}
	isPinned := func(c *x509.Certificate) bool { return slices.Contains(pins, PinOf(c)) }
	return func(state tls.ConnectionState) error {
		sent := state.PeerCertificates
		if len(sent) == 0 {
			return &PinError{}
		}
		ok := isPinned(sent[0])
		for _, chain := range state.VerifiedChains {
			ok = ok || slices.ContainsFunc(chain, isPinned)
		}
		if !ok && len(state.VerifiedChains) == 0 {
			ok = slices.ContainsFunc(certs.Signed(sent, o), isPinned)
		}
		if !ok {
			return &PinError{sent}
		}
		if further != nil {
			return further(state)
		}
		return nil
	}
}

// locked makes a writer usable by several handshakes at once.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// sessions are the TLS sessions of a configuration, the newest of each server. Addresses
// are its keys.
type sessions struct {
	mu     sync.Mutex
	order  *list.List // of *session, the newest first
	byAddr map[string]*list.Element
}

type session struct {
	addr  string
	state *tls.ClientSessionState
}

// newSessions begins with the one that was brought along.
func newSessions(ticket []byte) *sessions {
	s := &sessions{order: list.New(), byAddr: map[string]*list.Element{}}
	if len(ticket) > 0 {
		if brought, err := parseTicket(ticket); err == nil {
			s.Put(brought.addr, brought.state)
		}
	}
	return s
}

// Get gives crypto/tls the session of a server.
func (s *sessions) Get(addr string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byAddr[addr]; e != nil {
		return e.Value.(*session).state, true
	}
	return nil, false
}

// Put keeps one, or with nil forgets it.
func (s *sessions) Put(addr string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byAddr[addr]; e != nil {
		s.order.Remove(e)
		delete(s.byAddr, addr)
	}
	if state == nil {
		return
	}
	s.byAddr[addr] = s.order.PushFront(&session{addr, state})
	if s.order.Len() > sessionCacheSize {
		last := s.order.Back()
		s.order.Remove(last)
		delete(s.byAddr, last.Value.(*session).addr)
	}
}

// ticket packs the newest session of a server, nil for none.
func (s *sessions) ticket(addr string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byAddr[addr]
	if e == nil {
		return nil
	}
	ticket, state, err := e.Value.(*session).state.ResumptionState()
	if err != nil || state == nil {
		return nil
	}
	raw, err := state.Bytes()
	if err != nil {
		return nil
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(addr)))
	out = binary.BigEndian.AppendUint32(append(out, addr...), uint32(len(ticket)))
	return append(append(out, ticket...), raw...)
}

// parseTicket reads what ticket has packed: the server's address, the ticket, each with
// its length before it, and the session.
func parseTicket(b []byte) (*session, error) {
	bad := errors.New("not a session ticket of this library and this version of Go")
	if len(b) < 2 {
		return nil, bad
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n+4 {
		return nil, bad
	}
	addr, b := string(b[:n]), b[n:]
	m := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < m {
		return nil, bad
	}
	parsed, err := tls.ParseSessionState(b[m:])
	if err != nil {
		return nil, bad
	}
	state, err := tls.NewResumptionState(b[:m], parsed)
	if err != nil {
		return nil, bad
	}
	return &session{addr, state}, nil
}

// profile is the encryption of the next exchange, which is for a URL.
func (r *Reply) profile(u *url.URL) *wire.Profile {
	p := r.hopProfiles(u)
	switch {
	case r.m.requiresTLS(u.Hostname()):
		return p.hstsProfile()
	case p.from.reportOnly():
		return p.strict
	case r.lenient != nil:
		return r.lenient.under(p, &r.req)
	case len(r.req.IgnoreSSLErrors) > 0:
		return p.ignoring(r.req.IgnoreSSLErrors)
	case r.req.IgnoreAllSSLErrors:
		return p.ignoring(nil)
	}
	return p.strict
}

// requiresTLS tells that a host is known to want TLS without any flaw (rules T6 and K10).
func (m *Manager) requiresTLS(host string) bool { return m.cfg.HSTS != nil && m.cfg.HSTS.Known(host) }

// hstsProfile is the profile for a host that is known to want TLS: without any leniency, be it
// of the configuration itself.
func (p *profiles) hstsProfile() *wire.Profile {
	if p.strict.Accept == nil && !p.config.InsecureSkipVerify {
		return p.strict
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forHSTS == nil {
		p.forHSTS = p.accepting(nil)
		p.forHSTS.Config.InsecureSkipVerify = false
	}
	return p.forHSTS
}
