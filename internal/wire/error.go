package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/oserr"
)

// Phase is the part of an exchange in which it failed.
type Phase int

const (
	Resolve Phase = iota
	Connect
	TLS
	Send    // the request was being written
	Headers // the response head was awaited or read
	Body    // the response body was read
	Proxy   // a proxy was to be reached, or to let through
)

func (p Phase) String() string {
	return [...]string{"resolve", "connect", "tls", "send", "headers", "body", "proxy"}[p]
}

// Fault is what went wrong, as far as the wire can tell; the code of a failure
// is made of it and of the Phase.
type Fault int

const (
	Other     Fault = iota // an error of the operating system; see Err
	Closed                 // the peer ended the connection too early
	Malformed              // the peer does not speak HTTP correctly
	Alert                  // TLS ended after the handshake, by an alert or by records that are wrong
	Reset                  // the peer ended one HTTP/2 stream, see Code
	GoAway                 // the peer ended the HTTP/2 connection, see Code
	Source                 // reading the request body failed
	Timeout                // a limit of this package passed
)

// Error is the failure of one exchange.
type Error struct {
	Phase  Phase
	Fault  Fault
	Code   uint32 // HTTP/2 error code (RFC 9113, section 7) for Reset and GoAway
	Reused bool   // the connection had carried an exchange before, or had been idle
	Began  bool   // a byte of the response had come
	// Stray says that something came that is no response, on a connection used before:
	// the rest of an exchange before, most likely.
	Stray bool
	Sent  int64 // bytes of the request that were given to the connection
	// Unprocessed says that the peer has promised not to have acted on it.
	Unprocessed bool
	Err         error
}

func (e *Error) Error() string { return e.Phase.String() + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrClosed is the failure of an exchange on a closed Transport.
var ErrClosed = errors.New("wire: transport closed")

// DialError describes an error of internal/dial.
func DialError(err error) *Error {
	e := &Error{Phase: Connect, Err: err}
	var d *dial.Error
	if errors.As(err, &d) {
		e.Phase = [...]Phase{dial.Resolve: Resolve, dial.Connect: Connect, dial.TLS: TLS, dial.Proxying: Proxy}[d.Phase]
		e.Err = d.Err // who says the phase says the rest
	}
	if errors.Is(err, dial.ErrTimeout) {
		e.Fault = Timeout
	} else if e.Phase == TLS && peerClosed(err) {
		e.Fault = Closed
	}
	return e
}

func peerClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || oserr.Is(err, oserr.Reset)
}

func isOS(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// isAlert tells whether TLS has ended, by an alert or because what came is not what was
// encrypted.
func isAlert(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &alert) || errors.As(err, &record)
}
