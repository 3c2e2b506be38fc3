package netreplytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/netreply/netreply"
)

// place is where a fault happens.
type place int

const (
	nowhere    place = iota // the zero Fault
	connecting              // in DialContext
	handshake               // in the TLS handshake
	inAnswer                // in the answer to a request
	atProxy                 // at the Server's Proxy
	localOnly               // in the program itself, which no peer can do
)

// Fault is something that goes wrong, by name. It is a value: one Fault can serve several
// tests. Where it can be used depends on where it happens:
//
//   - in connecting (Refuse, HostNotFound, Unreachable …) or in the TLS handshake
//     (ExpiredCertificate, RefuseHandshake …): Server.Fail and Server.Next
//   - in an answer (Reset, Truncate, Garbage …): also Server.Handle, and as the last Step of
//     an Answer, where it happens after what stands before it
//   - at a proxy (some of Fail): Server.Fail, which is then that of the Server's Proxy. All
//     faults of connecting and of answers over HTTP/1 can be given to Proxy.Fail and
//     Proxy.Next.
//
// In a Backend or a Reply a Fault ends the reply with its NetworkError. Using a Fault where it
// cannot happen fails the test. The zero Fault is none: Server.Fail with it ends the fault that
// there was, and as an answer or a step it fails the test.
type Fault struct {
	name    string
	at      place
	code    netreply.NetworkError // that it results in, NoError for one that depends
	needs   func(Kind) bool       // the kinds of servers that can have it, nil for all
	needed  string                // the same in words
	stalls  bool                  // it lasts until the client gives up
	steps   []Step                // in an answer: what comes first
	act     func(control) error
	dial    func(ctx context.Context, addr string) error // connecting
	flaw    flaw                                         // of the certificate
	greet   func(*endpoint, *peer)                       // in place of the handshake
	proxied *Fault                                       // what the Proxy does
}

var (
	_ http.Handler     = Fault{}
	_ netreply.Backend = Fault{}
)

func (Fault) isStep() {}

// ofConnection reports whether connections meet the fault, before there is a request.
func (f Fault) ofConnection() bool { return f.at == connecting || f.at == handshake }

// String is the call that makes the fault.
func (f Fault) String() string {
	if f.at == nowhere {
		return "no fault"
	}
	return f.name
}

// Code is the error of a Reply that meets the fault, for tables of tests; NoError if it
// depends on the code of HTTP/2.
func (f Fault) Code() netreply.NetworkError { return f.code }

// misused says why a fault cannot be used at a place; "" if it can.
func (f Fault) misused(kind Kind, at place) string {
	switch {
	case f.at == nowhere:
		return ""
	case f.at == localOnly:
		return fmt.Sprintf("%s: no peer can cause it: %s", f.name, local[f.code])
	case f.at == atProxy:
		return f.name + " is a fault of a proxy; use Server.Fail, or a fault of connecting with Server.Proxy"
	case f.at != at && at == inAnswer:
		return f.name + " happens before there is a request; use Server.Fail or Server.Next"
	case f.needs != nil && !f.needs(kind):
		return f.name + " needs " + f.needed + ", and the kind is " + kind.String()
	}
	return ""
}

// control is what a fault can do with the connection of a request.
type control interface {
	write(raw string)             // on the connection, without framing; nothing for HTTP/2
	garble()                      // sends what the protocol does not allow
	closeConn()                   // in order
	resetConn()                   // by a TCP reset
	hold()                        // until the client leaves
	resetStream(code uint32) bool // false for HTTP/1
	goAway(code uint32) bool
}

// inResponse makes a fault of an answer.
func inResponse(code netreply.NetworkError, act func(control) error, name string, args ...any) Fault {
	return Fault{name: fmt.Sprintf(name, args...), at: inAnswer, code: code, act: act}
}

func closes(c control) error {
	c.closeConn()
	return nil
}

func resets(c control) error {
	c.resetConn()
	return nil
}

func stalls(c control) error {
	c.hold()
	c.closeConn()
	return nil
}

// says sends text in place of HTTP and closes the connection.
func says(text string) func(control) error {
	return func(c control) error {
		c.write(text)
		c.closeConn()
		return nil
	}
}

// Close ends the connection: before the head, or after what stands before it in an Answer.
// The reply fails with RemoteHostClosedError.
func Close() Fault { return inResponse(netreply.RemoteHostClosedError, closes, "Close()") }

// Reset is Close with a TCP reset.
func Reset() Fault { return inResponse(netreply.RemoteHostClosedError, resets, "Reset()") }

// Stall sends nothing more, and keeps the connection open until the client closes it. The
// reply fails with TimeoutError if it has a time limit; otherwise it never ends by itself.
func Stall() Fault {
	f := inResponse(netreply.TimeoutError, stalls, "Stall()")
	f.stalls = true
	return f
}

// partial are the steps of n bytes of a body that should be longer.
func partial(n int) []Step {
	n = max(n, 0)
	const text = "netreplytest "
	return []Step{
		Status(http.StatusOK), Header("Content-Type", "text/plain"), Header("Content-Length", fmt.Sprint(n+1+n/2)),
		Body(strings.Repeat(text, n/len(text)+1)[:n]),
	}
}

// Truncate is a 200 response whose body ends after n bytes, fewer than its Content-Length:
// RemoteHostClosedError.
func Truncate(n int) Fault {
	f := inResponse(netreply.RemoteHostClosedError, closes, "Truncate(%d)", n)
	f.steps = partial(n)
	return f
}

// ResetAfter is Truncate with a TCP reset.
func ResetAfter(n int) Fault {
	f := inResponse(netreply.RemoteHostClosedError, resets, "ResetAfter(%d)", n)
	f.steps = partial(n)
	return f
}

// StallAfter is a 200 response whose body stalls after n bytes, see Stall.
func StallAfter(n int) Fault {
	f := inResponse(netreply.TimeoutError, stalls, "StallAfter(%d)", n)
	f.stalls, f.steps = true, partial(n)
	return f
}

// Garbage is bytes that are not HTTP: ProtocolFailure.
func Garbage() Fault {
	return inResponse(netreply.ProtocolFailure, func(c control) error {
		c.garble()
		c.closeConn()
		return nil
	}, "Garbage()")
}

// TwoLengths is a response with two different Content-Length fields: ProtocolFailure. It
// needs HTTP/1.
func TwoLengths() Fault {
	f := inResponse(netreply.ProtocolFailure, says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), "TwoLengths()")
	f.needs, f.needed = onlyH1, "HTTP/1"
	return f
}

// DamageChunk is a chunked body whose second chunk has a size that is no number:
// ProtocolFailure. It needs HTTP/1.
func DamageChunk() Fault {
	f := inResponse(netreply.ProtocolFailure, says("zz\r\nnetreplytest\r\n0\r\n\r\n"), "DamageChunk()")
	f.steps = []Step{Status(http.StatusOK), Header("Transfer-Encoding", "chunked"), Body("netreplytest ")}
	f.needs, f.needed = onlyH1, "HTTP/1"
	return f
}

// DamageCoding is a gzip body that is damaged: UnknownContentError in the phase PhaseDecode.
func DamageCoding() Fault {
	f := inResponse(netreply.UnknownContentError, nil, "DamageCoding()")
	// the header of a gzip file (RFC 1952), and then a block of a type that does not exist
	f.steps = []Step{Status(http.StatusOK), Header("Content-Encoding", "gzip"),
		Body("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + "\x07netreplytest")}
	return f
}

// LargeHead is a response head of more than n bytes: ProtocolFailure if n exceeds
// Config.MaxHeaderBytes, 256 KiB by default.
func LargeHead(n int) Fault {
	f := inResponse(netreply.ProtocolFailure, nil, "LargeHead(%d)", n)
	f.steps = []Step{Status(http.StatusOK)}
	const size = 1000
	for i := range max(n, 0)/size + 1 {
		f.steps = append(f.steps, Header(fmt.Sprintf("X-Large-%d", i), strings.Repeat("x", size)))
	}
	return f
}

// RedirectLoop redirects every request to itself: TooManyRedirectsError.
func RedirectLoop() Fault {
	f := inResponse(netreply.TooManyRedirectsError, nil, "RedirectLoop()")
	f.steps = []Step{Status(http.StatusFound), selfStep{}}
	return f
}

// ResetStream resets the stream of a request, with an error code of RFC 9113, section 7. It
// needs HTTP/2.
func ResetStream(code uint32) Fault {
	f := inResponse(netreply.NoError, func(c control) error {
		if !c.resetStream(code) {
			return errNotH2
		}
		return nil
	}, "ResetStream(%d)", code)
	f.needs, f.needed = Kind.h2, "HTTP/2"
	return f
}

// GoAway ends the connection with a GOAWAY frame, with an error code of RFC 9113, section 7.
// With NO_ERROR, 0, the frame says that the request has not been processed, so that the
// client sends it again on another connection; with other codes, that it may have been. It
// needs HTTP/2.
func GoAway(code uint32) Fault {
	f := inResponse(netreply.NoError, func(c control) error {
		if !c.goAway(code) {
			return errNotH2
		}
		return nil
	}, "GoAway(%d)", code)
	f.needs, f.needed = Kind.h2, "HTTP/2"
	return f
}

var errNotH2 = fmt.Errorf("needs HTTP/2, and the client has chosen HTTP/1")

func onlyH1(k Kind) bool { return !k.h2() }

// dialFault makes a fault of connecting.
func dialFault(code netreply.NetworkError, name string, dial func(ctx context.Context, addr string) error) Fault {
	return Fault{name: name, at: connecting, code: code, dial: dial}
}

// osFault is a fault of connecting that the operating system reports.
func osFault(code netreply.NetworkError, name string, cause error) Fault {
	return dialFault(code, name, func(_ context.Context, addr string) error { return dialError(addr, cause) })
}

func dialError(addr string, cause error) error {
	return fmt.Errorf("%s: %w", addr, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", cause)})
}

// Refuse refuses connections: ConnectionRefusedError.
func Refuse() Fault { return osFault(netreply.ConnectionRefusedError, "Refuse()", errRefused) }

// HostNotFound is a host name that does not exist: HostNotFoundError.
func HostNotFound() Fault {
	return dialFault(netreply.HostNotFoundError, "HostNotFound()", func(_ context.Context, addr string) error {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	})
}

// ConnectTimeout is the system giving up to connect, without a wait: TimeoutError.
func ConnectTimeout() Fault { return osFault(netreply.TimeoutError, "ConnectTimeout()", errTimedOut) }

// HangConnecting is a connection attempt without an end: TimeoutError after
// Config.ConnectTimeout.
func HangConnecting() Fault {
	f := dialFault(netreply.TimeoutError, "HangConnecting()", func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	})
	f.stalls = true
	return f
}

// Unreachable is a host that no route leads to: TemporaryNetworkFailureError.
func Unreachable() Fault {
	return osFault(netreply.TemporaryNetworkFailureError, "Unreachable()", errUnreachable)
}

// NoAddress is a client without an address to connect from: NetworkSessionFailedError.
func NoAddress() Fault {
	return osFault(netreply.NetworkSessionFailedError, "NoAddress()", errNoAddress)
}

// ForbidConnecting is a client whose system forbids the connection, as a firewall does:
// UnknownNetworkError.
func ForbidConnecting() Fault {
	return osFault(netreply.UnknownNetworkError, "ForbidConnecting()", errNotAllowed)
}

// certificateFault makes a fault of the server's certificate.
func certificateFault(name string, f flaw) Fault {
	return Fault{name: name, at: handshake, code: netreply.SslHandshakeFailedError, flaw: f, needs: Kind.tls, needed: "TLS"}
}

// ExpiredCertificate is a certificate that expired an hour ago. Like all faults of
// certificates it results in SslHandshakeFailedError with a *netreply.CertificateError, unless
// the program accepts the flaw, and it needs TLS.
func ExpiredCertificate() Fault { return certificateFault("ExpiredCertificate()", expired) }

// NotYetValidCertificate is a certificate that is valid from tomorrow on.
func NotYetValidCertificate() Fault { return certificateFault("NotYetValidCertificate()", notYetValid) }

// WrongHostCertificate is a certificate for other.example.
func WrongHostCertificate() Fault { return certificateFault("WrongHostCertificate()", wrongHost) }

// UnknownIssuerCertificate is a certificate of an authority that is not trusted.
func UnknownIssuerCertificate() Fault {
	return certificateFault("UnknownIssuerCertificate()", unknownIssuer)
}

// SelfSignedCertificate is a certificate that is signed with its own key.
func SelfSignedCertificate() Fault { return certificateFault("SelfSignedCertificate()", selfSigned) }

// greetFault makes a fault of the TLS handshake.
func greetFault(code netreply.NetworkError, name string, greet func(*endpoint, *peer)) Fault {
	return Fault{name: name, at: handshake, code: code, greet: greet, needs: Kind.tls, needed: "TLS"}
}

// RefuseHandshake answers the TLS handshake with the alert handshake_failure:
// SslHandshakeFailedError. It needs TLS.
func RefuseHandshake() Fault {
	return greetFault(netreply.SslHandshakeFailedError, "RefuseHandshake()", func(_ *endpoint, p *peer) {
		p.raw.Read(make([]byte, 16<<10)) // the hello, or its start
		io.WriteString(p.raw, "\x15\x03\x03\x00\x02\x02\x28")
	})
}

// StallHandshake does not answer the TLS handshake: TimeoutError after Config.TLSTimeout. It
// needs TLS.
func StallHandshake() Fault {
	f := greetFault(netreply.TimeoutError, "StallHandshake()", func(_ *endpoint, p *peer) {
		io.Copy(io.Discard, p.raw)
	})
	f.stalls = true
	return f
}
