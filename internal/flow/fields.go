package flow

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/httpurl"
)

// canonicalFields lists the fields that are sent with their canonical name, because net/http or
// a step looks them up by it or writes them. All others are sent as the program spelled
// them.
var canonicalFields = map[string]bool{
	"User-Agent": true, "Connection": true, "Expect": true, "Cookie": true, "Accept-Encoding": true, "Range": true,
	"Authorization": true, "Content-Type": true, "Trailer": true, "Upgrade": true,
	"Proxy-Authorization": true,
}

// toMap makes the map for net/http, without the fields that the transport sets: those for
// framing, and Host. It is m, which must be empty, unless that is nil.
func toMap(m http.Header, h headers.Headers) http.Header {
	if m == nil {
		m = make(http.Header, h.Len()+2)
	}
	for name, value := range h.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		switch key {
		case "Host", "Content-Length", "Transfer-Encoding":
			continue
		}
		if !canonicalFields[key] {
			key = name
		}
		m[key] = append(m[key], value)
	}
	return m
}

// secretFields are the request fields that are not sent to other origins (D11).
var secretFields = [...]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization"}

// isSecretField reports whether a field is one of secretFields or of more, ignoring case.
func isSecretField(name string, more []string) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	return slices.ContainsFunc(secretFields[:], same) || slices.ContainsFunc(more, same)
}

// contentFields describe the body of a request (RFC 9110, section 15.4), in addition to all
// Content-* fields.
var contentFields = [...]string{"Digest", "Repr-Digest", "Last-Modified", "Transfer-Encoding", "Trailer", "Expect"}

func isContentField(name string) bool {
	const prefix = "Content-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) ||
		slices.ContainsFunc(contentFields[:], func(f string) bool { return strings.EqualFold(f, name) })
}

// NextHeaders returns the headers for the next hop (rules R13, R14, R16 and D11). secret
// names further fields that are not sent to other origins.
func NextHeaders(h headers.Headers, secret []string, p httpurl.Plan) headers.Headers {
	var gone []string
	for name := range h.All() {
		switch {
		case !p.SameOrigin && (isSecretField(name, secret) || strings.EqualFold(name, "Host") || strings.EqualFold(name, "Www-Authenticate")),
			!p.SendBody && isContentField(name):
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		h.Del(name)
	}
	return h
}
