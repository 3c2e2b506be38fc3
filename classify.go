package netreply

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/oserr"
	"github.com/netreply/netreply/internal/scheme"
	"github.com/netreply/netreply/internal/wire"
)

// Causes with which this package cancels the context of a transfer.
var (
	errAborted       = errors.New("aborted")
	errManagerClosed = errors.New("manager closed")
)

// limitError is an exceeded time limit of the Manager or of a Request.
type limitError struct {
	wanted string
	name   string
	limit  time.Duration
	phase  Phase // PhaseLocal means the current phase of the transfer
}

func transferTimeout(limit time.Duration) *limitError {
	return &limitError{"byte from the peer", "TransferTimeout", limit, PhaseLocal}
}

func headTimeout(limit time.Duration) *limitError {
	return &limitError{"response head", "HeadTimeout", limit, PhaseHeaders}
}

func minRate(rate int64) *limitError {
	return &limitError{"average of " + strconv.FormatInt(rate, 10) + " bytes per second, its MinRate,", "window", flow.RateWindow, PhaseLocal}
}

func (e *limitError) Error() string {
	return "no " + e.wanted + " within the " + e.name + " of " + e.limit.String()
}
func (e *limitError) Timeout() bool { return true }

// contextError is the error of a transfer whose caller's context has ended.
type contextError struct {
	err   error // context.Canceled or context.DeadlineExceeded
	cause error
}

func (e *contextError) Error() string   { return e.cause.Error() }
func (e *contextError) Unwrap() []error { return []error{e.err, e.cause} }

// waitError is a deadline that has passed while the reply waited for the program.
type waitError struct {
	err error
	to  string // do what
}

func (e *waitError) Error() string {
	return e.err.Error() + "; the reply waited for the program to " + e.to
}
func (e *waitError) Unwrap() error { return e.err }

// endCause returns why the context of a transfer has ended: a cause of this package as it
// is, the caller's as a contextError.
func endCause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if _, ours := cause.(*limitError); ours || cause == errAborted || cause == errManagerClosed {
		return cause
	}
	return &contextError{ctx.Err(), cause}
}

// classify maps an error to an *Error with a code; no other function does. It decides by
// type and phase, never by text. phase is the phase of the transfer, for errors that have
// none. host is the host of the request.
func classify(err error, phase Phase, host string) *Error {
	if e := classifyStep(err); e != nil {
		return e.printable()
	}
	var known *Error
	var ended *contextError
	var be *backendError
	if !errors.As(err, &ended) && errors.As(err, &known) && !known.ofAnotherReply(errors.As(err, &be)) {
		e := *known // a copy: it may belong to the program
		return e.printable()
	}
	e := &Error{Phase: phase, Err: err}
	var limit *limitError
	var we *wire.Error
	var ce *coding.Error
	var size *SizeLimitError
	switch {
	case ended != nil:
		e.Code = OperationCanceledError
		if ended.err == context.DeadlineExceeded {
			e.Code = TimeoutError
		}
		e.Err = ended.cause
	case errors.As(err, &be):
		e.Code, e.Err = backendCode(be.err), be.err
		var set *codeError
		if errors.As(be.err, &set) {
			e.Text = cmp.Or(set.text, codeText(set.code, host))
			return e.printable()
		}
	case errors.As(err, &limit):
		e.Code = TimeoutError
		if limit.phase != PhaseLocal {
			e.Phase = limit.phase
		}
	case errors.Is(err, errAborted), errors.Is(err, errManagerClosed), errors.Is(err, wire.ErrClosed):
		e.Code = OperationCanceledError
	case errors.As(err, &we):
		e.Phase = wirePhase[we.Phase]
		e.Sent, e.unprocessed = we.Sent, we.Unprocessed
		e.Err = schemeMismatch(we.Err)
		e.Code = wireCode(we)
		e.Attempts = attempts(we.Err)
		if ce, ok := certificateError(we.Err); ok {
			e.Err = ce
		}
		if e.Code > 100 && e.Code < 200 {
			e.Phase = PhaseProxy
		}
	case errors.As(err, &ce):
		e.Code, e.Phase = UnknownContentError, PhaseDecode
	case errors.As(err, &size):
		e.Code, e.Phase = UnknownContentError, PhaseBody
	default:
		e.Code = UnknownNetworkError
	}
	e.Text = errorText(e, host)
	return e.printable()
}

// ofAnotherReply reports whether the error describes another reply, which a body or a Backend
// has read, or the status of a response that this reply has not received.
func (e *Error) ofAnotherReply(fromBackend bool) bool {
	return e.Method != "" || fromBackend && e.isStatus()
}

// classifyStep maps the errors of the steps of this transfer, and returns nil for others.
// Errors inside a *wire.Error or an *Error are not its own: the program may have wrapped
// the failure of another transfer.
func classifyStep(err error) *Error {
	for ; err != nil; err = errors.Unwrap(err) {
		switch failure := err.(type) {
		case *flow.Error:
			return flowError(failure)
		case *flow.ProxyFailure:
			return proxyError(failure)
		case *httpurl.Refusal:
			return redirectError(failure)
		case *auth.Error:
			return authError(failure)
		case *scheme.Error:
			return schemeError(failure)
		case *Error, *wire.Error:
			return nil
		}
	}
	return nil
}

// schemeError maps a failure of a data: or file: URL, or of an FSBackend (rules F3 to F9).
func schemeError(failure *scheme.Error) *Error {
	e := &Error{Phase: PhaseLocal, Text: failure.Text, Err: failure}
	switch failure.Fault {
	case scheme.Malformed:
		e.Code = ProtocolFailure
	case scheme.BadPath:
		e.Code = ProtocolInvalidOperationError
	case scheme.Directory, scheme.Special:
		e.Code = ContentOperationNotPermittedError
	case scheme.NotFound:
		e.Code = ContentNotFoundError
	case scheme.Denied:
		e.Code = ContentAccessDenied
	case scheme.Broken:
		e.Code, e.Phase = ProtocolFailure, PhaseBody
	}
	return e
}

func flowError(failure *flow.Error) *Error {
	e := &Error{Err: failure.Err}
	switch failure.Kind {
	case flow.BadAddress:
		e.Code, e.Phase, e.Text = HostNotFoundError, PhaseLocal, "Host "+failure.Host+" not found"
	case flow.Unresolvable:
		e.Code, e.Phase, e.Text = HostNotFoundError, PhaseResolve, "Host "+failure.Host+" not found"
	case flow.NotResent: // rule E23
		e.Code, e.Phase, e.Text = ContentReSendError, PhaseSend, "The body cannot be sent again"
	case flow.BodyDigest:
		e.Code, e.Phase, e.Text = ContentReSendError, PhaseSend, "The body cannot be read for its digest"
	case flow.RedirectDenied:
		e.Code, e.Phase, e.Text = OperationCanceledError, PhaseHeaders, "Redirect denied"
	case flow.NotCached: // rule S40
		e.Code, e.Phase, e.Text = ContentNotFoundError, PhaseLocal, "Error opening "+failure.Host
	case flow.StoreFailed:
		e.Code, e.Phase, e.Text = UnknownContentError, PhaseBody, "The cache could not be read"
	case flow.BodySource:
		return bodyFailure("opening the body", failure.Err)
	}
	return e
}

// authError maps a failed authentication.
func authError(e *auth.Error) *Error {
	if e.Role == auth.Proxy {
		return &Error{Code: ProxyAuthenticationRequiredError, Phase: PhaseProxy, Text: "Proxy requires authentication", Err: e.Err}
	}
	return &Error{Code: AuthenticationRequiredError, Phase: PhaseHeaders, Text: "Host requires authentication", Err: e.Err}
}

// redirectError maps a refused redirect.
func redirectError(refusal *httpurl.Refusal) *Error {
	bad := FieldError(refusal.Problem)
	e := &Error{Phase: PhaseHeaders, Err: &bad}
	switch refusal.Kind {
	case httpurl.Ambiguous:
		e.Code, e.Text = ProtocolFailure, "Data corrupted"
	case httpurl.TooMany:
		e.Code, e.Text = TooManyRedirectsError, "Too many redirects"
		bad.Reason = "as many as Request.MaxRedirects allows have been followed"
	case httpurl.OtherOrigin:
		e.Code, e.Text = InsecureRedirectError, "Insecure redirect"
		bad.Reason += ", which SameOriginRedirectPolicy does not follow"
	case httpurl.LessSafe:
		e.Code, e.Text = InsecureRedirectError, "Insecure redirect"
		bad.Reason += ", which only UserVerifiedRedirectPolicy can allow"
	default:
		e.Code, e.Text = ProtocolUnknownError, "Unknown protocol specified"
	}
	return e
}

// attempts returns the failed attempts in an error.
func attempts(err error) []Attempt {
	var tried dial.Attempts
	if !errors.As(err, &tried) {
		return nil
	}
	list := make([]Attempt, len(tried))
	for i, t := range tried {
		list[i] = Attempt(t)
	}
	return list
}

// schemeMismatch adds http.ErrSchemeMismatch, as http.Client does, if a server has answered
// a TLS handshake with HTTP.
func schemeMismatch(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
		return fmt.Errorf("%w: %w", http.ErrSchemeMismatch, err)
	}
	return err
}

var wirePhase = [...]Phase{wire.Resolve: PhaseResolve, wire.Connect: PhaseConnect, wire.TLS: PhaseTLS,
	wire.Send: PhaseSend, wire.Headers: PhaseHeaders, wire.Body: PhaseBody, wire.Proxy: PhaseProxy}

func wireCode(we *wire.Error) NetworkError {
	var code NetworkError
	if errors.As(we.Err, &code) { // an error of Config.DialContext with a code
		return code
	}
	switch we.Fault {
	case wire.Closed:
		return RemoteHostClosedError
	case wire.Malformed:
		return ProtocolFailure
	case wire.Alert:
		return SslHandshakeFailedError
	case wire.Reset, wire.GoAway:
		return h2Error(we.Code)
	case wire.Timeout:
		return TimeoutError
	case wire.Source:
		return UnknownNetworkError
	case wire.Other: // decided by its cause below
	}
	err := we.Err
	var blocked *BlockedAddressError
	if errors.As(err, &blocked) {
		return UnknownNetworkError
	}
	var dns *net.DNSError
	var ne net.Error
	switch {
	case errors.As(err, &dns):
		switch {
		case dns.IsTimeout:
			return TimeoutError
		case dns.IsTemporary && !dns.IsNotFound:
			return TemporaryNetworkFailureError
		}
		return HostNotFoundError
	case we.Phase == wire.Resolve:
		return HostNotFoundError
	case oserr.Is(err, oserr.Unreachable):
		return TemporaryNetworkFailureError
	case oserr.Is(err, oserr.NoAddress):
		return NetworkSessionFailedError
	case oserr.Is(err, oserr.Refused):
		return ConnectionRefusedError
	case errors.As(err, &ne) && ne.Timeout(), oserr.Is(err, oserr.TimedOut):
		return TimeoutError
	case we.Phase == wire.TLS:
		return SslHandshakeFailedError
	case oserr.Is(err, oserr.Reset):
		return RemoteHostClosedError
	}
	return UnknownNetworkError
}

// codeText is the text of a code alone.
func codeText(code NetworkError, host string) string {
	if text := errorText(&Error{Code: code}, host); text != unknownError {
		return text
	}
	return code.String()
}

const unknownError = "Unknown error"

// errorText is Qt's errorString for a code.
func errorText(e *Error, host string) string {
	switch e.Code {
	case ConnectionRefusedError:
		return "Connection refused"
	case RemoteHostClosedError:
		return "Connection closed"
	case HostNotFoundError:
		return "Host " + host + " not found"
	case TimeoutError:
		return "Operation timed out"
	case OperationCanceledError:
		return "Operation canceled"
	case SslHandshakeFailedError:
		var ce *CertificateError
		if errors.As(e.Err, &ce) {
			return "SSL handshake failed: " + ce.firstText()
		}
		if e.Err != nil {
			return "SSL handshake failed: " + e.Err.Error()
		}
		return "SSL handshake failed"
	case TemporaryNetworkFailureError:
		return "Temporary network failure"
	case ProtocolFailure:
		return "Data corrupted"
	case UnknownContentError:
		if e.Phase == PhaseDecode {
			return "Decompression failed: " + e.Err.Error()
		}
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return unknownError
}

// statusFailure is the error of a response whose status is an error (rule E5).
func statusFailure(status int, reason, url string, h http.Header) *Error {
	text := "Error transferring " + url + " - server replied: " + printable(reason, maxReason)
	switch status {
	case http.StatusUnauthorized:
		text = "Host requires authentication"
	case http.StatusProxyAuthRequired:
		text = "Proxy requires authentication"
	}
	return &Error{Code: statusError(status), Phase: PhaseBody, StatusCode: status, reason: reason, Text: text, RetryAfter: retryAfter(h, time.Now())}
}

// localError is the error of a request that cannot be sent.
func localError(code NetworkError, text string, err error) *Error {
	return &Error{Code: code, Phase: PhaseLocal, Text: text, Err: err}
}

// bodyFailure is the error of the source of a request body.
func bodyFailure(doing string, err error) *Error {
	err = fmt.Errorf("%s: %w", doing, err)
	return &Error{Code: UnknownNetworkError, Phase: PhaseLocal, Text: err.Error(), Err: err}
}

// contentFailure is the error of a body that does not have the content that the program asks
// for.
func contentFailure(phase Phase, err error) *Error {
	e := &Error{Code: UnknownContentError, Phase: phase, Text: err.Error(), Err: err}
	return e.printable()
}

// errNotMade is the error of every operation on a Manager that NewManager has not made, or
// on its replies.
func errNotMade() *Error {
	return localError(ProtocolInvalidOperationError, "Not made by NewManager",
		&FieldError{Field: "Manager", Reason: "use NewManager, and check its error"})
}
