package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type node struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// make1 makes a certificate signed by an issuer or self-signed; "leaf" is a leaf for
// host.test.
func make1(t *testing.T, name string, issuer *node, change func(*x509.Certificate)) *node {
	t.Helper()
	return makeWith(t, name, issuer, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), change)
}

// makeWith is make1 with a given key.
func makeWith(t *testing.T, name string, issuer *node, key crypto.Signer, change func(*x509.Certificate)) *node {
	t.Helper()
	c := &x509.Certificate{SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), BasicConstraintsValid: true}
	if name == "leaf" {
		c.DNSNames, c.KeyUsage = []string{"host.test"}, x509.KeyUsageDigitalSignature
	} else {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	}
	if change != nil {
		change(c)
	}
	parent, by := c, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	require.NoError(t, err)
	return &node{must(x509.ParseCertificate(der)), key}
}

func critical(c *x509.Certificate) {
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
}
