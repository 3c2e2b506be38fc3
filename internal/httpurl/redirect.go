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
	NoLessSafe   Policy = iota // all but those from https to http (rule R4)
	Manual                     // none: the redirect is the response (rule R2)
	SameOrigin                 // those with the same scheme, host and port (rule R5)
	UserVerified               // those that the program allows (rule R6)
)

// Rules bound what is followed.
type Rules struct {
	Policy Policy
	// Left is how many redirects may still be followed.
	Left int
	// Upgrade gives the URL to use instead: the one of https for a host that is known to
	// want TLS.
	Upgrade func(*url.URL) *url.URL
}

// Plan is what a response makes of a request.
type Plan struct {
	// Redirect tells whether the response is a redirect that is followed, or fails the
	// request by Refusal.
	Redirect bool
	// Target is where to. For Manual it is as written, and empty where there is no
	// telling; it is nil for a response that is no redirect, and for a Location that
	// cannot be used.
	Target *url.URL
	// Refusal is why the redirect is not followed, nil if it is.
	Refusal *Refusal
	// Method is that of the next request, and SendBody whether it has the same body.
	Method   string
	SendBody bool
	// SameOrigin tells whether credentials for the origin are for the target, too.
	SameOrigin bool
}

// RefusalKind says why a redirect is not followed.
type RefusalKind uint8

const (
	Unusable    RefusalKind = iota // the Location is not a URL of HTTP
	Ambiguous                      // there are several that differ
	TooMany                        // Rules.Left is used up
	OtherOrigin                    // SameOrigin does not follow it
	LessSafe                       // NoLessSafe does not follow it
)

// Refusal is a redirect that is not followed. Its Problem tells no password.
type Refusal struct {
	Kind RefusalKind
	Problem
}

func (p *Plan) refuse(kind RefusalKind, field, value, reason string) {
	p.Refusal = &Refusal{kind, Problem{field, value, reason}}
}

// isRedirect lists the status codes that are followed (rule R10).
func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// PlanRedirect decides about the response to a request for a URL, by the order of rule
// R12. locations are the values of its Location fields.
func PlanRedirect(status int, locations []string, from *url.URL, method string, rules Rules) (p Plan) {
	if !isRedirect(status) {
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
	if len(locations) == 0 { // rule E20: an answer like any other
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
	// what HSTS makes of a URL is safer than what was written, and the same host
	p.SameOrigin = KeepsCredentials(from, written) || KeepsCredentials(from, p.Target)
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		// rule R13: net/http and Qt agree, though the Fetch standard is milder
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

// resolve makes the target of a Location, which must pass the same checks as the URL
// of a request (rules E20 and R11).
func (p *Plan) resolve(location string, from *url.URL) *url.URL {
	ref, err := Parse(location)
	if err != nil { // which may quote user information
		p.refuse(Unusable, "Location", "", "not a URL")
		return nil
	}
	if location == "" {
		p.refuse(Unusable, "Location", "", "empty")
		return nil
	}
	u := from.ResolveReference(ref)
	if u.Path == "" && u.Opaque == "" {
		u.Path = "/"
	}
	if !strings.Contains(location, "#") {
		u.Fragment, u.RawFragment = from.Fragment, from.RawFragment
	}
	if u.Scheme != "http" && u.Scheme != "https" && !IsLocal(u.Scheme) {
		return u // the budget comes first
	}
	if bad := Check(u); bad != nil { // it cannot be used for anything: no Target
		p.refuse(Unusable, bad.Field+" of Location", bad.Value, bad.Reason)
	} else if port := strings.TrimLeft(u.Port(), "0"); port == "" && u.Port() != "" {
		p.refuse(Unusable, "port of Location", "0", notPort)
	}
	return u
}

// apply refuses what is beyond the budget, of another scheme, or against the policy.
func (p *Plan) apply(rules Rules, written, from *url.URL) {
	to := p.Target
	switch {
	case rules.Left <= 0:
		p.refuse(TooMany, "redirect", "", "as many as are allowed have been followed")
	case to.Scheme != "http" && to.Scheme != "https" && !(IsLocal(from.Scheme) && p.SameOrigin):
		// no server may point to a local socket
		p.refuse(Unusable, "scheme of Location", to.Scheme, "redirects are followed to http and https only")
	case rules.Policy == SameOrigin && !sameAsWritten(from, written):
		p.refuse(OtherOrigin, "redirect", "", "from "+from.Scheme+"://"+from.Host+" to "+written.Scheme+"://"+written.Host)
	case rules.Policy == NoLessSafe && from.Scheme == "https" && to.Scheme == "http",
		rules.Policy == NoLessSafe && IsLocal(from.Scheme) && !p.SameOrigin:
		p.refuse(LessSafe, "redirect", "", "from "+from.Scheme+" to "+to.Scheme)
	}
}
