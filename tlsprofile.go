package netreply

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"slices"
	"sync"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/wire"
)

// profiles are the wire profiles of one configuration: a strict one, and one for each set
// of ignored flaws.
type profiles struct {
	from   *sslSnapshot
	config *tls.Config
	pool   *sessions
	strict *wire.Profile

	mu        sync.Mutex
	lenient   []leniency    // with different sets of flaws
	forHSTS   *wire.Profile // see hstsProfile
	anonymous *profiles     // see withoutIdentity
}

// maxLenient bounds how many sets of ignored flaws are kept.
const maxLenient = 64

// makeProfiles makes the strict profile; the others are made on first use.
func (c *sslSnapshot) makeProfiles() *profiles {
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
		cfg.KeyLogWriter = &syncWriter{w: c.KeyLog}
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
	cfg.ClientSessionCache = p.pool // a session carries the identity of the client
	p.makeStrict(c.reportOnly())
	return p
}

// makeStrict makes the profile that accepts no flaws but those that lenient says, which is all.
func (p *profiles) makeStrict(lenient bool) {
	p.strict = p.profile(p.config)
	if lenient {
		p.strict.Accept = func(*certs.Failure) bool { return true }
		p.strict.Trust = p.from.trust(p.config, flawsText(nil))
		return
	}
	p.strict.Trust = p.from.trust(p.config, "")
}

// reportOnly reports whether certificate flaws never fail a reply (rule T8).
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

// accepting makes a profile that accepts the flaws that accept returns true for, none if
// accept is nil, with sessions of its own.
func (p *profiles) accepting(accept func(*certs.Failure) bool) *wire.Profile {
	cfg := p.config.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	w := p.profile(cfg)
	w.Accept = accept
	return w
}

// ignoring returns the profile of all requests that ignore the same flaws (rule T2); nil
// means all flaws. It is called for every exchange: there are few sets, and comparing
// identical certificates is cheap.
func (p *profiles) ignoring(flaws []SSLError) *wire.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lenient {
		if (l.accepted == nil) == (flaws == nil) && slices.EqualFunc(l.accepted, flaws, SSLError.Equal) {
			return l.profile
		}
	}
	if len(p.lenient) == maxLenient {
		p.lenient = nil // profiles in use stay valid
	}
	flaws = slices.Clone(flaws)
	w := p.accepting(func(f *certs.Failure) bool { return flaws == nil || covers(flaws, f.Problems) })
	w.Trust = p.from.trust(p.config, flawsText(flaws))
	p.lenient = append(p.lenient, leniency{accepted: flaws, profile: w})
	return w
}

// pinned returns a VerifyConnection function that checks pins and then calls that of cfg.
// If no chain was verified, because flaws are ignored or verification is off, only
// certificates whose signatures lead to the server's key count: a server can send any other
// certificate (rule T30).
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

// syncWriter makes a writer safe for concurrent handshakes.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *syncWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// hstsProfile returns the profile for a host with an HSTS policy: it accepts no flaws, even
// if the configuration does.
func (p *profiles) hstsProfile() *wire.Profile {
	if p.strict.Accept == nil && !p.config.InsecureSkipVerify {
		return p.strict
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forHSTS == nil {
		p.forHSTS = p.accepting(nil)
		p.forHSTS.Config.InsecureSkipVerify = false
		p.forHSTS.Trust = p.from.trust(p.forHSTS.Config, "")
	}
	return p.forHSTS
}
