package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/oserr"
)

// Phase is the phase of an exchange that failed.
type Phase int

const (
	Resolve Phase = iota
	Connect
	TLS
	Send    // sending the request
	Headers // waiting for the response head
	Body    // reading the response body
	Proxy   // connecting through a proxy
)

func (p Phase) String() string {
	return [...]string{"resolve", "connect", "tls", "send", "headers", "body", "proxy"}[p]
}

// Fault is the kind of failure, as far as it can be determined here.
type Fault int

const (
	Other     Fault = iota // an error of the operating system; see Err
	Closed                 // the peer closed the connection too early
	Malformed              // the peer violates HTTP
	Alert                  // TLS failed after the handshake, by an alert or by invalid records
	Reset                  // the peer reset the HTTP/2 stream, see Code
	GoAway                 // the peer ended the HTTP/2 connection, see Code
	Source                 // reading the request body failed
	Timeout                // a time limit of this package was exceeded
)

// Error is the failure of one exchange.
type Error struct {
	Phase  Phase
	Fault  Fault
	Code   uint32 // HTTP/2 error code (RFC 9113, section 7) for Reset and GoAway
	Reused bool   // the connection had been used or idle before
	Began  bool   // a byte of the response had been received
	// Stray reports that the bytes received on a reused connection are not a response, but
	// probably the rest of an earlier exchange.
	Stray bool
	Sent  int64 // bytes of the request handed to the connection
	// Unprocessed reports that the peer has declared that it has not processed the request.
	Unprocessed bool
	Err         error
}

func (e *Error) Error() string { return e.Phase.String() + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrClosed is the error of an exchange on a closed Transport.
var ErrClosed = errors.New("wire: transport closed")

// DialError converts an error of internal/dial.
func DialError(err error) *Error {
	e := &Error{Phase: Connect, Err: err}
	var d *dial.Error
	if errors.As(err, &d) {
		e.Phase = [...]Phase{dial.Resolve: Resolve, dial.Connect: Connect, dial.TLS: TLS, dial.Proxying: Proxy}[d.Phase]
		e.Err = d.Err // without the prefix of dial.Error
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

// isAlert reports whether TLS has failed, by an alert or an invalid record.
func isAlert(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &alert) || errors.As(err, &record)
}
