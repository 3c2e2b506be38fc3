package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"time"
)

// maxPath bounds the length of a path. Real paths have two to five certificates, but a
// server may send many more, each with signatures to check.
const maxPath = 32

// maxChecks bounds the signature checks for choosing among issuers with the same name, as
// crypto/x509 does.
const maxChecks = 100

// Signed returns the path from a leaf towards a root, as far as each certificate is signed
// by the next one and that is a CA. Other certificates that the server sent are not
// included. Names, times and purposes are not checked.
func Signed(chain []*x509.Certificate, o Options) []*x509.Certificate {
	if len(chain) == 0 {
		return nil
	}
	v := verifier{Options: o}
	v.build(chain)
	for i, issuer := range v.path[1:] {
		if c := v.path[i]; !issuer.BasicConstraintsValid || !issuer.IsCA || c.CheckSignatureFrom(issuer) != nil {
			return v.path[:i+1]
		}
	}
	return v.path
}

// build builds the path from issuer to issuer, and prefers trusted ones.
func (v *verifier) build(chain []*x509.Certificate) {
	v.path = []*x509.Certificate{chain[0]}
	rest := slices.Clone(chain[1:])
	for {
		last := v.path[len(v.path)-1]
		if root := v.root(last); root != nil {
			if !root.Equal(last) {
				v.path = append(v.path, root)
			}
			v.depth()
			return
		}
		if selfSigned(last) {
			v.selfSigned = true
			if len(v.path) == 1 {
				v.add(SelfSigned, last)
			} else {
				v.add(SelfSignedInChain, last)
			}
			return
		}
		if len(v.path) == maxPath {
			v.add(PathLengthExceeded, last)
			return
		}
		i := v.issuer(rest, last)
		if i < 0 {
			v.missing = true
			v.add(NoLocalIssuer, last)
			return
		}
		v.path = append(v.path, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
}

// permissive returns a copy of a certificate that x509 can reject only for its signature or
// name constraints.
func permissive(c *x509.Certificate) *x509.Certificate {
	n := *c
	n.NotBefore, n.NotAfter = time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	n.BasicConstraintsValid, n.IsCA, n.MaxPathLen, n.MaxPathLenZero = true, true, -1, false
	n.KeyUsage, n.ExtKeyUsage, n.UnknownExtKeyUsage = 0, nil, nil
	n.UnhandledCriticalExtensions = nil
	return &n
}

// root returns the trusted certificate that c names as its issuer, or c itself if it is
// trusted. The signature is checked later.
func (v *verifier) root(c *x509.Certificate) *x509.Certificate {
	chains, err := permissive(c).Verify(x509.VerifyOptions{Roots: v.Roots, CurrentTime: v.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		return chains[0][len(chains[0])-1]
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Cert != nil && !invalid.Cert.Equal(c) {
		return invalid.Cert // a root that has flaws itself
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		if root := candidate(unknown); root != nil && issued(root, c) && !selfSigned(c) {
			return root
		}
	}
	return nil
}

// candidate returns the trusted certificate that crypto/x509 has tried as an issuer and
// whose signature it did not accept, also because of SHA-1 or MD5; nil if there is none. It
// is in an unexported field, and a CertPool does not list its certificates.
func candidate(err x509.UnknownAuthorityError) *x509.Certificate {
	f := reflect.ValueOf(err).FieldByName("hintCert")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*x509.Certificate]() {
		return nil
	}
	return (*x509.Certificate)(f.UnsafePointer())
}

// issuer returns the index of the issuer of c in a list, -1 for none. Of several with the
// right name it prefers one that has signed c, and among these one that is not self-issued:
// if a CA has both a self-signed and a cross-signed certificate, the latter continues the
// path.
func (v *verifier) issuer(list []*x509.Certificate, c *x509.Certificate) int {
	named, signed := -1, -1
	for i, o := range list {
		if !issued(o, c) {
			continue
		}
		if named < 0 {
			named = i
		}
		if v.checks == maxChecks {
			break
		}
		v.checks++
		if !signedBy(c, o) {
			continue
		}
		if !bytes.Equal(o.RawSubject, o.RawIssuer) {
			return i
		}
		if signed < 0 {
			signed = i
		}
	}
	if signed >= 0 {
		return signed
	}
	return named
}

// issued reports whether c names issuer as its issuer.
func issued(issuer, c *x509.Certificate) bool {
	return bytes.Equal(issuer.RawSubject, c.RawIssuer) &&
		(len(issuer.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 || bytes.Equal(issuer.SubjectKeyId, c.AuthorityKeyId))
}

// signedBy reports whether the signature of c by issuer is valid. Weak algorithms, which
// crypto/x509 does not check, count as valid here; see strength.
func signedBy(c, issuer *x509.Certificate) bool {
	err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

func selfSigned(c *x509.Certificate) bool { return issued(c, c) && signedBy(c, c) }
