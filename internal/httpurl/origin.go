package httpurl

import (
	"net/url"
	"strings"
)

// Origin returns the scheme, host and port of a URL in canonical form; false for a URL
// without a valid host.
func Origin(u *url.URL) (string, bool) {
	addr, err := Address(u)
	return u.Scheme + "://" + addr, err == nil && u.Hostname() != ""
}

// KeepsCredentials reports whether credentials for the origin of from may be sent to the
// origin of to: it is the same (RFC 6454), or the same host with https instead of http,
// both at their default ports (D11).
func KeepsCredentials(from, to *url.URL) bool {
	a, errA := Address(from)
	b, errB := Address(to)
	if errA != nil || errB != nil {
		return false
	}
	if from.Scheme == to.Scheme {
		return a == b
	}
	a, http := strings.CutSuffix(a, ":80")
	b, https := strings.CutSuffix(b, ":443")
	return from.Scheme == "http" && to.Scheme == "https" && http && https && a == b
}

// sameAsWritten compares origins without adding default ports (rule R5).
func sameAsWritten(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && a.Port() == b.Port()
}
