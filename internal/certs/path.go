package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"time"
)

// maxPath bounds the path from a leaf to its root. Real ones have two to five
// certificates; a server may send a thousand, each with signatures to check.
const maxPath = 32

// maxChecks bounds the signatures that are checked to tell issuers of one name apart, as
// crypto/x509 bounds its own.
const maxChecks = 100

// Signed is the path from a leaf towards a root, as far as each certificate is signed by
// the next one, which is a CA: whoever is in it has vouched for the leaf. What a server
// merely sent along is not. Names, times and purposes are not looked at.
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

// build goes from issuer to issuer, trusted ones first.
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

// anything is a copy of a certificate that only its signature and its name
// constraints can speak against.
func anything(c *x509.Certificate) *x509.Certificate {
	n := *c
	n.NotBefore, n.NotAfter = time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	n.BasicConstraintsValid, n.IsCA, n.MaxPathLen, n.MaxPathLenZero = true, true, -1, false
	n.KeyUsage, n.ExtKeyUsage, n.UnknownExtKeyUsage = 0, nil, nil
	n.UnhandledCriticalExtensions = nil
	return &n
}

// root finds the trusted certificate that c names as its issuer, or c itself if it is
// trusted. Whether the signature is good, and good enough, is seen later.
func (v *verifier) root(c *x509.Certificate) *x509.Certificate {
	chains, err := anything(c).Verify(x509.VerifyOptions{Roots: v.Roots, CurrentTime: v.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		return chains[0][len(chains[0])-1]
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Cert != nil && !invalid.Cert.Equal(c) {
		return invalid.Cert // there is one, with flaws of its own
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		if root := candidate(unknown); root != nil && issued(root, c) && !selfSigned(c) {
			return root
		}
	}
	return nil
}

// candidate is the trusted certificate that crypto/x509 has tried as an issuer, and whose
// signature it did not accept, SHA-1 and MD5 included; nil when there is none. It tells
// of it in words only, and a CertPool does not list what is in it.
func candidate(err x509.UnknownAuthorityError) *x509.Certificate {
	f := reflect.ValueOf(err).FieldByName("hintCert")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*x509.Certificate]() {
		return nil
	}
	return (*x509.Certificate)(f.UnsafePointer())
}

// issuer finds what has signed c in a list, -1 for nothing. Of several that c names, one
// whose signature it is goes first, and among these one that has an issuer itself: where
// a CA has certificates from itself and from another one, that one leads further.
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

// issued tells whether c names issuer as what has signed it.
func issued(issuer, c *x509.Certificate) bool {
	return bytes.Equal(issuer.RawSubject, c.RawIssuer) &&
		(len(issuer.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 || bytes.Equal(issuer.SubjectKeyId, c.AuthorityKeyId))
}

// signedBy tells whether nothing speaks against the signature of c by issuer: those that
// are too weak to prove anything are not even checked.
func signedBy(c, issuer *x509.Certificate) bool {
	err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

func selfSigned(c *x509.Certificate) bool { return issued(c, c) && signedBy(c, c) }
