package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/netreply/netreply/internal/dial"
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
	Alert                  // a TLS alert of the peer after the handshake
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
	Sent   int64  // bytes of the request that were given to the connection
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
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}

// h2StreamError has the shape that net/http's HTTP/2 stream error fills in by
// its As method; the type itself is not exported.
type h2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e h2StreamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

// HTTP/2 error codes by the names net/http prints.
var h2Names = map[string]uint32{
	"NO_ERROR": 0, "PROTOCOL_ERROR": 1, "INTERNAL_ERROR": 2, "FLOW_CONTROL_ERROR": 3, "SETTINGS_TIMEOUT": 4,
	"STREAM_CLOSED": 5, "FRAME_SIZE_ERROR": 6, "REFUSED_STREAM": 7, "CANCEL": 8, "COMPRESSION_ERROR": 9,
	"CONNECT_ERROR": 10, "ENHANCE_YOUR_CALM": 11, "INADEQUATE_SECURITY": 12, "HTTP_1_1_REQUIRED": 13,
}

const (
	h2NoError       = 0
	h2ProtocolError = 1
	h2RefusedStream = 7
)

// h2Fault recognises the errors of net/http's HTTP/2 client. Stream errors go
// by type; for the rest net/http has only texts, each with a test of its own.
func h2Fault(e *Error, peerGone bool) {
	var se h2StreamError
	if errors.As(e.Err, &se) {
		e.Fault, e.Code = Reset, se.Code
		e.Unprocessed = se.Code == h2RefusedStream
		if se.Cause != nil && !strings.Contains(se.Cause.Error(), "received from peer") {
			// net/http found the peer's frames wrong and reset the stream itself
			e.Fault = Malformed
		}
		return
	}
	text := e.Err.Error()
	switch {
	case strings.Contains(text, "server sent GOAWAY"):
		e.Fault = GoAway
		if _, rest, ok := strings.Cut(text, "ErrCode="); ok {
			name, _, _ := strings.Cut(rest, ",")
			code, known := h2Names[name]
			if !known {
				code = h2ProtocolError
			}
			e.Code = code
		}
		if e.Code == h2NoError {
			e.Fault = Closed
		}
	case strings.Contains(text, "graceful shutdown GOAWAY"), strings.Contains(text, "client conn not usable"),
		strings.Contains(text, "client conn is closed"), neverBegan(e.Err):
		// the stream was never opened, or lies above the last one the peer takes
		e.Fault, e.Unprocessed = Closed, true
		if strings.Contains(text, "after Request.Body was written") {
			e.Unprocessed = false
		}
	case strings.Contains(text, "client connection lost"), strings.Contains(text, "timeout awaiting response headers"):
		e.Fault = Timeout
	case strings.Contains(text, "connection error: "):
		e.Fault = Malformed
	case peerGone && peerClosed(e.Err), strings.Contains(text, "client connection force closed"):
		e.Fault = Closed
	case isOS(e.Err):
		e.Fault = Other
	default:
		e.Fault = Malformed
	}
}

// neverBegan tells that the connection ended before the peer's first frame.
func neverBegan(err error) bool {
	return strings.Contains(err.Error(), "client conn could not be established")
}

func isOS(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

func isAlert(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	var alert tls.AlertError
	return errors.As(err, &alert)
}
