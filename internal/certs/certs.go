// Package certs finds all flaws of a certificate chain, where crypto/x509 stops at the
// first. It checks a chain in the order of OpenSSL, and therefore of Qt: the name, the path
// to a root, extensions, strength, and then validity and signatures from the root down.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Code is a kind of flaw, with Qt's numbers (rule T20).
type Code int

const (
	Unspecified         Code = -1
	SignatureFailed     Code = 4
	NotYetValid         Code = 5
	Expired             Code = 6
	SelfSigned          Code = 9
	SelfSignedInChain   Code = 10
	NoLocalIssuer       Code = 11
	UnverifiedFirst     Code = 12
	InvalidCA           Code = 14
	PathLengthExceeded  Code = 15
	InvalidPurpose      Code = 16
	CertificateRejected Code = 18
	NoPeerCertificate   Code = 21
	HostNameMismatch    Code = 22
)

// Problem is one flaw of one certificate.
type Problem struct {
	Code Code
	Cert *x509.Certificate // nil for NoPeerCertificate
}

// Equal implements rule T5.
func (p Problem) Equal(o Problem) bool {
	return p.Code == o.Code && (p.Cert == nil && o.Cert == nil || p.Cert != nil && o.Cert != nil && p.Cert.Equal(o.Cert))
}

// Failure is a chain that was not accepted.
type Failure struct {
	Name     string              // the required name
	Chain    []*x509.Certificate // as sent by the server
	Problems []Problem           // at least one
	Err      error               // of crypto/x509, nil if it found no error
}

func (e *Failure) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("the certificate was not accepted: %d problems", len(e.Problems))
}

func (e *Failure) Unwrap() error { return e.Err }

// Options are the requirements for a chain.
type Options struct {
	Name  string         // host name; "" is not checked
	Roots *x509.CertPool // nil means the system's
	Depth int            // certificates allowed between the leaf and the root; 0 means any number
	Time  time.Time      // zero means now
}

// explain returns the flaws of a chain that crypto/x509 refused with err.
func explain(err error, chain []*x509.Certificate, o Options) *Failure {
	f := &Failure{Name: o.Name, Chain: chain, Problems: verify(chain, o), Err: err}
	if len(f.Problems) == 0 { // crypto/x509 found a flaw that this package does not check
		f.Problems = []Problem{translate(err, chain)}
	}
	return f
}

// Check verifies a chain like crypto/tls, and also requires strong keys and signatures, a
// key usage for TLS, and the maximum depth. It returns the chains to trusted roots, or all
// flaws.
func Check(chain []*x509.Certificate, o Options) ([][]*x509.Certificate, *Failure) {
	if len(chain) == 0 {
		return nil, &Failure{Name: o.Name, Problems: verify(chain, o)}
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{DNSName: o.Name, Roots: o.Roots, Intermediates: intermediates, CurrentTime: o.Time})
	if err != nil {
		return nil, explain(err, chain, o)
	}
	if problems := extraFlaws(chains, o); len(problems) > 0 {
		return nil, &Failure{Name: o.Name, Chain: chain, Problems: problems}
	}
	return chains, nil
}

// Supervise makes cfg, which it changes, verify servers with Check, because crypto/tls
// stops at the first flaw and cannot continue. decide is called with the result on every
// handshake, including resumed ones. If it returns nil, the original functions of cfg are
// called as crypto/tls would have done.
func Supervise(cfg *tls.Config, depth int, decide func(tls.ConnectionState, [][]*x509.Certificate, *Failure) error) {
	peer, further := cfg.VerifyPeerCertificate, cfg.VerifyConnection
	check := func(state tls.ConnectionState, name string) ([][]*x509.Certificate, *Failure) {
		o := Options{Name: name, Roots: cfg.RootCAs, Depth: depth}
		if cfg.Time != nil {
			o.Time = cfg.Time()
		}
		return Check(state.PeerCertificates, o)
	}
	cfg.InsecureSkipVerify = true
	cfg.VerifyPeerCertificate = nil
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		chains, f := check(state, cfg.ServerName)
		if err := decide(state, chains, f); err != nil {
			return err
		}
		if peer != nil && !state.DidResume {
			var raw [][]byte
			for _, c := range state.PeerCertificates {
				raw = append(raw, c.Raw)
			}
			if err := peer(raw, chains); err != nil {
				return err
			}
		}
		if state.VerifiedChains = chains; further != nil {
			return further(state)
		}
		return nil
	}
	if cfg.EncryptedClientHelloConfigList != nil && cfg.EncryptedClientHelloRejectionVerify == nil {
		cfg.EncryptedClientHelloRejectionVerify = func(state tls.ConnectionState) error {
			if _, f := check(state, state.ServerName); f != nil {
				return f
			}
			return nil
		}
	}
}

// verify returns all flaws of the chain that a server sent.
func verify(chain []*x509.Certificate, o Options) []Problem {
	if len(chain) == 0 {
		return []Problem{{NoPeerCertificate, nil}}
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	v := verifier{Options: o}
	leaf := chain[0]
	if o.Name != "" && leaf.VerifyHostname(o.Name) != nil {
		v.add(HostNameMismatch, leaf)
	}
	v.build(chain)
	v.extensions()
	v.constraints()
	v.strength()
	if v.missing && len(v.path) == 1 {
		v.add(UnverifiedFirst, leaf)
	}
	v.signatures()
	return v.problems
}

// extraFlaws returns the flaws of accepted chains that crypto/x509 does not check. It is enough
// that one of the chains has none.
func extraFlaws(chains [][]*x509.Certificate, o Options) []Problem {
	var first []Problem
	for i, path := range chains {
		v := verifier{Options: o, path: path}
		v.depth()
		v.leafUsage()
		v.strength()
		if len(v.problems) == 0 {
			return nil
		}
		if i == 0 {
			first = v.problems
		}
	}
	return first
}

// verifier checks one path.
type verifier struct {
	Options
	problems []Problem
	path     []*x509.Certificate // the leaf first; the last is a root unless untrusted
	// How the path ends without a trusted root: the issuer of its last certificate is
	// unknown, or that is self-signed.
	missing, selfSigned bool
	checks              int // number of signature checks, see maxChecks
}

func (v *verifier) add(code Code, c *x509.Certificate) {
	if p := (Problem{code, c}); !slices.ContainsFunc(v.problems, p.Equal) {
		v.problems = append(v.problems, p)
	}
}

func (v *verifier) depth() {
	if between := len(v.path) - 2; v.Depth > 0 && between > v.Depth {
		v.add(PathLengthExceeded, v.path[v.Depth+1])
	}
}

// extensions checks the purpose of each certificate.
func (v *verifier) extensions() {
	below := 0 // intermediates that are not self-issued
	for i, c := range v.path {
		if len(c.UnhandledCriticalExtensions) > 0 {
			v.add(Unspecified, c)
		}
		if i == 0 {
			v.leafUsage()
			if !forServers(c) {
				v.add(InvalidPurpose, c)
			}
			continue
		}
		ca := c.Version < 3 && i == len(v.path)-1 || c.BasicConstraintsValid && c.IsCA && !withoutCertSign(c)
		if !ca {
			v.add(InvalidCA, c)
		}
		if !ca || !forServers(c) {
			v.add(InvalidPurpose, c)
		}
		if limited := c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero; limited && below > c.MaxPathLen {
			v.add(PathLengthExceeded, c)
		}
		if !bytes.Equal(c.RawSubject, c.RawIssuer) {
			below++
		}
	}
}

func withoutCertSign(c *x509.Certificate) bool {
	return c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0
}

func (v *verifier) leafUsage() {
	const forTLS = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
	if leaf := v.path[0]; leaf.KeyUsage != 0 && leaf.KeyUsage&forTLS == 0 {
		v.add(InvalidPurpose, leaf)
	}
}

func forServers(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	})
}

// constraints checks the name constraints of the issuers.
func (v *verifier) constraints() {
	if len(v.path) == 1 {
		return
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for i, c := range v.path[1:] {
		if i == len(v.path)-2 {
			roots.AddCert(permissive(c))
		} else {
			intermediates.AddCert(permissive(c))
		}
	}
	_, err := permissive(v.path[0]).Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: v.Time,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if p := translate(err, v.path); p.Code == CertificateRejected {
			v.add(p.Code, p.Cert)
		}
	}
}

// strength requires keys and signatures of at least 112 bits (NIST SP 800-57, OpenSSL's
// security level 2). The signature of a root is not checked.
func (v *verifier) strength() {
	for i, c := range v.path {
		if weakKey(c) != "" || i < len(v.path)-1 && weakSignature(c) {
			v.add(Unspecified, c)
		}
	}
}

// signatures checks signatures and validity, from the root down.
func (v *verifier) signatures() {
	for i := len(v.path) - 1; i >= 0; i-- {
		c := v.path[i]
		if i < len(v.path)-1 {
			issuer := v.path[i+1]
			if withoutCertSign(issuer) {
				v.add(Unspecified, issuer)
			}
			if !signedBy(c, issuer) {
				v.add(SignatureFailed, c)
			}
		}
		switch {
		case v.Time.Before(c.NotBefore):
			v.add(NotYetValid, c)
		case v.Time.After(c.NotAfter):
			v.add(Expired, c)
		}
	}
}

// translate returns the code of an error of crypto/x509 (rule T21).
func translate(err error, chain []*x509.Certificate) Problem {
	p := Problem{Unspecified, nil}
	if len(chain) > 0 {
		p.Cert = chain[0]
	}
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		p.Code = HostNameMismatch
	case errors.As(err, &unknown):
		p.Code = NoLocalIssuer
	case errors.As(err, &invalid):
		if invalid.Cert != nil {
			p.Cert = invalid.Cert
		}
		switch invalid.Reason {
		case x509.Expired:
			p.Code = Expired
		case x509.NotAuthorizedToSign:
			p.Code = InvalidCA
		case x509.TooManyIntermediates:
			p.Code = PathLengthExceeded
		case x509.IncompatibleUsage:
			p.Code = InvalidPurpose
		case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage, x509.NameConstraintsWithoutSANs,
			x509.UnconstrainedName, x509.TooManyConstraints:
			p.Code = CertificateRejected
		}
	}
	return p
}
