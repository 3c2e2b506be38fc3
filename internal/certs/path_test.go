package certs_test

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/certs"
)

// rsaKeys are the keys of issue, by the name of the certificate; they are slow to generate.
var rsaKeys sync.Map

// issue makes a certificate with an RSA key, signed with SHA-256, SHA-1 or MD5.
func issue(t *testing.T, name string, issuer *node, hash crypto.Hash) *node {
	t.Helper()
	made, _ := rsaKeys.LoadOrStore(name, sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }))
	key := made.(func() *rsa.PrivateKey)()
	n := makeWith(t, name, issuer, key, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA256WithRSA })
	if hash == crypto.SHA256 {
		return n
	}
	// crypto/x509 does not sign with MD5: the algorithm identifiers differ only in the last
	// byte
	was := must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}))
	is := bytes.Clone(was)
	is[len(is)-1] = map[crypto.Hash]byte{crypto.MD5: 4, crypto.SHA1: 5}[hash]
	var whole struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	_, err := asn1.Unmarshal(bytes.ReplaceAll(n.cert.Raw, was, is), &whole)
	require.NoError(t, err)
	var sum []byte
	if hash == crypto.MD5 {
		s := md5.Sum(whole.TBS.FullBytes)
		sum = s[:]
	} else {
		s := sha1.Sum(whole.TBS.FullBytes)
		sum = s[:]
	}
	by := key
	if issuer != nil {
		by = issuer.key.(*rsa.PrivateKey)
	}
	whole.Signature.Bytes = must(rsa.SignPKCS1v15(rand.Reader, by, hash, sum))
	n.cert = must(x509.ParseCertificate(must(asn1.Marshal(whole))))
	return n
}

func pool(list ...*node) *x509.CertPool {
	p := x509.NewCertPool()
	for _, n := range list {
		p.AddCert(n.cert)
	}
	return p
}

func sent(list ...*node) (chain []*x509.Certificate) {
	for _, n := range list {
		chain = append(chain, n.cert)
	}
	return chain
}

// TestWeakSignatures: a signature with SHA-1 or MD5 is the only flaw, at any position below
// the root. The signature of the root is ignored.
func TestWeakSignatures(t *testing.T) {
	const good = crypto.SHA256
	for _, weak := range []crypto.Hash{crypto.SHA1, crypto.MD5} {
		for name, c := range map[string]struct {
			root, first, second, leaf crypto.Hash
			want                      []int // indexes, the leaf is 0
		}{
			"root":                   {root: weak, first: good, second: good, leaf: good},
			"below the root":         {root: good, first: weak, second: good, leaf: good, want: []int{2}},
			"below an intermediate":  {root: good, first: good, second: weak, leaf: good, want: []int{1}},
			"leaf":                   {root: good, first: good, second: good, leaf: weak, want: []int{0}},
			"everywhere":             {root: weak, first: weak, second: weak, leaf: weak, want: []int{0, 1, 2}},
			"leaf below the root":    {root: good, leaf: weak, want: []int{0}},
			"only one intermediate":  {root: good, first: weak, leaf: good, want: []int{1}},
			"both, one intermediate": {root: good, first: weak, leaf: weak, want: []int{0, 1}},
		} {
			t.Run(fmt.Sprint(weak, "/", name), func(t *testing.T) {
				t.Parallel()
				root := issue(t, "root", nil, c.root)
				chain := []*node{root}
				for i, hash := range []crypto.Hash{c.first, c.second, c.leaf} {
					if hash != 0 {
						chain = append([]*node{issue(t, []string{"first", "second", "leaf"}[i], chain[0], hash)}, chain...)
					}
				}
				chain = chain[:len(chain)-1]
				for _, with := range [][]*node{chain, append(chain[:len(chain):len(chain)], root)} {
					_, f := certs.Check(sent(with...), certs.Options{Name: "host.test", Roots: pool(root)})
					var got, want []certs.Problem
					if f != nil {
						got = f.Problems
					}
					for _, level := range c.want {
						want = append(want, certs.Problem{Code: certs.Unspecified, Cert: chain[level].cert})
					}
					assert.Equal(t, want, got)
					for _, p := range got {
						assert.Contains(t, certs.Weakness(p.Cert), "it is signed with "+weak.String()[:3])
					}
				}
			})
		}
	}
}

// TestDamagedBelowRoot: a root with the name and key id of the issuer is the issuer, and
// the signature is the flaw.
func TestDamagedBelowRoot(t *testing.T) {
	root := make1(t, "root", nil, nil)
	inter := make1(t, "inter", root, nil)
	leaf := make1(t, "leaf", inter, nil)
	der := bytes.Clone(inter.cert.Raw)
	der[len(der)-1] ^= 1
	damaged := &node{must(x509.ParseCertificate(der)), inter.key}
	_, f := certs.Check(sent(leaf, damaged), certs.Options{Name: "host.test", Roots: pool(root)})
	require.NotNil(t, f)
	require.Equal(t, []certs.Problem{{Code: certs.SignatureFailed, Cert: damaged.cert}}, f.Problems)
	require.Equal(t, sent(leaf, damaged), certs.Signed(sent(leaf, damaged), certs.Options{Roots: pool(root)}))

	_, f = certs.Check(sent(leaf, inter), certs.Options{Name: "host.test", Roots: pool(make1(t, "root", nil, nil))})
	require.NotNil(t, f)
	require.Equal(t, []certs.Code{certs.NoLocalIssuer}, codes(f.Problems), "of the same name, with another key")
}

// TestSelfSignedNamesake: a self-signed certificate is not treated as issued by a root of
// the same name.
func TestSelfSignedNamesake(t *testing.T) {
	bare := func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.BasicConstraintsValid = false, 0, false } // no key ids
	leaf := make1(t, "leaf", nil, bare)
	_, f := certs.Check(sent(leaf), certs.Options{Name: "host.test", Roots: pool(make1(t, "leaf", nil, bare))})
	require.NotNil(t, f)
	require.Equal(t, []certs.Code{certs.SelfSigned}, codes(f.Problems))
}

// TestCrossSigned: of a self-signed and a cross-signed certificate of a CA, the path
// continues with the latter.
func TestCrossSigned(t *testing.T) {
	root := make1(t, "root", nil, nil)
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	own := makeWith(t, "ca", nil, key, nil)
	cross := makeWith(t, "ca", root, key, nil)
	leaf := make1(t, "leaf", own, nil)
	for _, chain := range [][]*node{{leaf, own, cross}, {leaf, cross, own}} {
		_, f := certs.Check(sent(chain...), certs.Options{Name: "other.test", Roots: pool(root)})
		require.NotNil(t, f)
		require.Equal(t, []certs.Code{certs.HostNameMismatch}, codes(f.Problems))
		require.Equal(t, sent(leaf, cross, root), certs.Signed(sent(chain...), certs.Options{Roots: pool(root)}))
	}
}

// TestBounded: the number of signature checks is bounded for as many certificates as fit
// into a handshake.
func TestBounded(t *testing.T) {
	const n = 600
	long := []*node{make1(t, "ca", nil, nil)}
	for i := range n {
		name := fmt.Sprint("ca ", i)
		if i == n-1 {
			name = "leaf"
		}
		long = append([]*node{make1(t, name, long[0], nil)}, long...)
	}
	// all with the same name and different keys, none of them the issuer of the leaf
	bare := func(c *x509.Certificate) { c.SubjectKeyId, c.AuthorityKeyId = nil, nil }
	same := []*node{make1(t, "leaf", make1(t, "ca", nil, nil), bare)}
	same[0].cert.AuthorityKeyId = nil
	for range n {
		same = append(same, make1(t, "ca", make1(t, "ca", nil, nil), nil))
	}
	// two CAs that have signed each other repeatedly
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	pair := []*node{makeWith(t, "a", nil, key, nil), makeWith(t, "b", nil, key, nil)}
	web := []*node{make1(t, "leaf", pair[0], nil)}
	for i := range n {
		web = append(web, makeWith(t, []string{"a", "b"}[i%2], pair[1-i%2], key, nil))
	}
	root := make1(t, "root", nil, nil)
	for name, chain := range map[string][]*node{"long": long, "same": same, "web": web} {
		t.Run(name, func(t *testing.T) {
			o := certs.Options{Name: "host.test", Roots: pool(root)}
			start := time.Now()
			path := certs.Signed(sent(chain...), o)
			_, f := certs.Check(sent(chain...), o)
			took := time.Since(start)
			require.NotNil(t, f)
			assert.LessOrEqual(t, len(path), 32)
			assert.LessOrEqual(t, len(f.Problems), 5*32)
			t.Logf("%d certificates: %v, %d problems", len(chain), took, len(f.Problems))
		})
	}
}
