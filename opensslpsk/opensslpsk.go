// Package opensslpsk implements netreply.PSKDialer: TLS handshakes with a pre-shared key
// instead of certificates, which crypto/tls does not support. It calls OpenSSL (libssl
// 1.1.1 or newer) through cgo: TLS 1.2 with PSK, DHE-PSK and ECDHE-PSK suites, and TLS 1.3
// with an external key.
//
//	cfg := netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{PSK: opensslpsk.Dialer{}}}
//
// Each handshake asks for the key by netreply.PreSharedKeyAuthenticationRequired. The
// connections use HTTP/1.1.
package opensslpsk

/*
#cgo LDFLAGS: -lssl -lcrypto
#include <stdlib.h>
#include "tls.h"
*/
import "C"

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/cgo"
	"sync"
	"time"
	"unsafe"

	"github.com/netreply/netreply"
)

// Dialer is a netreply.PSKDialer. Its zero value is ready to use. It is safe for concurrent
// use.
type Dialer struct {
	// Label separates the connections of different identities: requests share connections
	// only if their dialers have the same Label. It is not sent.
	Label string
}

var _ netreply.PSKDialer = Dialer{}

// Error is an error of OpenSSL.
type Error struct{ Reason string }

func (e *Error) Error() string { return "openssl: " + e.Reason }

// Handshake implements netreply.PSKDialer. It refuses a server that presents a certificate
// instead of using the key. For TLS 1.3 it asks for the key before the server's first
// message, and again if the server selects TLS 1.2.
func (Dialer) Handshake(ctx context.Context, raw net.Conn, p netreply.PSKParameters) (net.Conn, tls.ConnectionState, error) {
	c, err := newConn(raw, p)
	if err != nil {
		return nil, tls.ConnectionState{}, err
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	err = c.handshake()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.free()
		return nil, tls.ConnectionState{}, err
	}
	return c, c.state(p.ServerName), nil
}

// conn is a net.Conn encrypted by OpenSSL. OpenSSL works on memory buffers, under mu.
// Network I/O is done without mu, with at most one writer at a time.
type conn struct {
	net.Conn
	asks cgo.Handle
	in   []byte // buffer for reading from the network

	reading, writing sync.Mutex // locked before mu

	mu  sync.Mutex
	ssl *C.SSL // nil once closed
}

// question is the question of a handshake, and its error.
type question struct {
	ask func(*netreply.PreSharedKeyAuthenticator) error
	err error
}

func newConn(raw net.Conn, p netreply.PSKParameters) (*conn, error) {
	minimum, maximum := max(int(p.MinProtocol), tls.VersionTLS12), int(p.MaxProtocol)
	if maximum == 0 {
		maximum = tls.VersionTLS13
	}
	if p.Ask == nil {
		return nil, errors.New("opensslpsk: PSKParameters.Ask is nil")
	}
	if minimum > maximum {
		return nil, errors.New("opensslpsk: no protocol between TLS 1.2 and MaxProtocol")
	}
	ctx := C.psk_context(C.int(minimum), C.int(maximum))
	if ctx == nil {
		return nil, errors.New("opensslpsk: OpenSSL cannot make a context")
	}
	defer C.SSL_CTX_free(ctx) // every SSL has its own reference
	name := p.ServerName
	if _, err := netip.ParseAddr(name); err == nil {
		name = "" // SNI does not allow addresses (RFC 6066, section 3)
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var alpn []byte
	for _, proto := range p.ALPN {
		alpn = append(append(alpn, byte(len(proto))), proto...)
	}
	calpn := C.CBytes(alpn)
	defer C.free(calpn)
	c := &conn{Conn: raw, in: make([]byte, 16<<10), asks: cgo.NewHandle(&question{ask: p.Ask})}
	c.ssl = C.psk_new(ctx, C.uintptr_t(c.asks), cname, (*C.uchar)(calpn), C.unsigned(len(alpn)))
	if c.ssl == nil {
		c.asks.Delete()
		return nil, errors.New("opensslpsk: OpenSSL cannot make a connection")
	}
	return c, nil
}

// pskAsk is called by OpenSSL during a handshake. It returns the length of the key, 0 for
// none.
//
//export pskAsk
func pskAsk(handle C.uintptr_t, hint *C.char, identity *C.char, maxIdentity C.unsigned, key *C.uchar, maxKey C.unsigned) C.unsigned {
	q := cgo.Handle(handle).Value().(*question)
	// the identity is zero-terminated
	a := &netreply.PreSharedKeyAuthenticator{MaximumIdentityLength: int(maxIdentity) - 1, MaximumPreSharedKeyLength: int(maxKey)}
	if hint != nil {
		a.IdentityHint = []byte(C.GoString(hint))
	}
	if q.err = q.ask(a); q.err != nil {
		return 0
	}
	id, k, ok := a.Answer()
	if !ok || len(id) > a.MaximumIdentityLength || len(k) > a.MaximumPreSharedKeyLength {
		return 0
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(identity)), int(maxIdentity)), append(id[:len(id):len(id)], 0))
	copy(unsafe.Slice((*byte)(unsafe.Pointer(key)), int(maxKey)), k)
	return C.unsigned(len(k))
}

func (c *conn) handshake() error {
	for {
		c.mu.Lock()
		r := C.psk_handshake(c.ssl)
		c.mu.Unlock()
		if q := c.asks.Value().(*question); q.err != nil {
			return q.err // without a key OpenSSL would continue
		}
		if err := c.flush(); err != nil && r.n == 1 {
			return err
		}
		if r.n == 1 {
			return nil
		}
		if err := c.more(r); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// more reads input for OpenSSL from the network; it returns an error if OpenSSL needs none.
// After the handshake the caller holds reading.
func (c *conn) more(r C.psk_result) error {
	switch r.why {
	case C.SSL_ERROR_WANT_READ:
	case C.SSL_ERROR_ZERO_RETURN:
		return io.EOF
	default:
		return failure(r)
	}
	n, err := c.Conn.Read(c.in)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ssl == nil {
		return net.ErrClosed
	}
	if n > 0 {
		C.psk_feed(c.ssl, unsafe.Pointer(&c.in[0]), C.int(n))
		return nil
	}
	return err
}

func failure(r C.psk_result) error {
	if r.code == 0 {
		return io.ErrUnexpectedEOF
	}
	if reason := C.ERR_reason_error_string(r.code); reason != nil {
		return &Error{C.GoString(reason)}
	}
	return &Error{"unknown"}
}

// flush writes OpenSSL's output to the network.
func (c *conn) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.flushLocked()
}

func (c *conn) flushLocked() error {
	for {
		c.mu.Lock()
		if c.ssl == nil {
			c.mu.Unlock()
			return net.ErrClosed
		}
		n := int(C.psk_pending(c.ssl))
		if n == 0 {
			c.mu.Unlock()
			return nil
		}
		out := make([]byte, n)
		n = int(C.psk_take(c.ssl, unsafe.Pointer(&out[0]), C.int(n)))
		c.mu.Unlock()
		if n <= 0 {
			return nil
		}
		if _, err := c.Conn.Write(out[:n]); err != nil {
			return err
		}
	}
}

// Read implements net.Conn. It returns io.EOF only after a close_notify of the peer.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		c.mu.Lock()
		if c.ssl == nil {
			c.mu.Unlock()
			return 0, net.ErrClosed
		}
		r := C.psk_read(c.ssl, unsafe.Pointer(&p[0]), C.int(min(len(p), 1<<20)))
		pending := C.psk_pending(c.ssl) > 0
		c.mu.Unlock()
		if pending { // the answer to a handshake message
			if err := c.flush(); err != nil && r.n <= 0 {
				return 0, err
			}
		}
		if r.n > 0 {
			return int(r.n), nil
		}
		if err := c.more(r); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	done := 0
	for done < len(p) {
		piece := p[done:min(len(p), done+1<<20)]
		c.mu.Lock()
		if c.ssl == nil {
			c.mu.Unlock()
			return done, net.ErrClosed
		}
		r := C.psk_write(c.ssl, unsafe.Pointer(&piece[0]), C.int(len(piece)))
		c.mu.Unlock()
		if r.n <= 0 {
			return done, failure(r)
		}
		if err := c.flushLocked(); err != nil {
			return done, err
		}
		done += int(r.n)
	}
	return done, nil
}

// Close closes the connection. Running Reads and Writes return.
func (c *conn) Close() error {
	c.mu.Lock()
	var goodbye []byte
	if c.ssl != nil && C.SSL_is_init_finished(c.ssl) == 1 {
		C.SSL_shutdown(c.ssl)
		C.ERR_clear_error()
		if n := int(C.psk_pending(c.ssl)); n > 0 {
			goodbye = make([]byte, n)
			C.psk_take(c.ssl, unsafe.Pointer(&goodbye[0]), C.int(n))
		}
	}
	c.mu.Unlock()
	if len(goodbye) > 0 && c.writing.TryLock() {
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.Conn.Write(goodbye)
		c.writing.Unlock()
	}
	err := c.Conn.Close()
	c.free()
	return err
}

func (c *conn) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ssl != nil {
		C.SSL_free(c.ssl)
		c.ssl = nil
		c.asks.Delete()
	}
}

func (c *conn) state(name string) tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := tls.ConnectionState{Version: uint16(C.SSL_version(c.ssl)), HandshakeComplete: true, ServerName: name}
	if cipher := C.SSL_get_current_cipher(c.ssl); cipher != nil {
		s.CipherSuite = uint16(C.SSL_CIPHER_get_protocol_id(cipher))
	}
	var proto *C.uchar
	var n C.unsigned
	C.SSL_get0_alpn_selected(c.ssl, &proto, &n)
	if n > 0 {
		s.NegotiatedProtocol = C.GoStringN((*C.char)(unsafe.Pointer(proto)), C.int(n))
	}
	return s
}
