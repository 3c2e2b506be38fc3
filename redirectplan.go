package netreply

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// redirectPlan is what a response makes of a request.
type redirectPlan struct {
	is     bool     // a redirect that the policy looks at
	target *url.URL // where to; as written when nothing is followed
	err    *Error   // why it is not followed
	method string
	body   bool // the body is sent again
	origin bool // it is no change of origin for credentials
}

// refuse makes a plan fail. text is Qt's, cause says what was found.
func (p *redirectPlan) refuse(code NetworkError, text, field, value, reason string) {
	p.err = &Error{Code: code, Phase: PhaseHeaders, Text: text, Err: &FieldError{field, value, reason}}
}

const unknownProtocol = "Unknown protocol specified"

// isRedirect lists the codes that are followed (rule R10).
func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// planRedirect decides about one response, by the order of rule R12. left is how
// many redirects may still be followed, and upgrade what the URL of a host becomes
// that is known to want TLS.
func planRedirect(status int, locations []string, from *url.URL, method string, policy RedirectPolicy, left int, upgrade func(*url.URL) *url.URL) (p redirectPlan) {
	if !isRedirect(status) {
		return p
	}
	several := slices.ContainsFunc(locations, func(l string) bool { return l != locations[0] })
	if policy == ManualRedirectPolicy {
		p.target = &url.URL{}
		if len(locations) > 0 && !several {
			if ref, err := parseURL(locations[0]); err == nil {
				p.target = ref
			}
		}
		return p
	}
	if len(locations) == 0 { // rule E20: an answer like any other
		return p
	}
	p.is, p.method, p.body = true, method, true
	if several {
		p.refuse(ProtocolFailure, "Data corrupted", "Location", "", "there are several that differ")
		return p
	}
	written := p.resolve(locations[0], from)
	if p.err != nil {
		return p
	}
	p.target = upgrade(written)
	// what HSTS makes of a URL is safer than what was written, and the same host
	p.origin = keepsCredentials(from, written) || keepsCredentials(from, p.target)
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		// rule R13: net/http and Qt agree, though the Fetch standard is milder
		if method != http.MethodHead {
			p.method = http.MethodGet
		}
	}
	if p.method == http.MethodGet || p.method == http.MethodHead {
		p.body = method == p.method && (status == 307 || status == 308)
	}
	p.admit(written, from, policy, left)
	return p
}

// resolve makes the target of a Location, which must pass the same checks as the URL
// of a request (rules E20 and R11).
func (p *redirectPlan) resolve(location string, from *url.URL) *url.URL {
	ref, err := parseURL(location)
	if err != nil { // which may quote user information
		p.refuse(ProtocolUnknownError, unknownProtocol, "Location", "", "not a URL")
		return nil
	}
	if location == "" {
		p.refuse(ProtocolUnknownError, unknownProtocol, "Location", "", "it is empty")
		return nil
	}
	u := from.ResolveReference(ref)
	if u.Path == "" && u.Opaque == "" {
		u.Path = "/"
	}
	if !strings.Contains(location, "#") {
		u.Fragment, u.RawFragment = from.Fragment, from.RawFragment
	}
	if u.Scheme != "http" && u.Scheme != "https" && !isLocal(u.Scheme) {
		return u // the budget comes first
	}
	if bad := checkTarget(u); bad != nil { // nobody can do anything with it: no RedirectionTarget
		p.refuse(ProtocolUnknownError, unknownProtocol, bad.Field+" of Location", bad.Value, bad.Reason)
	} else if port := strings.TrimLeft(u.Port(), "0"); port == "" && u.Port() != "" {
		p.refuse(ProtocolUnknownError, unknownProtocol, "port of Location", "0", "not a number from 1 to 65535")
	}
	return u
}

// admit refuses what is beyond the budget, of another scheme, or against the policy.
func (p *redirectPlan) admit(written, from *url.URL, policy RedirectPolicy, left int) {
	const insecure = "Insecure redirect"
	to := p.target
	switch {
	case left <= 0:
		p.refuse(TooManyRedirectsError, "Too many redirects", "redirect", "", "as many as Request.MaxRedirects allows have been followed")
	case to.Scheme != "http" && to.Scheme != "https" && !(isLocal(from.Scheme) && p.origin):
		// local sockets are nobody's to point to
		p.refuse(ProtocolUnknownError, unknownProtocol, "scheme of Location", to.Scheme, "redirects are followed to http and https only")
	case policy == SameOriginRedirectPolicy && !literallySameOrigin(from, written):
		p.refuse(InsecureRedirectError, insecure, "redirect", "", "from "+from.Scheme+"://"+from.Host+" to "+written.Scheme+"://"+written.Host+
			", which SameOriginRedirectPolicy does not follow")
	case policy == NoLessSafeRedirectPolicy && from.Scheme == "https" && to.Scheme == "http",
		policy == NoLessSafeRedirectPolicy && isLocal(from.Scheme) && !p.origin:
		p.refuse(InsecureRedirectError, insecure, "redirect", "", "from "+from.Scheme+" to "+to.Scheme+
			", which only UserVerifiedRedirectPolicy can allow")
	}
}

// literallySameOrigin compares the ports as they are written (rule R5).
func literallySameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && a.Port() == b.Port()
}

// keepsCredentials tells whether what is meant for the origin of from may be shown to
// the one of to as well: it is the same (RFC 6454), or the same host by https instead
// of http, both at their usual ports (D11).
func keepsCredentials(from, to *url.URL) bool {
	a, errA := address(from)
	b, errB := address(to)
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

// sameOrigin tells whether u is of the origin that the request was made for, or what
// HSTS has made of that since.
func (r *Reply) sameOrigin(u *url.URL) bool {
	return keepsCredentials(r.req.URL, u) || keepsCredentials(r.m.upgrade(r.req.URL), u)
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
func nextHeaders(h Headers, secret []string, p redirectPlan) Headers {
	var gone []string
	for name := range h.All() {
		switch {
		case !p.origin && (isSecretField(name, secret) || strings.EqualFold(name, "Host") || strings.EqualFold(name, "Www-Authenticate")),
			!p.body && isContentField(name):
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		h.Del(name)
	}
	return h
}
