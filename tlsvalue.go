package netreply

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"slices"
	"unsafe"
)

// sslSnapshot is an SSLConfiguration as it was at one moment. What its pointers lead to and
// can be changed is a copy, but for the pools of RootCAs, which are told apart by their
// addresses, too.
type sslSnapshot struct {
	SSLConfiguration
	roots, tlsRoots poolSnapshot // RootCAs and TLS.RootCAs
}

func (c *SSLConfiguration) snapshot() *sslSnapshot {
	s := &sslSnapshot{SSLConfiguration: *c.Clone(), roots: newPoolSnapshot(c.RootCAs)}
	if s.TLS != nil {
		s.tlsRoots = newPoolSnapshot(s.TLS.RootCAs)
	}
	return s
}

// equals reports whether c is what it was. It allocates nothing, for it is asked for every
// request that has a configuration of its own.
func (s *sslSnapshot) equals(c *SSLConfiguration) bool {
	return s.MinProtocol == c.MinProtocol && s.MaxProtocol == c.MaxProtocol && s.PeerVerifyMode == c.PeerVerifyMode &&
		s.PeerVerifyDepth == c.PeerVerifyDepth && s.PeerVerifyName == c.PeerVerifyName &&
		(s.TLS == nil) == (c.TLS == nil) && sameField(&s.ClientCertificate, &c.ClientCertificate) &&
		sameInterface(s.KeyLog, c.KeyLog) && sameInterface(s.PSK, c.PSK) &&
		sameList(s.Ciphers, c.Ciphers) && sameList(s.Curves, c.Curves) && sameList(s.ALPN, c.ALPN) &&
		slices.Equal(s.Pins, c.Pins) && bytes.Equal(s.SessionTicket, c.SessionTicket) &&
		slices.EqualFunc(s.AddedCAs, c.AddedCAs, (*x509.Certificate).Equal) &&
		sameField(&s.Certificates, &c.Certificates) &&
		s.roots.equals(c.RootCAs) && (c.TLS == nil || s.tlsRoots.equals(c.TLS.RootCAs) && sameTLS(s.TLS, c.TLS))
}

// cloneTLS copies a configuration of crypto/tls and the lists of it.
func cloneTLS(c *tls.Config) *tls.Config {
	if c = c.Clone(); c == nil {
		return nil
	}
	v := reflect.ValueOf(c).Elem()
	for _, i := range tlsFields {
		if f := v.Field(i); f.Kind() == reflect.Slice && !f.IsNil() {
			f.Set(reflect.AppendSlice(reflect.MakeSlice(f.Type(), 0, f.Len()), f))
		}
	}
	return c
}

// tlsFields are the fields of tls.Config that make a difference. Pools are compared by
// poolSnapshot; of servers there are none; and the cache of sessions is not used.
var tlsFields = func() (fields []int) {
	t := reflect.TypeFor[tls.Config]()
	for i := range t.NumField() {
		switch f := t.Field(i); f.Name {
		case "RootCAs", "ClientCAs", "ClientSessionCache":
		default:
			if f.IsExported() {
				fields = append(fields, i)
			}
		}
	}
	return fields
}()

func sameTLS(a, b *tls.Config) bool {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, i := range tlsFields {
		if !sameValue(x.Field(i), y.Field(i)) {
			return false
		}
	}
	return true
}

// poolSnapshot is a pool of certificates as it was at one moment.
type poolSnapshot struct{ of, content *x509.CertPool }

func newPoolSnapshot(p *x509.CertPool) poolSnapshot {
	if p == nil {
		return poolSnapshot{}
	}
	return poolSnapshot{p, p.Clone()}
}

// equals reports whether a pool has the same certificates. With constraints, which cannot be
// compared, it must be the very pool.
func (s poolSnapshot) equals(p *x509.CertPool) bool {
	return s.content.Equal(p) && (s.of == p || !constrained(s.content) && !constrained(p))
}

// constrained reports whether a pool has certificates with constraints, as
// x509.CertPool.AddCertWithConstraint adds them, or if it may: crypto/x509 does not tell,
// and CertPool.Equal does not look at them.
func constrained(p *x509.CertPool) bool {
	certificates := reflect.ValueOf(p).Elem().FieldByName("lazyCerts")
	if certificates.Kind() != reflect.Slice || certificates.Type().Elem().Kind() != reflect.Struct {
		return true
	}
	field, ok := certificates.Type().Elem().FieldByName("constraint")
	if !ok || field.Type.Kind() != reflect.Func {
		return true
	}
	for i := range certificates.Len() {
		if !certificates.Index(i).FieldByIndex(field.Index).IsNil() {
			return true
		}
	}
	return false
}

// sameList compares lists of which an empty one means something else than none.
func sameList[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// sameField is sameValue for what two pointers point to.
func sameField[T any](a, b *T) bool {
	return sameValue(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// sameInterface reports whether both hold the same pointer, the same value of a type that can
// be compared, or the same private key of the standard library.
func sameInterface(a, b any) bool {
	if *(*[2]unsafe.Pointer)(unsafe.Pointer(&a)) == *(*[2]unsafe.Pointer)(unsafe.Pointer(&b)) {
		return true // also of a type that cannot be compared
	}
	switch a := a.(type) {
	case nil:
		return false
	case *ecdsa.PrivateKey:
		return sameKey(a, b)
	case *rsa.PrivateKey:
		return sameKey(a, b)
	case ed25519.PrivateKey:
		return sameKey(a, b)
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// sameKey compares private keys of the standard library. Where one lacks something, Equal
// panics: such a key is the same as no other.
func sameKey(a interface{ Equal(crypto.PrivateKey) bool }, b any) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a.Equal(b)
}

// sameValue compares fields of structs and elements of lists by what they hold. Functions are
// the same with the same code and the same variables, interfaces by sameInterface,
// certificates by their content, other pointers and maps by their address.
func sameValue(a, b reflect.Value) bool {
	if !a.CanInterface() { // there is no telling
		return false
	}
	switch a.Kind() {
	case reflect.Func:
		return *(*unsafe.Pointer)(a.Addr().UnsafePointer()) == *(*unsafe.Pointer)(b.Addr().UnsafePointer())
	case reflect.Interface:
		return sameInterface(a.Interface(), b.Interface())
	case reflect.Pointer:
		if a.UnsafePointer() == b.UnsafePointer() {
			return true
		}
		if x, ok := a.Interface().(*x509.Certificate); ok {
			return x.Equal(b.Interface().(*x509.Certificate))
		}
		return false
	case reflect.Map:
		return a.UnsafePointer() == b.UnsafePointer()
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		if a.Type().Elem().Kind() == reflect.Uint8 {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}
