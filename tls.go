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

// PeerVerifyMode says what happens when a server's certificate has flaws.
type PeerVerifyMode int

const (
	// AutoVerifyPeer is VerifyPeer, as in Qt for clients.
	AutoVerifyPeer PeerVerifyMode = iota
	// VerifyNone accepts all flaws without reporting them (rule T8): anyone on the network
	// path can impersonate the server. Pins are checked nevertheless.
	VerifyNone
	// QueryPeer accepts all flaws and reports them by SSLErrors.
	QueryPeer
	// VerifyPeer fails the reply unless all flaws are ignored.
	VerifyPeer
)

// SSLConfiguration is the TLS configuration of connections (Qt: QSslConfiguration). Its
// zero value means TLS 1.2 or newer, the roots of the system and VerifyPeer.
//
// Sending a request copies it, so that it can be changed and used again at once. Requests
// share connections and TLS sessions only if their configurations are equal, and responses of a
// cache only if these trust the same servers and have the same identity. Certificates,
// pools of certificates and private keys of the standard library are compared by content.
// Functions, pools that hold certificates with constraints, and interfaces such as KeyLog
// and PSK are compared by identity, interfaces that hold no pointer by ==. A program that
// makes a new configuration for every request should therefore put the same functions and
// pools into each. A Manager keeps the 256 configurations that were used most recently.
type SSLConfiguration struct {
	// TLS holds the settings of crypto/tls for which there is no field below; the fields
	// below take precedence. With its InsecureSkipVerify nothing is verified or reported,
	// except for hosts with an HSTS policy (Config.HSTS). Its ClientSessionCache is not
	// used.
	TLS *tls.Config
	// MinProtocol and MaxProtocol are versions such as tls.VersionTLS13; 0 means TLS 1.2
	// and the newest version.
	MinProtocol, MaxProtocol uint16
	// Ciphers are the allowed cipher suites of TLS 1.2. Those of TLS 1.3 cannot be
	// configured in Go.
	Ciphers []uint16
	// Curves are the allowed key exchange mechanisms.
	Curves []tls.CurveID
	// RootCAs replaces the roots of the system; AddedCAs are trusted in addition.
	RootCAs  *x509.CertPool
	AddedCAs []*x509.Certificate
	// Certificates are client certificates; one whose issuer the server accepts is sent on
	// request. They, ClientCertificate and PSK are used for the origin of the request only,
	// not for other origins after a redirect (D11).
	Certificates []tls.Certificate
	// ClientCertificate chooses the client certificate instead. An empty certificate means
	// none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// ALPN replaces the offered protocols, h2 and http/1.1.
	ALPN []string
	// PeerVerifyMode says what happens when the server's certificate has flaws.
	PeerVerifyMode PeerVerifyMode
	// PeerVerifyDepth is the maximum number of certificates between the server's
	// certificate and the root; 0 means any number.
	PeerVerifyDepth int
	// PeerVerifyName is used instead of the URL's host for verification and SNI (rule T13).
	PeerVerifyName string
	// SessionTicket resumes an earlier session; see SSLState.SessionTicket.
	SessionTicket []byte
	// KeyLog receives the keys of all connections, in NSS key log format, for tools that
	// decrypt captured traffic. Anyone who has them can read everything.
	KeyLog io.Writer
	// Pins are public keys of which the server's verified chain must contain at least one;
	// otherwise the reply fails with a *PinError, whatever flaws are ignored (RFC 7469,
	// section 2.6). If the chain is not verified because flaws are ignored, the pinned key
	// must be that of the server's certificate or of a CA that has signed it, directly or
	// by intermediates. Other certificates that the server sends do not count (rule T30).
	Pins []PublicKeyPin
	// PSK makes handshakes with a pre-shared key instead of certificates; see
	// PreSharedKeyAuthenticator. Requests with equal configurations share connections,
	// whichever of them was asked for the key: use a separate dialer for each identity, see
	// opensslpsk.Dialer.Label.
	PSK PSKDialer
}

// Equal reports whether requests with c and o share connections (Qt: operator==).
func (c *SSLConfiguration) Equal(o *SSLConfiguration) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.snapshot().equals(o)
}

// Clone returns a copy that can be changed; for nil, the zero value. The copy shares the
// pools of certificates, and values that are compared by identity.
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

// PinError is the cause of a reply that failed because the server's chain has none of the
// pinned keys.
type PinError struct {
	Chain []*x509.Certificate // as sent by the server
}

func (e *PinError) Error() string {
	return "none of the pinned keys is that of the server or of a CA in its certificate chain"
}

const noVersion = "must be a TLS version of package crypto/tls, such as tls.VersionTLS12"

// validate returns an error for the first invalid field; field is the prefix of its name.
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
			return bad("ALPN", p, "a protocol name must have 1 to 255 bytes")
		}
	}
	if len(c.SessionTicket) > 0 {
		if _, err := parseTicket(c.SessionTicket); err != nil {
			return bad("SessionTicket", "", err.Error())
		}
	}
	return nil
}

// SSLState is the TLS state of a reply: its configuration and the negotiated parameters.
type SSLState struct {
	// Configuration is a copy of the Request's or else the Manager's configuration.
	Configuration *SSLConfiguration
	// ConnectionState is that of the connection of the last hop. It is empty for http and
	// before the handshake; during a question about SSLErrors it contains only
	// PeerCertificates. VerifiedChains is empty if any flaw was ignored. Values that it
	// points to must not be changed.
	tls.ConnectionState

	addr     string    // of the server
	profiles *profiles // used for the connection
}

// SessionTicket returns the newest TLS session with the server, for
// SSLConfiguration.SessionTicket. It is nil if the server sent none, which for TLS 1.3 may
// be so until the response was received, and for a session with ignored flaws. It contains
// the keys of the session: anyone who has it can decrypt the traffic and impersonate the
// server.
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
