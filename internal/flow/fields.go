package flow

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/httpurl"
)

// ownSpelling lists the fields that net/http or a step looks up by
// their canonical name or writes itself; all others are sent as the caller spelled
// them.
var ownSpelling = map[string]bool{
	"User-Agent": true, "Connection": true, "Expect": true, "Cookie": true, "Accept-Encoding": true, "Range": true,
	"Authorization": true, "Content-Type": true, "Trailer": true, "Upgrade": true,
	"Proxy-Authorization": true,
}

// toMap makes the map that net/http writes, without the fields that describe
// the framing and the host, which are the transport's.
func toMap(h headers.Headers) http.Header {
	m := make(http.Header, h.Len()+2)
	for name, value := range h.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		switch key {
		case "Host", "Content-Length", "Transfer-Encoding":
			continue
		}
		if !ownSpelling[key] {
			key = name
		}
		m[key] = append(m[key], value)
	}
	return m
}

// secretFields are the request fields that belong to one origin and are never
// printed (D11).
var secretFields = [...]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization"}

// isSecretField tells whether a field is one of those, or is named in more.
// Names are compared without regard to case.
func isSecretField(name string, more []string) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	return slices.ContainsFunc(secretFields[:], same) || slices.ContainsFunc(more, same)
}

// contentFields are about the body of a request (RFC 9110, section 15.4), besides all
// that begin with Content-.
var contentFields = [...]string{"Digest", "Repr-Digest", "Last-Modified", "Transfer-Encoding", "Trailer", "Expect"}

func isContentField(name string) bool {
	const prefix = "Content-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) ||
		slices.ContainsFunc(contentFields[:], func(f string) bool { return strings.EqualFold(f, name) })
}

// nextHeaders are the headers of the next hop (rules R13, R14, R16 and D11). secret
// names further fields that are the origin's only.
func nextHeaders(h headers.Headers, secret []string, p httpurl.Plan) headers.Headers {
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
