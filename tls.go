package netreply

import (
	"container/list"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/wire"
)

// PeerVerifyMode says what becomes of a server whose certificate is not in order.
type PeerVerifyMode int

const (
	// AutoVerifyPeer is VerifyPeer, as Qt has it for clients.
	AutoVerifyPeer PeerVerifyMode = iota
	// VerifyNone reports what is wrong by SSLErrors and goes on all the same: whoever is
	// on the way can be the server.
	VerifyNone
	// QueryPeer does the same (rule T8).
	QueryPeer
	// VerifyPeer fails the reply, unless what is wrong is ignored.
	VerifyPeer
)

// SSLConfiguration says how connections are encrypted (Qt: QSslConfiguration). Its zero
// value stands for TLS 1.2 or newer, the roots of the system and VerifyPeer. Requests
// with different ones, by their address, never share a connection or a session. It
// must not be changed, nor copied other than by Clone, once a request has used it.
type SSLConfiguration struct {
	// TLS is what crypto/tls knows besides the fields below, which count before it. With
	// its InsecureSkipVerify nothing is verified and nothing reported.
	TLS *tls.Config
	// MinProtocol and MaxProtocol are versions such as tls.VersionTLS13; 0 means TLS 1.2
	// and the newest.
	MinProtocol, MaxProtocol uint16
	// Ciphers are the suites of TLS 1.2 that may be used. Those of TLS 1.3 cannot be
	// chosen in Go.
	Ciphers []uint16
	// Curves are the key exchanges that may be used.
	Curves []tls.CurveID
	// RootCAs replaces the roots of the system; AddedCAs are trusted besides.
	RootCAs  *x509.CertPool
	AddedCAs []*x509.Certificate
	// Certificates are shown to a server that asks for one, if it accepts their issuer.
	Certificates []tls.Certificate
	// ClientCertificate chooses one instead when a server asks. A certificate without
	// content means that there is none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// ALPN replaces the protocols that are offered: h2 and http/1.1.
	ALPN []string
	// PeerVerifyMode is what becomes of a server whose certificate is not in order.
	PeerVerifyMode PeerVerifyMode
	// PeerVerifyDepth is how many certificates there may be between that of the server
	// and the root; 0 means any number.
	PeerVerifyDepth int
	// PeerVerifyName is the name that the server must prove, and is told, instead of the
	// URL's host (rule T13).
	PeerVerifyName string
	// SessionTicket resumes a session, see SSLState.SessionTicket.
	SessionTicket []byte
	// KeyLog is written the keys of all connections, in the format of NSS, for tools that
	// decipher a recording. Who has them reads everything.
	KeyLog io.Writer
	// Pins are public keys one of which must be in the server's chain: without, the
	// reply fails with a *PinError whatever is ignored (RFC 7469, section 2.6).
	Pins []PublicKeyPin
	// PSK shakes hands with a pre-shared key instead of certificates; see
	// PreSharedKeyAuthenticator.
	PSK PSKDialer

	once sync.Once
	made *profiles
}

// Clone returns a copy that can be changed.
func (c *SSLConfiguration) Clone() *SSLConfiguration {
	if c == nil {
		return &SSLConfiguration{}
	}
	return &SSLConfiguration{TLS: c.TLS, MinProtocol: c.MinProtocol, MaxProtocol: c.MaxProtocol, Ciphers: slices.Clone(c.Ciphers),
		Curves: slices.Clone(c.Curves), RootCAs: c.RootCAs, AddedCAs: slices.Clone(c.AddedCAs), Certificates: slices.Clone(c.Certificates),
		ClientCertificate: c.ClientCertificate, ALPN: slices.Clone(c.ALPN), PeerVerifyMode: c.PeerVerifyMode, PeerVerifyDepth: c.PeerVerifyDepth,
		PeerVerifyName: c.PeerVerifyName, SessionTicket: slices.Clone(c.SessionTicket), KeyLog: c.KeyLog, Pins: slices.Clone(c.Pins), PSK: c.PSK}
}

// PublicKeyPin is the SHA-256 of a public key (RFC 7469, section 2.4).
type PublicKeyPin [sha256.Size]byte

// PinOf is the pin of a certificate's key.
func PinOf(c *x509.Certificate) PublicKeyPin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// PinError tells that a server's chain has none of the keys it was pinned to.
type PinError struct{ Chain []*x509.Certificate }

func (e *PinError) Error() string { return "no certificate of the server has a pinned public key" }

// sessionCacheSize is how many TLS sessions a configuration keeps for resumption.
const sessionCacheSize = 128

// validate finds what cannot be used; field names it.
func (c *SSLConfiguration) validate(field string) error {
	if c == nil {
		return nil
	}
	bad := func(name, value, reason string) error { return &FieldError{field + "." + name, value, reason} }
	known := func(v uint16) bool { return v == 0 || v >= tls.VersionTLS10 && v <= tls.VersionTLS13 }
	suite := func(id uint16) bool {
		is := func(s *tls.CipherSuite) bool { return s.ID == id }
		return slices.ContainsFunc(tls.CipherSuites(), is) || slices.ContainsFunc(tls.InsecureCipherSuites(), is)
	}
	switch {
	case !known(c.MinProtocol):
		return bad("MinProtocol", strconv.Itoa(int(c.MinProtocol)), "no such version")
	case !known(c.MaxProtocol):
		return bad("MaxProtocol", strconv.Itoa(int(c.MaxProtocol)), "no such version")
	case c.MaxProtocol != 0 && max(c.MinProtocol, tls.VersionTLS10) > c.MaxProtocol:
		return bad("MinProtocol", tls.VersionName(c.MinProtocol), "above MaxProtocol")
	case c.PeerVerifyMode < AutoVerifyPeer || c.PeerVerifyMode > VerifyPeer:
		return bad("PeerVerifyMode", strconv.Itoa(int(c.PeerVerifyMode)), "no such mode")
	case c.PeerVerifyDepth < 0:
		return bad("PeerVerifyDepth", strconv.Itoa(c.PeerVerifyDepth), "negative")
	case slices.Contains(c.AddedCAs, nil):
		return bad("AddedCAs", "", "one of them is nil")
	}
	for _, id := range c.Ciphers {
		if !suite(id) {
			return bad("Ciphers", tls.CipherSuiteName(id), "no such suite")
		}
	}
	for _, p := range c.ALPN {
		if p == "" || len(p) > 255 {
			return bad("ALPN", p, "not a protocol name")
		}
	}
	if len(c.SessionTicket) > 0 {
		if _, err := parseTicket(c.SessionTicket); err != nil {
			return bad("SessionTicket", "", err.Error())
		}
	}
	return nil
}

// profiles are what a configuration becomes on the wire: a strict one, and one for each
// set of flaws that is ignored.
type profiles struct {
	from   *SSLConfiguration
	config *tls.Config
	pool   *sessions
	strict *wire.Profile

	mu      sync.Mutex
	lenient map[string]*wire.Profile
}

// maxLenient bounds the sets of ignored flaws that share connections.
const maxLenient = 64

func (c *SSLConfiguration) profiles() *profiles {
	c.once.Do(func() { c.made = c.make() })
	return c.made
}

func (c *SSLConfiguration) make() *profiles {
	cfg := c.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	set(&cfg.MinVersion, c.MinProtocol)
	set(&cfg.MaxVersion, c.MaxProtocol)
	set(&cfg.ServerName, c.PeerVerifyName)
	if c.Ciphers != nil {
		cfg.CipherSuites = slices.Clone(c.Ciphers)
	}
	if c.Curves != nil {
		cfg.CurvePreferences = slices.Clone(c.Curves)
	}
	if c.ALPN != nil {
		cfg.NextProtos = slices.Clone(c.ALPN)
	}
	if c.Certificates != nil {
		cfg.Certificates = slices.Clone(c.Certificates)
	}
	if c.ClientCertificate != nil {
		cfg.GetClientCertificate = c.ClientCertificate
	}
	if c.KeyLog != nil {
		cfg.KeyLogWriter = &locked{w: c.KeyLog}
	}
	if c.RootCAs != nil {
		cfg.RootCAs = c.RootCAs
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
		cfg.VerifyConnection = pinned(slices.Clone(c.Pins), cfg.VerifyConnection)
	}
	p := &profiles{from: c, config: cfg, pool: newSessions(c.SessionTicket)}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = p.pool
	}
	p.strict = p.profile(cfg)
	if c.PeerVerifyMode == VerifyNone || c.PeerVerifyMode == QueryPeer {
		p.strict.Accept = func(*certs.Failure) bool { return true }
	}
	return p
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
		w.Handshake = pskHandshake(p.from)
	}
	return w
}

// accepting makes a profile that goes on in spite of some flaws, with sessions of its
// own.
func (p *profiles) accepting(accept func(*certs.Failure) bool) *wire.Profile {
	cfg := p.config.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	w := p.profile(cfg)
	w.Accept = accept
	return w
}

// ignoring is the profile of all requests that ignore the same (rule T2); nil flaws
// stand for all there are.
func (p *profiles) ignoring(flaws []SSLError) *wire.Profile {
	var key strings.Builder
	for _, f := range flaws {
		key.Write(binary.BigEndian.AppendUint32(nil, uint32(f.Code)))
		if f.Certificate != nil {
			sum := sha256.Sum256(f.Certificate.Raw)
			key.Write(sum[:])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.lenient[key.String()]; w != nil {
		return w
	}
	if p.lenient == nil || len(p.lenient) >= maxLenient {
		p.lenient = map[string]*wire.Profile{} // those in use live on
	}
	flaws = slices.Clone(flaws)
	w := p.accepting(func(f *certs.Failure) bool { return flaws == nil || covers(flaws, f.Problems) })
	p.lenient[key.String()] = w
	return w
}

// pinned adds the check of pins to one that is there.
func pinned(pins []PublicKeyPin, further func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		chains := state.VerifiedChains
		if len(chains) == 0 { // flaws are ignored: what the server sent has to do
			chains = [][]*x509.Certificate{state.PeerCertificates}
		}
		ok := slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
			return slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return slices.Contains(pins, PinOf(c)) })
		})
		if !ok {
			return &PinError{state.PeerCertificates}
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

// sessions are the TLS sessions of a configuration, the newest of each server, and the
// one that was brought along.
type sessions struct {
	mu      sync.Mutex
	order   *list.List // of *session, the newest first
	byName  map[string]*list.Element
	brought *tls.ClientSessionState
}

type session struct {
	name  string
	state *tls.ClientSessionState
}

func newSessions(ticket []byte) *sessions {
	s := &sessions{order: list.New(), byName: map[string]*list.Element{}}
	if len(ticket) > 0 {
		s.brought, _ = parseTicket(ticket)
	}
	return s
}

// Get gives crypto/tls the session of a server.
func (s *sessions) Get(name string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		return e.Value.(*session).state, true
	}
	if b := s.brought; b != nil {
		s.brought = nil // for one try: what does not fit must not stand in the way
		return b, true
	}
	return nil, false
}

// Put keeps one, or with nil forgets it.
func (s *sessions) Put(name string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		s.order.Remove(e)
		delete(s.byName, name)
	}
	if state == nil {
		return
	}
	s.byName[name] = s.order.PushFront(&session{name, state})
	if s.order.Len() > sessionCacheSize {
		last := s.order.Back()
		s.order.Remove(last)
		delete(s.byName, last.Value.(*session).name)
	}
}

// ticket packs the newest session of a server, nil for none.
func (s *sessions) ticket(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
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
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(ticket))), ticket...), raw...)
}

func parseTicket(b []byte) (*tls.ClientSessionState, error) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, errors.New("not a session ticket")
	}
	n := binary.BigEndian.Uint32(b)
	state, err := tls.ParseSessionState(b[4+n:])
	if err != nil {
		return nil, errors.New("not a session ticket of this version of Go")
	}
	return tls.NewResumptionState(b[4:4+n], state)
}

// SSLState is the encryption of a reply: what was wished for and what has come of it.
type SSLState struct {
	// Configuration is that of the Request, or else of the Manager.
	Configuration *SSLConfiguration
	// ConnectionState is of the connection that carried the last hop: version, cipher
	// suite, ALPN, peer and verified chains, resumption, OCSP staple and SCTs. It is
	// empty for http and before the handshake; while SSLErrors are decided about, it
	// holds PeerCertificates only. VerifiedChains is empty if anything was ignored.
	tls.ConnectionState

	name string // that the server had to prove
}

// SSLConfiguration tells how the reply is encrypted (rule T10). What lies behind the
// pointers must not be changed.
func (r *Reply) SSLConfiguration() SSLState {
	s := SSLState{Configuration: r.m.sslConfiguration(&r.req)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tls != nil {
		s.ConnectionState = *r.tls
		if s.name = s.Configuration.profiles().config.ServerName; s.name == "" {
			s.name, _ = asciiHost(r.url.Hostname())
		}
	}
	return s
}

// SessionTicket packs the newest session with the server, nil if it gave none, which
// under TLS 1.3 may be so until the response has come. SSLConfiguration.SessionTicket
// takes it. It holds the keys of the session: whoever has it reads along, and can be the
// server. A session for which something was ignored is not given away.
func (s SSLState) SessionTicket() []byte {
	if len(s.VerifiedChains) == 0 {
		return nil
	}
	return s.Configuration.profiles().pool.ticket(s.name)
}

// sslConfiguration is the one that a request has.
func (m *Manager) sslConfiguration(q *Request) *SSLConfiguration {
	if q.SSLConfiguration != nil {
		return q.SSLConfiguration
	}
	return m.cfg.SSLConfiguration
}

// profile is the encryption of the next exchange with a host.
func (r *Reply) profile(host string) *wire.Profile {
	p := r.m.sslConfiguration(&r.req).profiles()
	switch {
	case r.m.strict(host):
		if p.from.PeerVerifyMode == VerifyNone || p.from.PeerVerifyMode == QueryPeer {
			return p.held()
		}
		return p.strict
	case r.exception != nil:
		return r.exception
	case len(r.req.IgnoreSSLErrors) > 0:
		return p.ignoring(r.req.IgnoreSSLErrors)
	case r.req.IgnoreAllSSLErrors:
		return p.ignoring(nil)
	}
	return p.strict
}

// strict tells that a host is known to want TLS without any flaw (rules T6 and K10).
func (m *Manager) strict(host string) bool { return m.cfg.HSTS != nil && m.cfg.HSTS.Known(host) }

// held is the profile for a host that is known to want TLS, where the configuration
// itself is lenient.
func (p *profiles) held() *wire.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	const key = "strict"
	if p.lenient[key] == nil {
		if p.lenient == nil {
			p.lenient = map[string]*wire.Profile{}
		}
		cfg := p.config.Clone()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
		p.lenient[key] = p.profile(cfg)
	}
	return p.lenient[key]
}
