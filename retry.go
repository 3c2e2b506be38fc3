package netreply

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// retryable reports whether sending a request again is safe, and may help. idempotent says
// that it may be carried out twice without harm.
func retryable(e *Error, idempotent bool) bool {
	switch e.Code {
	case OperationCanceledError, SslHandshakeFailedError, TooManyRedirectsError, InsecureRedirectError, BackgroundRequestNotAllowedError,
		ProxyAuthenticationRequiredError:
		return false // the same would happen again, or nobody wants it
	}
	if blocked := (*BlockedAddressError)(nil); errors.As(e.Err, &blocked) {
		return false
	}
	if e.unprocessed {
		return true
	}
	if e.isStatus() {
		return idempotent && mayPass(e.StatusCode)
	}
	if e.Code > 200 && e.Code < 400 && e.Code != ProtocolFailure {
		return false // the server has answered
	}
	switch e.Phase {
	case PhaseLocal:
		return e.Code == TimeoutError
	case PhaseQueue, PhaseResolve, PhaseConnect, PhaseProxy, PhaseTLS:
		return true // nothing was sent
	case PhaseSend, PhaseHeaders, PhaseBody, PhaseDecode:
	}
	return idempotent
}

// maxRetryAfter bounds Error.RetryAfter, so that a server cannot make a program that
// sleeps for so long forget what it wanted.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the field Retry-After (RFC 9110, section 10.2.3), seconds or a moment;
// moments are compared with the server's own clock if it tells. 0 means that there is
// nothing to be known, or nothing to wait for.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.Trim(h.Get("Retry-After"), " \t")
	if text == "" {
		return 0
	}
	if seconds, ok := digits(text); ok {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// digits reads a decimal number, as 1e6 when it is larger.
func digits(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), 1e6)
	}
	return n, s != ""
}
