// Package auth decides how HTTP authentication goes on (RFC 9110, section 11). A Dialog is
// what one request has tried: it takes what a server or a proxy has answered and gives the
// next Step. It sends nothing, waits for nothing and asks nobody; that is the caller's, who
// tells the Dialog the outcome. A Spaces table remembers between requests which credentials
// hold where.
//
// The wire formats of the schemes are in package httpauth.
package auth

import (
	"errors"
	"net/http"
)

// Role is who asks for authentication, with the words that RFC 9110 has for it.
type Role struct {
	Status      int    // that asks
	Challenge   string // the field of its challenges
	Credentials string // the field that answers them
	Info        string // the field of what follows a success
}

// The roles.
var (
	Server = &Role{http.StatusUnauthorized, "Www-Authenticate", "Authorization", "Authentication-Info"}
	Proxy  = &Role{http.StatusProxyAuthRequired, "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info"}
)

// Credentials are a user name and a password. They never change: their address stands for
// the connections that they authenticate.
type Credentials struct{ User, Password string }

// same tells whether both are the same pair; nil is no pair.
func (c *Credentials) same(o *Credentials) bool { return c != nil && o != nil && *c == *o }

// The causes of an Error that are not somebody else's.
var (
	ErrTooManyRounds = errors.New("too many authentication rounds")
	ErrUnproven      = errors.New("the server has not proved that it knows the password")
	ErrBadToken      = errors.New("the server's token is not base64")
)

// Error ends an authentication where the challenge is not a response to show.
type Error struct {
	Role *Role
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
