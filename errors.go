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

// NetworkError is the reason a reply failed, with Qt's names and numbers
// (QNetworkReply::NetworkError). It implements error, so that it can be a
// target of errors.Is:
//
//	if errors.Is(err, netreply.HostNotFoundError) { … }
//
// 1 to 99 are failures of the network, 101 to 199 of a proxy, 201 to 299 of the
// content, 301 to 399 of the protocol and 401 to 499 of the server.
type NetworkError int

const (
	NoError NetworkError = 0

	ConnectionRefusedError           NetworkError = 1  // nobody listens on that port
	RemoteHostClosedError            NetworkError = 2  // the peer ended the connection before the response was whole
	HostNotFoundError                NetworkError = 3  // the name does not exist
	TimeoutError                     NetworkError = 4  // a time limit passed; Error.Phase says which
	OperationCanceledError           NetworkError = 5  // Abort, Close or the end of the context
	SslHandshakeFailedError          NetworkError = 6  // no encrypted channel could be made
	TemporaryNetworkFailureError     NetworkError = 7  // the network is down or not reachable
	NetworkSessionFailedError        NetworkError = 8  // no usable interface or source address
	BackgroundRequestNotAllowedError NetworkError = 9  // Config.ForbidBackground
	TooManyRedirectsError            NetworkError = 10 // Request.MaxRedirects
	InsecureRedirectError            NetworkError = 11 // the redirect policy refused the target
	UnknownNetworkError              NetworkError = 99

	ProxyConnectionRefusedError      NetworkError = 101
	ProxyConnectionClosedError       NetworkError = 102
	ProxyNotFoundError               NetworkError = 103
	ProxyTimeoutError                NetworkError = 104
	ProxyAuthenticationRequiredError NetworkError = 105 // status 407
	UnknownProxyError                NetworkError = 199

	ContentAccessDenied               NetworkError = 201 // status 403
	ContentOperationNotPermittedError NetworkError = 202 // status 405
	ContentNotFoundError              NetworkError = 203 // status 404
	AuthenticationRequiredError       NetworkError = 204 // status 401
	ContentReSendError                NetworkError = 205 // the body had to be sent again and could not be
	ContentConflictError              NetworkError = 206 // status 409
	ContentGoneError                  NetworkError = 207 // status 410
	UnknownContentError               NetworkError = 299 // other status of 4xx, or a body that cannot be decoded

	ProtocolUnknownError          NetworkError = 301 // a URL scheme that is not offered
	ProtocolInvalidOperationError NetworkError = 302 // status 400 or 418, or a request that cannot be sent as it is
	ProtocolFailure               NetworkError = 399 // the peer does not keep to the protocol

	InternalServerError          NetworkError = 401 // status 500
	OperationNotImplementedError NetworkError = 402 // status 501
	ServiceUnavailableError      NetworkError = 403 // status 503
	UnknownServerError           NetworkError = 499 // other status of 500 and above
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

// Error makes a NetworkError a target of errors.Is; the errors that a Reply
// gives are of type *Error.
func (e NetworkError) Error() string { return e.String() }

// Timeout reports whether the code stands for a time limit that passed.
func (e NetworkError) Timeout() bool { return e == TimeoutError || e == ProxyTimeoutError }

// Phase is the part of a transfer in which it failed.
type Phase int

const (
	PhaseLocal   Phase = iota // before anything was sent: the request or a local limit
	PhaseQueue                // waiting for a connection, all that there may be being in use
	PhaseResolve              // looking the host name up
	PhaseConnect              // opening the TCP connection
	PhaseProxy                // talking to a proxy
	PhaseTLS                  // shaking hands
	PhaseSend                 // sending the request
	PhaseHeaders              // waiting for the response head, or reading it
	PhaseBody                 // reading the response body
	PhaseDecode               // undoing its content coding
)

// String is the word for the phase that errors have.
func (p Phase) String() string {
	return nameOf("Phase", int(p), "local", "waiting for a connection", "resolve", "connect", "proxy", "tls", "send", "headers", "body", "decode")
}

// Error is what Reply.Err returns for a failed reply. errors.Is finds its code,
// its cause, and context.Canceled or context.DeadlineExceeded where the code
// stands for one of them. It implements net.Error.
type Error struct {
	Code NetworkError
	// Text is Qt's errorString: a sentence for a person.
	Text string
	// Phase is where it happened.
	Phase Phase
	// Method and URL are those of the hop that failed. The URL has no
	// password.
	Method string
	URL    string
	// Hop counts the redirects that had been followed.
	Hop int
	// StatusCode is the status of the last response head, 0 when none came.
	StatusCode int
	// Sent and Received are the bytes of the request and of the response body,
	// of this hop.
	Sent, Received int64
	// Retryable says that sending the request again cannot make anything happen
	// twice: the server did not act on it, or its method is idempotent
	// (RFC 9110, section 9.2.2), or it was marked so. It is false where the same would
	// only happen again: of the statuses 408, 425, 429 and those of 500 and above may pass,
	// 501, 505 and 511 do not.
	Retryable bool
	// RetryAfter is how long the server asks to wait before the next try (RFC 9110, section
	// 10.2.3), at most 24 h; 0 when it does not say.
	RetryAfter time.Duration
	// Attempts are the addresses that were tried, where none could be connected to.
	Attempts []Attempt
	// Err is the cause, or nil.
	Err error

	reason      string // phrase of a status that is an error
	unprocessed bool   // the server has promised not to have acted on it
}

// Attempt is an address that could not be connected to. The addresses of a name are tried
// side by side, each 250 ms after the one before, or when that has failed (RFC 8305).
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
		b.WriteString(": " + e.Err.Error())
	} else if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	return printable(b.String(), maxMessage)
}

// isStatus reports whether the response came whole and its status is the error.
func (e *Error) isStatus() bool { return e.Err == nil && e.StatusCode >= 400 && e.Phase == PhaseBody }

func (e *Error) Unwrap() error { return e.Err }

// Is matches codes, and the errors of package context by their meaning.
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

// Timeout reports whether a time limit passed.
func (e *Error) Timeout() bool { return e.Code.Timeout() }

// Temporary reports whether the same request may succeed later, be it safe to send again or
// not.
//
// Deprecated: it is there for net.Error; use Retryable.
func (e *Error) Temporary() bool {
	return e.Timeout() || e.Code == TemporaryNetworkFailureError || e.isStatus() && mayPass(e.StatusCode)
}

var _ net.Error = (*Error)(nil)

// mayPass reports whether a status speaks of a state of the server that may pass by itself
// (RFC 9110, section 15; RFC 6585; RFC 8470). 501, 505 and 511 do not: a method, a version
// or a network wants something else.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return status >= 500
}

// printable makes everything that e says fit to be shown. It is the last thing that is done
// to an error of this package.
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
