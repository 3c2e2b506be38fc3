package netreply

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"slices"
	"strconv"

	"github.com/netreply/netreply/internal/httpurl"
)

// PeerVerifyMode says what becomes of a server whose certificate is not in order.
type PeerVerifyMode int

const (
	// AutoVerifyPeer is VerifyPeer, as Qt has it for clients.
	AutoVerifyPeer PeerVerifyMode = iota
	// VerifyNone goes on whatever is wrong, and tells nobody (rule T8): whoever is on the
	// way can be the server. Pins count all the same.
	VerifyNone
	// QueryPeer goes on, too, and reports by SSLErrors what is wrong.
	QueryPeer
	// VerifyPeer fails the reply, unless what is wrong is ignored.
	VerifyPeer
)

// SSLConfiguration says how connections are encrypted (Qt: QSslConfiguration). Its zero
// value stands for TLS 1.2 or newer, the roots of the system and VerifyPeer.
//
// It is a value: sending a request copies it, so that it can be changed and sent again at
// once. Requests share connections and sessions where their configurations are equal, and
// never otherwise. Certificates and pools of them are compared by what they hold, and so are
// private keys of the standard library. Functions and other interfaces, KeyLog and PSK among
// them, are compared by identity, or as == does where they hold no pointer, and so are
// pools that hold certificates with constraints: a program that makes a configuration anew for
// every request uses the same ones. A Manager remembers the 256 configurations that were used
// last.
type SSLConfiguration struct {
	// TLS is what crypto/tls knows besides the fields below, which count before it. With
	// its InsecureSkipVerify nothing is verified and nothing reported, except for hosts
	// that are known to want TLS (Config.HSTS). Its
	// ClientSessionCache is not used: sessions are never shared.
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
	// They, ClientCertificate and PSK are for the origin of a request, and not for
	// another one that it is redirected to (D11).
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
	// SessionTicket resumes a session with the server it is of, see
	// SSLState.SessionTicket.
	SessionTicket []byte
	// KeyLog is written the keys of all connections, in the format of NSS, for tools that
	// decipher a recording. Who has them reads everything.
	KeyLog io.Writer
	// Pins are public keys one of which must be in the server's verified chain: without,
	// the reply fails with a *PinError whatever is ignored (RFC 7469, section 2.6). Where
	// the chain is not verified, because that is ignored, a key counts that is the
	// server's own, or of a CA from which signatures lead down to the server's
	// certificate; what a server merely sends along proves nothing (rule T30).
	Pins []PublicKeyPin
	// PSK shakes hands with a pre-shared key instead of certificates; see
	// PreSharedKeyAuthenticator. Requests with equal configurations share connections,
	// whichever of them was asked for the key: each identity needs a dialer of its own,
	// see opensslpsk.Dialer.Label.
	PSK PSKDialer
}

// Equal reports whether requests with both share connections (Qt: operator==).
func (c *SSLConfiguration) Equal(o *SSLConfiguration) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.snapshot().equals(o)
}

// Clone returns a copy that can be changed; of nil, the zero value. It shares the pools of
// certificates, and what is compared by identity.
func (c *SSLConfiguration) Clone() *SSLConfiguration {
	if c == nil {
		return &SSLConfiguration{}
	}
	return &SSLConfiguration{TLS: cloneTLS(c.TLS), MinProtocol: c.MinProtocol, MaxProtocol: c.MaxProtocol, Ciphers: slices.Clone(c.Ciphers),
		Curves: slices.Clone(c.Curves), RootCAs: c.RootCAs, AddedCAs: slices.Clone(c.AddedCAs), Certificates: slices.Clone(c.Certificates),
		ClientCertificate: c.ClientCertificate, ALPN: slices.Clone(c.ALPN), PeerVerifyMode: c.PeerVerifyMode, PeerVerifyDepth: c.PeerVerifyDepth,
		PeerVerifyName: c.PeerVerifyName, SessionTicket: slices.Clone(c.SessionTicket), KeyLog: c.KeyLog, Pins: slices.Clone(c.Pins), PSK: c.PSK}
}

// PublicKeyPin is the SHA-256 of a public key (RFC 7469, section 2.4).
type PublicKeyPin [sha256.Size]byte

// PinOf is the pin of a certificate's key.
func PinOf(c *x509.Certificate) PublicKeyPin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// PinError tells that a server's chain has none of the keys it was pinned to.
type PinError struct {
	Chain []*x509.Certificate // as the server sent it
}

func (e *PinError) Error() string {
	return "none of the pinned keys is that of the server or of a CA in its certificate chain"
}

const noVersion = "must be a version of TLS that Go has, such as tls.VersionTLS12"

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
		return bad("MinProtocol", strconv.Itoa(int(c.MinProtocol)), noVersion)
	case !known(c.MaxProtocol):
		return bad("MaxProtocol", strconv.Itoa(int(c.MaxProtocol)), noVersion)
	case c.MaxProtocol != 0 && max(c.MinProtocol, tls.VersionTLS10) > c.MaxProtocol:
		return bad("MinProtocol", tls.VersionName(c.MinProtocol), "must not be above MaxProtocol")
	case c.PeerVerifyMode < AutoVerifyPeer || c.PeerVerifyMode > VerifyPeer:
		return bad("PeerVerifyMode", strconv.Itoa(int(c.PeerVerifyMode)), noConstant+"PeerVerifyMode")
	case c.PeerVerifyDepth < 0:
		return bad("PeerVerifyDepth", strconv.Itoa(c.PeerVerifyDepth), "must not be negative")
	case c.PeerVerifyName != "" && httpurl.CheckHost(c.PeerVerifyName) != "":
		return bad("PeerVerifyName", c.PeerVerifyName, httpurl.CheckHost(c.PeerVerifyName))
	case c.PSK != nil && len(c.Pins) > 0:
		return bad("Pins", "", "must be empty: with a pre-shared key there is no certificate to pin")
	case slices.Contains(c.AddedCAs, nil):
		return bad("AddedCAs", "", "must not contain nil")
	}
	for _, id := range c.Ciphers {
		if !suite(id) {
			return bad("Ciphers", tls.CipherSuiteName(id), "must be one of tls.CipherSuites or tls.InsecureCipherSuites")
		}
	}
	for _, p := range c.ALPN {
		if p == "" || len(p) > 255 {
			return bad("ALPN", p, "a protocol name has 1 to 255 bytes")
		}
	}
	if len(c.SessionTicket) > 0 {
		if _, err := parseTicket(c.SessionTicket); err != nil {
			return bad("SessionTicket", "", err.Error())
		}
	}
	return nil
}

// SSLState is the encryption of a reply: what was wished for and what has come of it.
type SSLState struct {
	// Configuration is a copy of that of the Request, or else of the Manager.
	Configuration *SSLConfiguration
	// ConnectionState is of the connection that carried the last hop: version, cipher
	// suite, ALPN, peer and verified chains, resumption, OCSP staple and SCTs. It is
	// empty for http and before the handshake; while SSLErrors are decided about, it
	// holds PeerCertificates only. VerifiedChains is empty if anything was ignored. What
	// its pointers lead to must not be changed.
	tls.ConnectionState

	addr     string    // of the server
	profiles *profiles // that were used
}

// SessionTicket packs the newest session with the server, nil if it gave none, which
// under TLS 1.3 may be so until the response has come. SSLConfiguration.SessionTicket
// takes it. It holds the keys of the session: whoever has it reads along, and can be the
// server. A session for which something was ignored is not given away.
func (s SSLState) SessionTicket() []byte {
	if len(s.VerifiedChains) == 0 || s.profiles == nil {
		return nil
	}
	return s.profiles.pool.ticket(s.addr)
}

// String returns the name of the constant.
func (m PeerVerifyMode) String() string {
	return nameOf("PeerVerifyMode", int(m), "AutoVerifyPeer", "VerifyNone", "QueryPeer", "VerifyPeer")
}

// LogValue is what log/slog prints: the same as String.
func (m PeerVerifyMode) LogValue() slog.Value { return slog.StringValue(m.String()) }
