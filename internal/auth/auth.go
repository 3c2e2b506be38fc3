// Package auth decides how to answer authentication challenges (RFC 9110, section 11). A
// Dialog is the authentication of one request: it takes the responses of a server or a
// proxy and returns the next Step. It does no I/O, does not wait and does not ask the
// program; the caller does, and passes the result to the Dialog. A Spaces table stores
// between requests which credentials are valid in which protection space.
//
// The formats of challenges and credentials are in package httpauth.
package auth

import (
	"errors"
	"net/http"
)

// Role is the kind of peer that sends challenges, with its status and fields in RFC 9110.
type Role struct {
	Status      int    // of a response with challenges
	Challenge   string // field with challenges
	Credentials string // field with credentials
	Info        string // field of a successful response
}

// The two roles.
var (
	Server = &Role{http.StatusUnauthorized, "Www-Authenticate", "Authorization", "Authentication-Info"}
	Proxy  = &Role{http.StatusProxyAuthRequired, "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info"}
)

// Credentials are a user name and a password. They are immutable, and their address
// identifies the connections that they authenticate.
type Credentials struct{ User, Password string }

// same reports whether both are equal; nil equals nothing.
func (c *Credentials) same(o *Credentials) bool { return c != nil && o != nil && *c == *o }

// Causes of an Error that arise in this package.
var (
	ErrTooManyRounds = errors.New("too many authentication rounds")
	ErrUnproven      = errors.New("the server has not proved that it knows the password")
	ErrBadToken      = errors.New("the server's token is not base64")
)

// Error is a failed authentication for which the challenge is not delivered as the
// response.
type Error struct {
	Role *Role
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
