package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/conformance/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKinds: the flaws that Qt 6.4.2 finds for each kind of certificate, in its order. The
// recorded scenarios check most of these over connections, too.
func TestKinds(t *testing.T) {
	p, err := pki.New(t.TempDir())
	require.NoError(t, err)
	for kind, want := range map[string][]certs.Code{
		"valid":                  nil,
		"chain":                  nil,
		"dns-only":               {certs.HostNameMismatch},
		"wildcard":               {certs.HostNameMismatch},
		"wrong-host":             {certs.HostNameMismatch},
		"cn-only":                {certs.HostNameMismatch},
		"san-dns-is-ip":          {certs.HostNameMismatch},
		"self-signed":            {certs.SelfSigned},
		"self-signed-wrong-host": {certs.HostNameMismatch, certs.SelfSigned},
		"untrusted-root":         {certs.NoLocalIssuer, certs.UnverifiedFirst},
		"untrusted-root-sent":    {certs.SelfSignedInChain},
		"incomplete-chain":       {certs.NoLocalIssuer, certs.UnverifiedFirst},
		"expired":                {certs.Expired},
		"expired-ca":             {certs.Expired},
		"expired-wrong-host":     {certs.HostNameMismatch, certs.Expired},
		"not-yet-valid":          {certs.NotYetValid},
		"weak-rsa":               {certs.Unspecified},
		"client-purpose":         {certs.InvalidPurpose},
		"non-ca-issuer":          {certs.InvalidCA, certs.InvalidPurpose, certs.Unspecified},
	} {
		chain := parse(t, must(p.Cert(kind)))
		var got []certs.Code
		_, f := certs.Check(chain, certs.Options{Name: "127.0.0.1", Roots: p.Roots()})
		if f != nil {
			got = codes(f.Problems)
			require.NotEmpty(t, f.Error())
		}
		assert.Equal(t, want, got, kind)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func parse(t *testing.T, c tls.Certificate) (chain []*x509.Certificate) {
	for _, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		chain = append(chain, cert)
	}
	return chain
}

func codes(list []certs.Problem) (codes []certs.Code) {
	for _, p := range list {
		codes = append(codes, p.Code)
	}
	return codes
}

// TestChains: problems at every level of a chain, found independently of each other.
func TestChains(t *testing.T) {
	now := time.Now()
	old := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0) }
	future := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(1, 0, 0), now.AddDate(2, 0, 0) }
	type at struct {
		code  certs.Code
		level int // index in the chain, 0 for the leaf
	}
	for name, c := range map[string]struct {
		root, inter, leaf func(*x509.Certificate)
		damage            bool
		unsent            bool
		host              string
		depth             int
		want              []at
	}{
		"all is well":         {},
		"validity everywhere": {root: old, inter: old, leaf: future, want: []at{{certs.Expired, 2}, {certs.Expired, 1}, {certs.NotYetValid, 0}}},
		"an expired root":     {root: old, want: []at{{certs.Expired, 2}}},
		"a name, a purpose and a time": {host: "elsewhere.test", leaf: func(c *x509.Certificate) {
			old(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, want: []at{{certs.HostNameMismatch, 0}, {certs.InvalidPurpose, 0}, {certs.Expired, 0}}},
		"an issuer for clients":    {inter: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, want: []at{{certs.InvalidPurpose, 1}}},
		"an issuer without a name": {inter: func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"other.test"} }, want: []at{{certs.CertificateRejected, 0}}},
		"constraints and a time": {inter: func(c *x509.Certificate) { old(c); c.PermittedDNSDomains = []string{"other.test"} },
			want: []at{{certs.CertificateRejected, 0}, {certs.Expired, 1}}},
		"a path that is too long": {root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, want: []at{{certs.PathLengthExceeded, 2}}},
		"deeper than allowed":     {depth: 1, want: nil},
		"an issuer that must not sign": {inter: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign },
			want: []at{{certs.InvalidCA, 1}, {certs.InvalidPurpose, 1}, {certs.Unspecified, 1}}},
		"a damaged signature":  {damage: true, want: []at{{certs.SignatureFailed, 0}}},
		"a missing issuer":     {unsent: true, leaf: old, want: []at{{certs.NoLocalIssuer, 0}, {certs.UnverifiedFirst, 0}, {certs.Expired, 0}}},
		"a leaf not for TLS":   {leaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, want: []at{{certs.InvalidPurpose, 0}}},
		"an unknown extension": {leaf: critical, want: []at{{certs.Unspecified, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			root := make1(t, "root", nil, c.root)
			inter := make1(t, "inter", root, c.inter)
			leaf := make1(t, "leaf", inter, c.leaf)
			if c.damage {
				der := append([]byte(nil), leaf.cert.Raw...)
				der[len(der)-1] ^= 1
				leaf.cert = must(x509.ParseCertificate(der))
			}
			chain := []*x509.Certificate{leaf.cert, inter.cert}
			if c.unsent {
				chain = chain[:1]
			}
			roots := x509.NewCertPool()
			roots.AddCert(root.cert)
			host := c.host
			if host == "" {
				host = "host.test"
			}
			_, f := certs.Check(chain, certs.Options{Name: host, Roots: roots, Depth: c.depth})
			var want, got []certs.Problem
			for _, w := range c.want {
				want = append(want, certs.Problem{Code: w.code, Cert: []*x509.Certificate{leaf.cert, inter.cert, root.cert}[w.level]})
			}
			if f != nil {
				got = f.Problems
			}
			require.Equal(t, codes(want), codes(got))
			for i := range want {
				assert.True(t, want[i].Equal(got[i]), "%v is about %v", got[i].Code, got[i].Cert.Subject)
			}
		})
	}
}

// TestDepth: the number of certificates between leaf and root.
func TestDepth(t *testing.T) {
	root := make1(t, "root", nil, nil)
	one := make1(t, "one", root, nil)
	two := make1(t, "two", one, nil)
	leaf := make1(t, "leaf", two, nil)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	chain := []*x509.Certificate{leaf.cert, two.cert, one.cert}
	for depth, want := range map[int]bool{0: true, 1: false, 2: true, 9: true} {
		_, f := certs.Check(chain, certs.Options{Name: "host.test", Roots: roots, Depth: depth})
		require.Equal(t, want, f == nil, depth)
		if f != nil {
			require.True(t, f.Problems[0].Equal(certs.Problem{Code: certs.PathLengthExceeded, Cert: one.cert}))
		}
	}
}

func TestNoCertificate(t *testing.T) {
	_, f := certs.Check(nil, certs.Options{Name: "host.test"})
	require.Equal(t, []certs.Problem{{Code: certs.NoPeerCertificate}}, f.Problems)
	require.False(t, f.Problems[0].Equal(certs.Problem{Code: certs.NoPeerCertificate, Cert: make1(t, "x", nil, nil).cert}), "rule T5")
}

// TestCycle: two certificates that have signed each other.
func TestCycle(t *testing.T) {
	a := make1(t, "a", nil, nil)
	b := make1(t, "b", a, nil)
	again := make1(t, "a", b, nil)
	leaf := make1(t, "leaf", b, nil)
	_, f := certs.Check([]*x509.Certificate{leaf.cert, b.cert, again.cert, b.cert, again.cert},
		certs.Options{Name: "host.test", Roots: x509.NewCertPool()})
	require.NotNil(t, f)
	require.Contains(t, codes(f.Problems), certs.NoLocalIssuer)
}

// FuzzCheck: Check returns for any chain, and never accepts one without a path to a root.
func FuzzCheck(f *testing.F) {
	p, err := pki.New(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	for _, kind := range pki.Kinds {
		c := must(p.Cert(kind))
		second := c.Certificate[0]
		if len(c.Certificate) > 1 {
			second = c.Certificate[1]
		}
		f.Add(c.Certificate[0], second)
	}
	roots := p.Roots()
	f.Fuzz(func(t *testing.T, leaf, issuer []byte) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{leaf, issuer} {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
		for _, pool := range []*x509.CertPool{roots, x509.NewCertPool()} {
			chains, bad := certs.Check(chain, certs.Options{Name: "127.0.0.1", Roots: pool})
			if bad == nil && (pool != roots || len(chains) == 0) || bad != nil && len(bad.Problems) == 0 {
				t.Fatalf("%v %v", chains, bad)
			}
		}
	})
}
