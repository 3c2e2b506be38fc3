package auth

import (
	"slices"
	"strings"
)

// Stored are credentials from the configuration.
type Stored struct {
	// Origin has the form of Setup.Origin. Upgraded is its https equivalent, see Upgraded;
	// "" for none.
	Origin, Upgraded string
	Realm            string // "" means any
	Credentials      *Credentials
	Schemes          []string // allowed schemes; none means any
}

// Upgraded returns the https origin for an http origin with the default port (D11), "" for
// others.
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

// fits reports whether the credentials are for a space and may be sent with a scheme.
func (k *Stored) fits(s spaceKey, scheme string) bool {
	return (s.origin == k.Origin || s.origin == k.Upgraded) && (k.Realm == "" || k.Realm == s.realm) &&
		(s.user == "" || s.user == k.Credentials.User) &&
		(len(k.Schemes) == 0 || slices.ContainsFunc(k.Schemes, func(s string) bool { return strings.EqualFold(s, scheme) }))
}
