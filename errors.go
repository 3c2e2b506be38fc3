package netreply

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// NetworkError is the code of a failure, with Qt's names and numbers
// (QNetworkReply::NetworkError). It implements error, so that it can be a target of
// errors.Is:
//
//	if errors.Is(err, netreply.HostNotFoundError) { … }
//
// 1 to 99 are failures of the network, 101 to 199 of a proxy, 201 to 299 of the content,
// 301 to 399 of the protocol, and 401 to 499 of the server.
type NetworkError int

const (
	NoError NetworkError = 0

	ConnectionRefusedError           NetworkError = 1  // nothing listens on that port
	RemoteHostClosedError            NetworkError = 2  // the peer closed the connection before the response was complete
	HostNotFoundError                NetworkError = 3  // the name does not exist
	TimeoutError                     NetworkError = 4  // a time limit was exceeded; Error.Phase says where
	OperationCanceledError           NetworkError = 5  // Abort, Close or the end of the context
	SslHandshakeFailedError          NetworkError = 6  // the TLS handshake failed
	TemporaryNetworkFailureError     NetworkError = 7  // the network is down or unreachable
	NetworkSessionFailedError        NetworkError = 8  // no usable interface or source address
	BackgroundRequestNotAllowedError NetworkError = 9  // Config.ForbidBackground
	TooManyRedirectsError            NetworkError = 10 // Request.MaxRedirects
	InsecureRedirectError            NetworkError = 11 // the redirect policy refused the target
	UnknownNetworkError              NetworkError = 99 // any other failure of the network

	ProxyConnectionRefusedError      NetworkError = 101 // nothing listens on the proxy's port
	ProxyConnectionClosedError       NetworkError = 102 // the proxy closed the connection
	ProxyNotFoundError               NetworkError = 103 // the name of the proxy does not exist, or no proxy can be used
	ProxyTimeoutError                NetworkError = 104 // the proxy does not respond
	ProxyAuthenticationRequiredError NetworkError = 105 // status 407
	UnknownProxyError                NetworkError = 199 // any other failure of a proxy

	ContentAccessDenied               NetworkError = 201 // status 403
	ContentOperationNotPermittedError NetworkError = 202 // status 405
	ContentNotFoundError              NetworkError = 203 // status 404
	AuthenticationRequiredError       NetworkError = 204 // status 401
	ContentReSendError                NetworkError = 205 // the body has to be sent again, which is not possible
	ContentConflictError              NetworkError = 206 // status 409
	ContentGoneError                  NetworkError = 207 // status 410
	UnknownContentError               NetworkError = 299 // any other 4xx status, or a body that cannot be decoded or is too large

	ProtocolUnknownError          NetworkError = 301 // an unsupported URL scheme
	ProtocolInvalidOperationError NetworkError = 302 // status 400 or 418, or an invalid request
	ProtocolFailure               NetworkError = 399 // the peer violates the protocol

	InternalServerError          NetworkError = 401 // status 500
	OperationNotImplementedError NetworkError = 402 // status 501
	ServiceUnavailableError      NetworkError = 403 // status 503
	UnknownServerError           NetworkError = 499 // any other status from 500 on
)

var errorNames = map[NetworkError]string{
	NoError: "NoError", ConnectionRefusedError: "ConnectionRefusedError", RemoteHostClosedError: "RemoteHostClosedError",
	HostNotFoundError: "HostNotFoundError", TimeoutError: "TimeoutError", OperationCanceledError: "OperationCanceledError",
	SslHandshakeFailedError: "SslHandshakeFailedError", TemporaryNetworkFailureError: "TemporaryNetworkFailureError",
	NetworkSessionFailedError: "NetworkSessionFailedError", BackgroundRequestNotAllowedError: "BackgroundRequestNotAllowedError",
	TooManyRedirectsError: "TooManyRedirectsError", InsecureRedirectError: "InsecureRedirectError",
	UnknownNetworkError: "UnknownNetworkError", ProxyConnectionRefusedError: "ProxyConnectionRefusedError",
	ProxyConnectionClosedError: "ProxyConnectionClosedError", ProxyNotFoundError: "ProxyNotFoundError",
	ProxyTimeoutError: "ProxyTimeoutError", ProxyAuthenticationRequiredError: "ProxyAuthenticationRequiredError",
	UnknownProxyError: "UnknownProxyError", ContentAccessDenied: "ContentAccessDenied",
	ContentOperationNotPermittedError: "ContentOperationNotPermittedError", ContentNotFoundError: "ContentNotFoundError",
	AuthenticationRequiredError: "AuthenticationRequiredError", ContentReSendError: "ContentReSendError",
	ContentConflictError: "ContentConflictError", ContentGoneError: "ContentGoneError", UnknownContentError: "UnknownContentError",
	ProtocolUnknownError: "ProtocolUnknownError", ProtocolInvalidOperationError: "ProtocolInvalidOperationError",
	ProtocolFailure: "ProtocolFailure", InternalServerError: "InternalServerError",
	OperationNotImplementedError: "OperationNotImplementedError", ServiceUnavailableError: "ServiceUnavailableError",
	UnknownServerError: "UnknownServerError",
}

// String returns the name of the constant.
func (e NetworkError) String() string {
	if s, ok := errorNames[e]; ok {
		return s
	}
	return "NetworkError(" + strconv.Itoa(int(e)) + ")"
}

// Error implements error, for errors.Is. The errors of a Reply are of type *Error.
func (e NetworkError) Error() string { return e.String() }

// Timeout reports whether the code stands for an exceeded time limit.
func (e NetworkError) Timeout() bool { return e == TimeoutError || e == ProxyTimeoutError }

// Phase is the part of a transfer in which it failed.
type Phase int

const (
	PhaseLocal   Phase = iota // before anything was sent: an invalid request or a local limit
	PhaseQueue                // waiting for a connection, because Config.ConnectionsPerHost are in use
	PhaseResolve              // resolving the host name
	PhaseConnect              // opening the TCP connection
	PhaseProxy                // talking to a proxy
	PhaseTLS                  // TLS handshake
	PhaseSend                 // sending the request
	PhaseHeaders              // waiting for the response head
	PhaseBody                 // reading the response body
	PhaseDecode               // decoding the response body
)

// String is the name of the phase as error texts contain it.
func (p Phase) String() string {
	return nameOf("Phase", int(p), "local", "waiting for a connection", "resolve", "connect", "proxy", "tls", "send", "headers", "body", "decode")
}

// Error is the error of a failed reply. errors.Is matches its code, its cause, and
// context.Canceled or context.DeadlineExceeded where the code stands for one of them. It
// implements net.Error.
type Error struct {
	Code NetworkError
	// Text is Qt's errorString, for display to users.
	Text string
	// Phase is the phase that failed.
	Phase Phase
	// Method and URL are those of the hop that failed. The password is removed from URL.
	Method string
	URL    string
	// Hop is the number of redirects that were followed.
	Hop int
	// StatusCode is the status of the last response head, 0 if none was received.
	StatusCode int
	// Sent and Received are the bytes of the request and of the response body that were
	// transferred on this hop. Bytes from the cache do not count; see Reply.WireBytes.
	Sent, Received int64
	// Retryable reports that sending the request again cannot process it twice: the server
	// did not act on it, its method is idempotent (RFC 9110, section 9.2.2), or the request
	// is marked Idempotent. It is false if the same failure is to be expected again: of the
	// error statuses it is true only for 408, 425, 429 and those from 500 on except 501,
	// 505 and 511.
	Retryable bool
	// RetryAfter is the server's Retry-After (RFC 9110, section 10.2.3), at most 24 h; 0 if
	// there is none.
	RetryAfter time.Duration
	// Attempts are the addresses that were tried, if connecting failed for all.
	Attempts []Attempt
	// Err is the cause, or nil.
	Err error

	reason      string // reason phrase of the error status
	unprocessed bool   // the server has declared that it has not processed the request
}

// Attempt is a failed attempt to connect to an address. The addresses of a name are tried
// in parallel, each 250 ms after the previous one or when that has failed (RFC 8305).
type Attempt struct {
	Addr netip.AddrPort
	Err  error
}

// Error describes the failure for a log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("netreply: ")
	if e.Method != "" {
		b.WriteString(strings.TrimRight(e.Method+" "+e.URL, " ") + ": ")
	}
	b.WriteString(e.Code.String())
	if e.isStatus() {
		fmt.Fprintf(&b, " (%s)", strings.TrimSpace(strconv.Itoa(e.StatusCode)+" "+e.reason))
		return printable(b.String(), maxMessage)
	}
	if e.Phase != PhaseLocal {
		fmt.Fprintf(&b, " (%s)", e.Phase)
	}
	if e.Err != nil {
		text := e.Err.Error()
		if rest, begins := strings.CutPrefix(text, e.Code.String()); begins { // a Backend may wrap the code itself
			text = strings.TrimPrefix(rest, ": ")
		}
		if text != "" {
			b.WriteString(": " + text)
		}
	} else if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	return printable(b.String(), maxMessage)
}

// isStatus reports whether the error is the status of a complete response.
func (e *Error) isStatus() bool { return e.Err == nil && e.StatusCode >= 400 && e.Phase == PhaseBody }

func (e *Error) Unwrap() error { return e.Err }

// Is matches a NetworkError, TooManyRequests, context.Canceled and
// context.DeadlineExceeded.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == OperationCanceledError
	case context.DeadlineExceeded:
		return e.Code.Timeout()
	}
	switch target := target.(type) {
	case NetworkError:
		return target == e.Code
	case statusTarget:
		return e.isStatus() && e.StatusCode == int(target)
	}
	return false
}

// TooManyRequests is a target of errors.Is for a reply that failed with status 429 (RFC
// 6585, section 4). Qt has no code for it: its Error.Code is UnknownContentError.
// Error.RetryAfter says how long to wait, if the server does.
var TooManyRequests error = statusTarget(http.StatusTooManyRequests)

// statusTarget is a status as a target of errors.Is.
type statusTarget int

func (s statusTarget) Error() string {
	return "status " + strconv.Itoa(int(s)) + " " + http.StatusText(int(s))
}

// Timeout reports whether a time limit was exceeded.
func (e *Error) Timeout() bool { return e.Code.Timeout() }

// Temporary reports whether the same request may succeed later, whether or not it is safe
// to send again.
//
// Deprecated: it exists for net.Error; use Retryable.
func (e *Error) Temporary() bool {
	return e.Timeout() || e.Code == TemporaryNetworkFailureError || e.isStatus() && isTransient(e.StatusCode)
}

var _ net.Error = (*Error)(nil)

// isTransient reports whether a status describes a condition that may end by itself (RFC 9110,
// section 15; RFC 6585; RFC 8470). 501, 505 and 511 do not: they require another method,
// version or network login.
func isTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return status >= 500
}

// printable escapes and shortens all texts of e. Every function that makes an *Error for
// the program ends with it.
func (e *Error) printable() *Error {
	e.Text = printable(e.Text, maxMessage)
	e.reason = printable(e.reason, maxReason)
	if e.Err != nil {
		text := e.Err.Error()
		if shown := printable(text, maxMessage); shown != text {
			e.Err = &printableError{shown, e.Err}
		}
	}
	return e
}

// LogValue is what log/slog prints: the same as String.
func (p Phase) LogValue() slog.Value { return slog.StringValue(p.String()) }
