package wire

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// h2StreamError has the fields of net/http's HTTP/2 stream error, whose type is not
// exported; its As method sets them.
type h2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e h2StreamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

const (
	h2ProtocolError = 1
	h2RefusedStream = 7
)

// h2Fault classifies the errors of net/http's HTTP/2 client. Stream errors are found by
// type, and the end of the connection by the guard's state: goAway is the peer's GOAWAY,
// readErr the error of reading. The other errors of net/http differ only by text; each text
// has a test.
func h2Fault(e *Error, goAway h2GoAway, readErr error) {
	var se h2StreamError
	if errors.As(e.Err, &se) {
		h2StreamFault(e, se)
		return
	}
	// ignore the peer's debug data of a GOAWAY, which may contain anything
	text, _, _ := strings.Cut(e.Err.Error(), ", debug=")
	has := func(s string) bool { return strings.Contains(text, s) }
	neverBegan := has("client conn could not be established")
	unopened := has("client conn not usable")
	// for streams above the last one in the GOAWAY
	unprocessed := has("graceful shutdown GOAWAY") || has("Transport received GOAWAY from server")
	e.Unprocessed = (neverBegan || unopened || unprocessed) && !has("after Request.Body was written")
	var broken *h2Violation
	switch {
	case unopened && goAway.code == 0:
		e.Fault = Closed
	case isAlert(e.Err):
		e.Phase, e.Fault = TLS, Alert
	case readErr != nil && isAlert(readErr) && !unopened:
		// net/http does not return the alert if HTTP/2 had not begun, or if its write
		// failed first
		e.Phase, e.Fault, e.Err, e.Unprocessed = TLS, Alert, readErr, false
	case errors.As(e.Err, &broken), errors.As(readErr, &broken):
		e.Fault, e.Err, e.Unprocessed = Malformed, broken, false
	case goAway.code != 0:
		e.Fault, e.Code, e.Err = GoAway, goAway.code, goAwayError(goAway, e.Err)
	case goAway.seen, e.Unprocessed:
		e.Fault = Closed
		if goAway.seen {
			e.Err = goAwayError(goAway, e.Err)
		}
	case has("client connection lost") && readErr != nil && peerClosed(readErr):
		e.Fault, e.Err = Closed, readErr // the peer has ended the connection during a PING
	case has("client connection lost"), has("timeout awaiting response headers"):
		e.Fault = Timeout
	case has("connection error: "):
		e.Fault = Malformed
	case readErr != nil && peerClosed(e.Err), errors.Is(e.Err, net.ErrClosed), has("client connection force closed"),
		has("client conn is closed"):
		e.Fault = Closed
	case isOS(e.Err):
		e.Fault = Other
	default:
		e.Fault = Malformed
	}
}

// h2StreamFault classifies the end of one stream.
func h2StreamFault(e *Error, se h2StreamError) {
	e.Fault, e.Code = Reset, se.Code
	e.Unprocessed = se.Code == h2RefusedStream
	if se.Cause == nil {
		e.Fault = Malformed
		return
	}
	cause := se.Cause.Error()
	if strings.Contains(cause, "received from peer") {
		return
	}
	// net/http has reset the stream because of invalid frames, perhaps those of poison
	e.Fault, e.Unprocessed = Malformed, false
	if _, letter, ok := strings.Cut(cause, poisonName); ok && letter != "" {
		if f := h2Flaw(letter[0] - 'A'); f > noFlaw && f < flaws {
			e.Err = f
		}
	}
}

// h2GoAwayError is the error of a connection that the peer has ended by GOAWAY.
type h2GoAwayError struct {
	code uint32
	err  error // a consequence with more details; may be nil
}

// goAwayError makes an h2GoAwayError. net/http's own text is dropped, because it contains
// the peer's debug data, of any length.
func goAwayError(g h2GoAway, err error) error {
	if strings.Contains(err.Error(), "GOAWAY") {
		err = nil
	}
	return h2GoAwayError{g.code, err}
}

func (e h2GoAwayError) Error() string {
	text := "the server ended the connection by GOAWAY with code " + h2CodeName(e.code)
	if e.err != nil {
		text += ": " + e.err.Error()
	}
	return text
}

func (e h2GoAwayError) Unwrap() error { return e.err }

// HTTP/2 error codes (RFC 9113, section 7).
var h2Names = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

func h2CodeName(code uint32) string {
	if code < uint32(len(h2Names)) {
		return h2Names[code]
	}
	return fmt.Sprintf("%#x", code)
}
