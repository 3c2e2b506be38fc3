package netreplytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// flaw is what is wrong with a certificate.
type flaw int

const (
	flawless flaw = iota
	expired
	notYetValid
	wrongHost
	unknownIssuer
	selfSigned
)

// otherHost is the name in the certificate of WrongHost.
const otherHost = "other.example"

// authority is a certification authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var (
	// trusted is the authority that Config trusts, and stranger one that nobody does.
	trusted  = sync.OnceValue(func() *authority { return newAuthority("netreplytest CA") })
	stranger = sync.OnceValue(func() *authority { return newAuthority("netreplytest unknown CA") })
)

var serials atomic.Int64

// Certificates without a flaw are valid at the time of day and at that of a bubble of
// testing/synctest, which begins in the year 2000.
var (
	validFrom  = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the curve is known, and rand.Reader does not fail
	}
	return key
}

func newAuthority(name string) *authority {
	key := newKey()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a := &authority{key: key}
	a.cert = issue(template, key, nil)
	return a
}

// issue signs a certificate; a nil authority means that it signs itself.
func issue(template *x509.Certificate, key *ecdsa.PrivateKey, by *authority) *x509.Certificate {
	template.SerialNumber = big.NewInt(serials.Add(1))
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		panic(err) // templates and keys are of this file
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// leaf makes a certificate for a host. Times of a flaw are relative to now.
func (a *authority) leaf(host string, f flaw) *tls.Certificate {
	key := newKey()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: host},
		NotBefore: validFrom, NotAfter: validUntil,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	now := time.Now()
	switch f {
	case expired:
		template.NotAfter = now.Add(-time.Hour)
	case notYetValid:
		template.NotBefore = now.Add(24 * time.Hour)
	case wrongHost:
		host = otherHost
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if f == selfSigned {
		a = nil
	}
	cert := issue(template, key, a)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// certificates has the certificates that were made, each once: a server presents the same one
// on every connection.
type certificates struct {
	mu   sync.Mutex
	made map[certificateKey]*tls.Certificate
}

type certificateKey struct {
	host string
	flaw flaw
}

// flawlessOnes are the certificates of all servers without a flaw.
var flawlessOnes certificates

// of returns the certificate of a host.
func (c *certificates) of(host string, f flaw) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := certificateKey{host, f}
	if cert := c.made[key]; cert != nil {
		return cert
	}
	by := trusted()
	if f == unknownIssuer {
		by = stranger()
	}
	if c.made == nil {
		c.made = map[certificateKey]*tls.Certificate{}
	}
	c.made[key] = by.leaf(host, f)
	return c.made[key]
}

// rootCAs is a pool that contains the authority of all servers of this package.
func rootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(trusted().cert)
	return pool
}
