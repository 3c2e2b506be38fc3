package auth

import (
	"slices"
	"strings"
)

// Stored are credentials that are known before anybody asks for them.
type Stored struct {
	// Origin is scheme, host and port, as Setup.Origin has it, and Upgraded the one that
	// stands for it over TLS (D11); "" for none.
	Origin, Upgraded string
	Realm            string // "" means any
	Credentials      *Credentials
	Schemes          []string // that they may go out by; none means any
}

// Upgraded is the origin that an HTTP server on its usual port has over TLS (D11), "" for
// all others.
func Upgraded(origin string) string {
	host, ok := strings.CutPrefix(origin, "http://")
	if ok {
		host, ok = strings.CutSuffix(host, ":80")
	}
	if !ok {
		return ""
	}
	return "https://" + host + ":443"
}

// fits tells whether they are for a space, and may go out by a scheme.
func (k *Stored) fits(s spaceKey, scheme string) bool {
	return (s.origin == k.Origin || s.origin == k.Upgraded) && (k.Realm == "" || k.Realm == s.realm) &&
		(s.user == "" || s.user == k.Credentials.User) &&
		(len(k.Schemes) == 0 || slices.ContainsFunc(k.Schemes, func(s string) bool { return strings.EqualFold(s, scheme) }))
}
