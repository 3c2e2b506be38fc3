package certs

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// maxNames and maxName bound the number of names in Names, and the length of each.
const (
	maxNames = 5
	maxName  = 64
)

// Names lists the first hosts of a certificate and the number of the others, as printable
// text.
func Names(c *x509.Certificate) string {
	total := len(c.DNSNames) + len(c.IPAddresses)
	if total == 0 {
		return "no host"
	}
	list := make([]string, 0, maxNames+1)
	for _, name := range c.DNSNames[:min(maxNames, len(c.DNSNames))] {
		list = append(list, Printable(name))
	}
	for _, ip := range c.IPAddresses[:min(maxNames-len(list), len(c.IPAddresses))] {
		list = append(list, net.IP(ip).String())
	}
	if more := total - len(list); more > 0 {
		list = append(list, strconv.Itoa(more)+" more")
	}
	return strings.Join(list, ", ")
}

// Printable returns a name in printable ASCII, shortened if it is long.
func Printable(name string) string {
	if len(name) > maxName {
		name = name[:maxName] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
}

// Weakness describes the requirement of rule T20 that a certificate does not meet, "" if it
// meets all that can be checked without its chain.
func Weakness(c *x509.Certificate) string {
	if weak := weakKey(c); weak != "" {
		return weak
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		return "it has an unknown critical extension"
	}
	switch {
	case !weakSignature(c):
		return ""
	case c.SignatureAlgorithm == x509.UnknownSignatureAlgorithm:
		return "it is signed with an unknown algorithm"
	}
	return "it is signed with " + c.SignatureAlgorithm.String()
}

// weakKey describes a key of less than 112 bits of security, "" for other keys.
func weakKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 {
			return fmt.Sprintf("its RSA key has %d bits, 2048 are required", n)
		}
	case *ecdsa.PublicKey:
		if n := k.Curve.Params().BitSize; n < 224 {
			return fmt.Sprintf("its elliptic curve has %d bits, 224 are required", n)
		}
	}
	return ""
}

// weakSignature reports whether a certificate is signed with a weak or unknown algorithm.
func weakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.UnknownSignatureAlgorithm:
		return true
	}
	return false
}
