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

// makeProfiles makes the strict profile; the others are made when they are needed.
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
