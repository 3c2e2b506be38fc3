package netreply

import (
	"net/url"
	"slices"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// rules are the policy in the words of httpurl; by default it is NoLessSafe.
func (p RedirectPolicy) rules() httpurl.Policy {
	switch p {
	case ManualRedirectPolicy:
		return httpurl.Manual
	case SameOriginRedirectPolicy:
		return httpurl.SameOrigin
	case UserVerifiedRedirectPolicy:
		return httpurl.UserVerified
	}
	return httpurl.NoLessSafe
}

// sameOrigin tells whether u is of the origin that the request was made for, or what
// HSTS has made of that since.
func (m *Manager) sameOrigin(q *Request, u *url.URL) bool {
	return httpurl.KeepsCredentials(q.URL, u) || httpurl.KeepsCredentials(m.upgrade(q.URL), u)
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
func nextHeaders(h Headers, secret []string, p httpurl.Plan) Headers {
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
