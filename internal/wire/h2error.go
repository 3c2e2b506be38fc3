package wire

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// h2StreamError has the shape that net/http's HTTP/2 stream error fills in by
// its As method; the type itself is not exported.
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

// h2Fault recognises the errors of net/http's HTTP/2 client. Stream errors go by type,
// and how the connection ended the guard knows: goAway is what the peer has said,
// readErr what reading ended with. For the rest net/http has only texts, each with a
// test of its own.
func h2Fault(e *Error, goAway h2GoAway, readErr error) {
	var se h2StreamError
	if errors.As(e.Err, &se) {
		h2StreamFault(e, se)
		return
	}
	// what the peer has added to a GOAWAY stands last, and must not be taken for net/http's
	text, _, _ := strings.Cut(e.Err.Error(), ", debug=")
	has := func(s string) bool { return strings.Contains(text, s) }
	neverBegan := has("client conn could not be established")
	unopened := has("client conn not usable")
	// net/http promises this of streams above the last one that the peer takes
	unprocessed := has("graceful shutdown GOAWAY") || has("Transport received GOAWAY from server")
	e.Unprocessed = (neverBegan || unopened || unprocessed) && !has("after Request.Body was written")
	var broken *h2Violation
	switch {
	case unopened && goAway.code == 0:
		e.Fault = Closed
	case isAlert(e.Err):
		e.Phase, e.Fault = TLS, Alert
	case readErr != nil && isAlert(readErr) && !unopened:
		// net/http keeps it to itself where HTTP/2 had not begun, and where it met the
		// closed end first when it wrote
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

// h2StreamFault describes the end of one stream.
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
	// net/http found the peer's frames wrong and reset the stream itself, by the guard's
	// advice perhaps
	e.Fault, e.Unprocessed = Malformed, false
	if _, letter, ok := strings.Cut(cause, poisonName); ok && letter != "" {
		if f := h2Flaw(letter[0] - 'A'); f > noFlaw && f < flaws {
			e.Err = f
		}
	}
}

// h2GoAwayError names the code by which the peer went.
type h2GoAwayError struct {
	code uint32
	err  error // what came of it, where that says more
}

// goAwayError describes an end by GOAWAY. net/http's own text repeats what the peer has
// added for debugging, at any length.
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
