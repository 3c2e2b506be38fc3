package httpurl

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Policy says which redirects are followed.
type Policy uint8

const (
	NoLessSafe   Policy = iota // all except from https to http (rule R4)
	Manual                     // none: the redirect is the final response (rule R2)
	SameOrigin                 // to the same scheme, host and port (rule R5)
	UserVerified               // those that the program allows (rule R6)
)

// Rules are the limits for following redirects.
type Rules struct {
	Policy Policy
	// Left is how many redirects may still be followed.
	Left int
	// Upgrade returns the URL to use instead: the https URL for a host with an HSTS policy.
	Upgrade func(*url.URL) *url.URL
	// Scheme is a scheme besides http and https that may be the target's; "" for none.
	Scheme string
}

// Plan is the decision about a response.
type Plan struct {
	// Redirect reports whether the response is a redirect that is followed or refused.
	Redirect bool
	// Target is the target URL. For Manual it is the Location as written, and empty if that
	// is missing or ambiguous; it is nil for a response that is no redirect, and for an
	// invalid Location.
	Target *url.URL
	// Refusal is the reason why the redirect is refused, nil if it is followed.
	Refusal *Refusal
	// Method is the method of the next request, and SendBody whether it has the same body.
	Method   string
	SendBody bool
	// SameOrigin reports whether credentials for the origin may be sent to the target, too.
	SameOrigin bool
}

// RefusalKind is the kind of a Refusal.
type RefusalKind uint8

const (
	Unusable    RefusalKind = iota // the Location is not a valid HTTP URL
	Ambiguous                      // there are several different Locations
	TooMany                        // Rules.Left is 0
	OtherOrigin                    // not allowed by SameOrigin
	LessSafe                       // not allowed by NoLessSafe
)

// Refusal is the reason for not following a redirect. Its Problem contains no password.
type Refusal struct {
	Kind RefusalKind
	Problem
}

func (p *Plan) refuse(kind RefusalKind, field, value, reason string) {
	p.Refusal = &Refusal{kind, Problem{field, value, reason}}
}

// IsRedirect reports whether a status is one of those that are followed (rule R10).
func IsRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// PlanRedirect decides about a response to a request for the URL from, in the order of rule
// R12. locations are the values of its Location fields.
func PlanRedirect(status int, locations []string, from *url.URL, method string, rules Rules) (p Plan) {
	if !IsRedirect(status) {
		return p
	}
	several := slices.ContainsFunc(locations, func(l string) bool { return l != locations[0] })
	if rules.Policy == Manual {
		p.Target = &url.URL{}
		if len(locations) > 0 && !several {
			if ref, err := Parse(locations[0]); err == nil {
				p.Target = ref
			}
		}
		return p
	}
	if len(locations) == 0 { // rule E20: a final response
		return p
	}
	p.Redirect, p.Method, p.SendBody = true, method, true
	if several {
		p.refuse(Ambiguous, "Location", "", "several that differ")
		return p
	}
	written := p.resolve(locations[0], from)
	if p.Refusal != nil {
		return p
	}
	p.Target = rules.Upgrade(written)
	// an upgrade by HSTS keeps the host
	p.SameOrigin = KeepsCredentials(from, written) || KeepsCredentials(from, p.Target)
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		// rule R13: like net/http and Qt; the Fetch standard changes fewer methods
		if method != http.MethodHead {
			p.Method = http.MethodGet
		}
	}
	if p.Method == http.MethodGet || p.Method == http.MethodHead {
		p.SendBody = method == p.Method && (status == 307 || status == 308)
	}
	p.apply(rules, written, from)
	return p
}

// resolve returns the target of a Location, after the same checks as for the URL of a
// request (rules E20 and R11).
func (p *Plan) resolve(location string, from *url.URL) *url.URL {
	ref, err := Parse(location)
	if err != nil { // err may quote user information
		p.refuse(Unusable, "Location", "", "not a URL")
		return nil
	}
	if location == "" {
		p.refuse(Unusable, "Location", "", "empty")
		return nil
	}
	u := from.ResolveReference(ref)
	if u.Host == "" && from.OmitHost && u.Scheme == from.Scheme {
		u.OmitHost = true // scheme:/path stays in that form
	}
	if u.Path == "" && u.Opaque == "" {
		u.Path = "/"
	}
	if !strings.Contains(location, "#") {
		u.Fragment, u.RawFragment = from.Fragment, from.RawFragment
	}
	if u.Scheme != "http" && u.Scheme != "https" && !IsLocal(u.Scheme) {
		return u // refused by apply, after the limit of redirects
	}
	if bad := Check(u); bad != nil { // Target stays nil
		p.refuse(Unusable, bad.Field+" of Location", bad.Value, bad.Reason)
	} else if port := strings.TrimLeft(u.Port(), "0"); port == "" && u.Port() != "" {
		p.refuse(Unusable, "port of Location", "0", notPort)
	}
	return u
}

// followed names the schemes of a redirect's target: http, https, and another one.
func followed(other string) string {
	switch other {
	case "", "http", "https":
		return "http and https"
	}
	return "http, https and " + other
}

// apply refuses a redirect that exceeds the limit, has another scheme, or is not allowed by
// the policy.
func (p *Plan) apply(rules Rules, written, from *url.URL) {
	to := p.Target
	switch {
	case rules.Left <= 0:
		p.refuse(TooMany, "redirect", "", "as many as are allowed have been followed")
	case to.Scheme != "http" && to.Scheme != "https" && to.Scheme != rules.Scheme && !(IsLocal(from.Scheme) && p.SameOrigin):
		// a server must not redirect to a local socket
		p.refuse(Unusable, "scheme of Location", to.Scheme, "redirects are followed to "+followed(rules.Scheme)+" only")
	case rules.Policy == SameOrigin && !sameAsWritten(from, written):
		p.refuse(OtherOrigin, "redirect", "", "from "+from.Scheme+"://"+from.Host+" to "+written.Scheme+"://"+written.Host)
	case rules.Policy == NoLessSafe && from.Scheme == "https" && to.Scheme == "http",
		rules.Policy == NoLessSafe && IsLocal(from.Scheme) && !p.SameOrigin:
		p.refuse(LessSafe, "redirect", "", "from "+from.Scheme+" to "+to.Scheme)
	}
}
