package netreply

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// retryable reports whether sending a request again is safe and may succeed. idempotent
// reports that the request may be processed twice without harm.
func retryable(e *Error, idempotent bool) bool {
	switch e.Code {
	case OperationCanceledError, SslHandshakeFailedError, TooManyRedirectsError, InsecureRedirectError, BackgroundRequestNotAllowedError,
		ProxyAuthenticationRequiredError:
		return false // the same failure would occur again, or the program has canceled
	}
	if blocked := (*BlockedAddressError)(nil); errors.As(e.Err, &blocked) {
		return false
	}
	if e.unprocessed {
		return true
	}
	if e.isStatus() {
		return idempotent && isTransient(e.StatusCode)
	}
	if e.Code > 200 && e.Code < 400 && e.Code != ProtocolFailure {
		return false // the server has processed the request
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

// maxRetryAfter bounds Error.RetryAfter, so that a server cannot make a program sleep
// without end.
const maxRetryAfter = 24 * time.Hour

// retryAfter parses the field Retry-After (RFC 9110, section 10.2.3), seconds or a date. A
// date is compared with the response's Date field, if there is one. 0 means that the field
// is missing, invalid or past.
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

// digits parses a decimal number; larger ones become 1e6.
func digits(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), 1e6)
	}
	return n, s != ""
}
