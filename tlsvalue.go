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

// sslSnapshot is a copy of an SSLConfiguration that later changes by the program do not
// affect. The pools of RootCAs are kept with their addresses, too, see poolSnapshot.
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

// equals reports whether c has the value of the snapshot. It does not allocate, because it
// is called for every request that has an SSLConfiguration.
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

// cloneTLS copies a tls.Config with its slices.
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

// tlsFields are the indexes of the fields of tls.Config that are compared. RootCAs is
// compared by poolSnapshot, ClientCAs concerns servers, and ClientSessionCache is not used.
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

// poolSnapshot is a copy of a pool of certificates and the address of the original.
type poolSnapshot struct{ of, content *x509.CertPool }

func newPoolSnapshot(p *x509.CertPool) poolSnapshot {
	if p == nil {
		return poolSnapshot{}
	}
	return poolSnapshot{p, p.Clone()}
}

// equals reports whether a pool has the same certificates. Constraints cannot be compared:
// with any, it must be the original pool.
func (s poolSnapshot) equals(p *x509.CertPool) bool {
	return s.content.Equal(p) && (s.of == p || !constrained(s.content) && !constrained(p))
}

// constrained reports whether a pool may have certificates with constraints
// (x509.CertPool.AddCertWithConstraint). CertPool.Equal ignores constraints, and
// crypto/x509 has no method to find them, so constrained reads an unexported field; if that
// has changed, it returns true.
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

// sameList compares slices, and distinguishes an empty one from nil.
func sameList[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// sameField compares *a and *b by sameValue.
func sameField[T any](a, b *T) bool {
	return sameValue(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// sameInterface reports whether both hold the same pointer, equal values of a comparable
// type, or equal private keys of the standard library.
func sameInterface(a, b any) bool {
	if *(*[2]unsafe.Pointer)(unsafe.Pointer(&a)) == *(*[2]unsafe.Pointer)(unsafe.Pointer(&b)) {
		return true // identical, even if the type is not comparable
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

// sameKey compares private keys of the standard library. Equal panics for an incomplete
// key, which is treated as different.
func sameKey(a interface{ Equal(crypto.PrivateKey) bool }, b any) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a.Equal(b)
}

// sameValue compares structs and slices by their elements. Functions are equal if they are
// the same closure, interfaces by sameInterface, certificates by content, other pointers
// and maps by address.
func sameValue(a, b reflect.Value) bool {
	if !a.CanInterface() { // an unexported field: treated as different
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
