package netreply

import (
	"slices"
	"strings"
)

// secretFields are the request fields that belong to one origin and are never
// printed (D11).
var secretFields = [...]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization"}

// isSecretField tells whether a field is one of those, or is named in more.
// Names are compared without regard to case.
func isSecretField(name string, more []string) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	return slices.ContainsFunc(secretFields[:], same) || slices.ContainsFunc(more, same)
}

// validateSecretHeaders finds a name that no field can have.
func validateSecretHeaders(field string, list []string) error {
	for _, name := range list {
		if !validToken(name) {
			return &FieldError{field, name, "not the name of a header field"}
		}
	}
	return nil
}
