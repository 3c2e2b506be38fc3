package netreply

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/wire"
)

// anyOf makes a value of a type that is not zero, a different one for every call.
func anyOf(t *testing.T, typ reflect.Type, n int) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("value " + strconv.Itoa(n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(n))
	case reflect.Array:
		v.Index(0).Set(anyOf(t, typ.Elem(), n))
	case reflect.Slice:
		v.Set(reflect.Append(v, anyOf(t, typ.Elem(), n)))
	case reflect.Struct:
		for i := range v.NumField() {
			v.Field(i).Set(anyOf(t, v.Field(i).Type(), n))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(anyOf(t, typ.Key(), n), reflect.Zero(typ.Elem()))
	case reflect.Func:
		v.Set(reflect.MakeFunc(typ, func([]reflect.Value) []reflect.Value { return nil }))
	case reflect.Interface:
		switch v.Addr().Interface().(type) {
		case *io.Writer, *io.Reader:
			v.Set(reflect.ValueOf(&bytes.Buffer{}))
		case *PSKDialer:
			v.Set(reflect.ValueOf(&nobody{}))
		case *crypto.PrivateKey:
			v.Set(reflect.ValueOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(n)}, ed25519.SeedSize))))
		default:
			require.Fail(t, "no value of "+typ.String())
		}
	case reflect.Pointer:
		switch v.Addr().Interface().(type) {
		case **x509.Certificate:
			v.Set(reflect.ValueOf(&x509.Certificate{Raw: []byte{byte(n)}}))
		case **x509.CertPool:
			pool := x509.NewCertPool()
			pool.AddCert(&x509.Certificate{Raw: []byte{byte(n)}})
			v.Set(reflect.ValueOf(pool))
		default:
			v.Set(reflect.New(typ.Elem()))
		}
	default:
		require.Fail(t, "no value of "+typ.String())
	}
	return v
}

type nobody struct{ _ int }

func (*nobody) Handshake(context.Context, net.Conn, PSKParameters) (net.Conn, tls.ConnectionState, error) {
	return nil, tls.ConnectionState{}, net.ErrClosed
}

// TestEveryFieldCounts: configurations that differ in any field, including fields that
// later versions of crypto/tls add, are not equal, and a copy is equal until it is changed.
func TestEveryFieldCounts(t *testing.T) {
	check := func(path string, set func(c *SSLConfiguration, n int)) {
		var one, other SSLConfiguration
		set(&one, 1)
		set(&other, 2)
		assert.True(t, one.Equal(&one), path)
		assert.True(t, one.Equal(one.Clone()), path)
		assert.False(t, one.Equal(&SSLConfiguration{TLS: &tls.Config{}}), path)
		if reflect.DeepEqual(one, other) {
			return // the type has only one value besides zero
		}
		assert.False(t, one.Equal(&other), path)
	}
	typ := reflect.TypeFor[SSLConfiguration]()
	for i := range typ.NumField() {
		if typ.Field(i).Name != "TLS" {
			check(typ.Field(i).Name, func(c *SSLConfiguration, n int) {
				c.TLS = &tls.Config{}
				reflect.ValueOf(c).Elem().Field(i).Set(anyOf(t, typ.Field(i).Type, n))
			})
		}
	}
	assert.False(t, (&SSLConfiguration{}).Equal(&SSLConfiguration{TLS: &tls.Config{}}))
	typ = reflect.TypeFor[tls.Config]()
	n := 0
	for i := range typ.NumField() {
		switch f := typ.Field(i); {
		case !f.IsExported() || f.Name == "ClientSessionCache" || f.Name == "ClientCAs":
		default:
			n++
			check("TLS."+f.Name, func(c *SSLConfiguration, n int) {
				c.TLS = &tls.Config{}
				reflect.ValueOf(c.TLS).Elem().Field(i).Set(anyOf(t, f.Type, n))
			})
		}
	}
	assert.Greater(t, n, 25)
	typ = reflect.TypeFor[tls.Certificate]()
	for i := range typ.NumField() {
		check("Certificates."+typ.Field(i).Name, func(c *SSLConfiguration, n int) {
			c.TLS = &tls.Config{}
			c.Certificates = make([]tls.Certificate, 1)
			reflect.ValueOf(&c.Certificates[0]).Elem().Field(i).Set(anyOf(t, typ.Field(i).Type, n))
		})
	}
	var none *SSLConfiguration
	assert.True(t, none.Equal(nil))
	assert.False(t, none.Equal(&SSLConfiguration{}))
	assert.False(t, (&SSLConfiguration{}).Equal(nil))
}

// TestChangedInPlace: a snapshot does not share the slices of its original.
func TestChangedInPlace(t *testing.T) {
	all := func() *SSLConfiguration {
		return &SSLConfiguration{Ciphers: []uint16{1}, Curves: []tls.CurveID{1}, ALPN: []string{"a"}, SessionTicket: []byte{1}, Pins: []PublicKeyPin{{1}},
			AddedCAs: []*x509.Certificate{{Raw: []byte{1}}}, Certificates: make([]tls.Certificate, 1), RootCAs: x509.NewCertPool(),
			TLS: &tls.Config{NextProtos: []string{"a"}, CipherSuites: []uint16{1}, Certificates: make([]tls.Certificate, 1), RootCAs: x509.NewCertPool(),
				EncryptedClientHelloConfigList: []byte{1}}}
	}
	for name, change := range map[string]func(*SSLConfiguration){
		"Ciphers":          func(c *SSLConfiguration) { c.Ciphers[0]++ },
		"Curves":           func(c *SSLConfiguration) { c.Curves[0]++ },
		"ALPN":             func(c *SSLConfiguration) { c.ALPN[0] = "b" },
		"SessionTicket":    func(c *SSLConfiguration) { c.SessionTicket[0]++ },
		"Pins":             func(c *SSLConfiguration) { c.Pins[0][31]++ },
		"AddedCAs":         func(c *SSLConfiguration) { c.AddedCAs[0] = &x509.Certificate{} },
		"Certificates":     func(c *SSLConfiguration) { c.Certificates[0].OCSPStaple = []byte{1} },
		"RootCAs":          func(c *SSLConfiguration) { c.RootCAs.AddCert(&x509.Certificate{Raw: []byte{1}}) },
		"TLS":              func(c *SSLConfiguration) { c.TLS.InsecureSkipVerify = true },
		"TLS.NextProtos":   func(c *SSLConfiguration) { c.TLS.NextProtos[0] = "b" },
		"TLS.CipherSuites": func(c *SSLConfiguration) { c.TLS.CipherSuites[0]++ },
		"TLS.Certificates": func(c *SSLConfiguration) { c.TLS.Certificates[0].OCSPStaple = []byte{1} },
		"TLS.RootCAs":      func(c *SSLConfiguration) { c.TLS.RootCAs.AddCert(&x509.Certificate{Raw: []byte{1}}) },
		"TLS.ECH":          func(c *SSLConfiguration) { c.TLS.EncryptedClientHelloConfigList[0]++ },
	} {
		c := all()
		was := c.snapshot()
		assert.True(t, was.equals(c), name)
		assert.True(t, was.equals(all()), name)
		change(c)
		assert.False(t, was.equals(c), name)
		assert.True(t, was.equals(all()), "%s: the snapshot has changed", name)
	}
	c := all()
	was := c.snapshot()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if !was.equals(c) {
			t.Fail()
		}
	}))
}

// TestSameKeys: private keys that were parsed twice are equal; others, and incomplete ones,
// are not.
func TestSameKeys(t *testing.T) {
	var keys []crypto.PrivateKey
	for range 2 {
		ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		rs, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		_, ed, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		keys = append(keys, ec, rs, ed)
	}
	for i, k := range keys {
		raw, err := x509.MarshalPKCS8PrivateKey(k)
		require.NoError(t, err)
		again, err := x509.ParsePKCS8PrivateKey(raw)
		require.NoError(t, err)
		assert.True(t, sameInterface(k, again), "%T", k)
		for j, other := range keys {
			assert.Equal(t, i == j, sameInterface(k, other))
		}
	}
	for _, lacking := range []func() crypto.PrivateKey{
		func() crypto.PrivateKey { return &ecdsa.PrivateKey{} }, func() crypto.PrivateKey { return (*ecdsa.PrivateKey)(nil) },
		func() crypto.PrivateKey { return &rsa.PrivateKey{} }, func() crypto.PrivateKey { return &rsa.PrivateKey{D: big.NewInt(1)} },
	} {
		k := lacking()
		assert.True(t, sameInterface(k, k))
		assert.False(t, sameInterface(keys[0], k))
		assert.False(t, sameInterface(keys[1], k))
		assert.False(t, sameInterface(&struct{ x int }{}, k))
	}
}

type comparable1 struct{ name string }

func (comparable1) Write(p []byte) (int, error) { return len(p), nil }

type uncomparable struct{ f func() }

func (uncomparable) Write(p []byte) (int, error) { return len(p), nil }

// TestIdentity: values that are not comparable are equal if they are identical.
func TestIdentity(t *testing.T) {
	closure := func(n int) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{OCSPStaple: []byte{byte(n)}}, nil
		}
	}
	with := func(f func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *SSLConfiguration {
		return &SSLConfiguration{ClientCertificate: f}
	}
	one, other := closure(1), closure(2)
	assert.True(t, with(one).Equal(with(one)))
	assert.False(t, with(one).Equal(with(other)), "the same code, with other variables")
	asTLS := func(f func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *SSLConfiguration {
		return &SSLConfiguration{TLS: &tls.Config{GetClientCertificate: f}}
	}
	assert.True(t, asTLS(one).Equal(asTLS(one)))
	assert.False(t, asTLS(one).Equal(asTLS(other)))

	log := func(w io.Writer) *SSLConfiguration { return &SSLConfiguration{KeyLog: w} }
	assert.True(t, log(comparable1{"a"}).Equal(log(comparable1{"a"})))
	assert.False(t, log(comparable1{"a"}).Equal(log(comparable1{"b"})))
	assert.False(t, log(&comparable1{"a"}).Equal(log(&comparable1{"a"})))
	var w io.Writer = uncomparable{func() {}}
	assert.True(t, log(w).Equal(log(w)))
	assert.False(t, log(w).Equal(log(uncomparable{func() {}})))
	assert.False(t, log(w).Equal(log(comparable1{})))
}

// TestPools: pools are compared by their certificates; those with constraints are not equal
// to others.
func TestPools(t *testing.T) {
	pool := func(raw ...byte) *x509.CertPool {
		p := x509.NewCertPool()
		for _, b := range raw {
			p.AddCert(&x509.Certificate{Raw: []byte{b}})
		}
		return p
	}
	with := func(p *x509.CertPool) *SSLConfiguration { return &SSLConfiguration{RootCAs: p} }
	assert.True(t, with(pool(1, 2)).Equal(with(pool(2, 1))))
	assert.False(t, with(pool(1)).Equal(with(pool(1, 2))))
	assert.False(t, with(pool(1)).Equal(with(pool(2))))
	assert.False(t, with(pool()).Equal(with(nil)))

	constrained := func() *x509.CertPool {
		p := pool(1)
		p.AddCertWithConstraint(&x509.Certificate{Raw: []byte{2}}, func([]*x509.Certificate) error { return nil })
		return p
	}
	one := constrained()
	require.True(t, one.Equal(pool(1, 2)), "crypto/x509 does not look at constraints")
	assert.True(t, with(one).Equal(with(one)))
	assert.False(t, with(one).Equal(with(constrained())))
	assert.False(t, with(one).Equal(with(pool(1, 2))))
	assert.False(t, with(pool(1, 2)).Equal(with(one)))
}

// TestProfileTable: it gives equal configurations the same profiles, and is bounded.
func TestProfileTable(t *testing.T) {
	const many = 10_000
	dropped := map[*wire.Profile]bool{}
	table := newProfileTable(&SSLConfiguration{}, func(list []*wire.Profile) {
		for _, p := range list {
			assert.False(t, dropped[p])
			dropped[p] = true
		}
	})
	config := func(n int) *SSLConfiguration { return &SSLConfiguration{PeerVerifyDepth: n} }
	get := func(c *SSLConfiguration) *profiles {
		p, err := table.of(c, "")
		require.NoError(t, err)
		return p
	}
	assert.Same(t, table.defaults, get(nil))
	assert.Same(t, table.defaults, get(config(0)))
	kept, seen := get(config(many)), map[*profiles]bool{}
	for n := 1; n < many; n++ {
		c := config(n)
		p := get(c)
		require.False(t, seen[p])
		seen[p] = true
		require.Same(t, p, get(c))
		require.Same(t, kept, get(config(many)), "one that is used all the time stays")
		require.LessOrEqual(t, table.order.Len(), maxProfiles)
	}
	assert.Len(t, dropped, many-table.order.Len())
	assert.False(t, dropped[kept.strict])
	assert.False(t, dropped[table.defaults.strict])
	_, err := table.of(config(-1), "Field")
	var bad *FieldError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Field.PeerVerifyDepth", bad.Field)

	c := config(1)
	p := get(c)
	assert.Zero(t, testing.AllocsPerRun(100, func() { get(c) }))
	c.PeerVerifyDepth = 2
	assert.NotSame(t, p, get(c), "the same pointer, and another value")

	p.ignoring(nil)
	p.hstsProfile()
	identity := get(&SSLConfiguration{Certificates: []tls.Certificate{selfSigned(t)}})
	assert.Len(t, p.appendWire(nil), 2)
	identity.withoutIdentity().ignoring(nil)
	assert.Len(t, identity.appendWire(nil), 3)
}

func selfSigned(t *testing.T) tls.Certificate {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "me"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}
