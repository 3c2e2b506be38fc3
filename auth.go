package netreply

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

// Authenticator is the question for a user name and a password that a server asks
// with 401 (Qt: QAuthenticator). The reply waits for the answer where the Request
// or the Manager has an Answer or AskAuthentication; otherwise there is none, unless it is
// given inside OnSignal. Its methods may be called from any goroutine.
type Authenticator struct {
	// URL is what was asked for, without user information.
	URL *url.URL
	// Realm is the server's name of what the password is for; it may be empty.
	Realm string
	// Scheme is how it will be sent: Basic, Digest or NTLM. Basic over http shows it
	// to everybody on the way.
	Scheme string
	// User is the user that was tried last, or that the URL names.
	User string
	// PreviousFailed tells that credentials for this realm have just been refused.
	PreviousFailed bool

	decision
	options map[string]string
	answer  atomic.Pointer[auth.Credentials] // written under mu; package fmt does not look into it
}

// Options are the parameters of the server's challenge, by lower-case name.
func (a *Authenticator) Options() map[string]string {
	if a == nil {
		return nil
	}
	return maps.Clone(a.options)
}

// SetCredentials answers, for Scheme and for what keeps the password better: a weaker
// scheme is another question. For NTLM the user may be DOMAIN\user. No user and no
// password, or the very credentials that were refused before, are a Cancel (rule U6).
// It returns false when there was an answer already, or the reply is over.
func (a *Authenticator) SetCredentials(user, password string) bool {
	if user == "" && password == "" {
		return a.Cancel()
	}
	return a != nil && a.settle(func() { a.answer.Store(&auth.Credentials{User: user, Password: password}) })
}

// Cancel gives up: the server's 401 is the response of the reply, which fails with
// AuthenticationRequiredError. Other replies that wait for the same answer do so,
// too. It returns false when there was an answer already, or the reply is over.
func (a *Authenticator) Cancel() bool { return a != nil && a.refuse() }

// Credential is a password that a Manager knows beforehand. It is sent when the
// server asks for it, and never to another origin; https at its usual port is not
// another one for http at its usual port (D11).
type Credential struct {
	// Origin is scheme, host and port, as in "https://example.org:8443".
	Origin string
	// Realm is what the server must ask for; "" means anything.
	Realm string
	// User and Password go out as the scheme of the server wants it.
	User, Password string
	// Schemes are those that they may go out by: Basic, Digest, NTLM. nil means the one
	// that the server asks for first, and any that keeps the password better.
	Schemes []string
}

// storedCredentials makes them ready.
func storedCredentials(list []Credential) ([]auth.Stored, error) {
	var out []auth.Stored
	for i, c := range list {
		field := "Config.Credentials[" + strconv.Itoa(i) + "]."
		u, err := httpurl.Parse(c.Origin)
		bad := err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			u.Path != "" && u.Path != "/"
		var origin string
		ok := false
		if !bad {
			origin, ok = httpurl.Origin(u)
		}
		if !ok {
			return nil, &FieldError{Field: field + "Origin", Reason: "it is scheme, host and port alone, as in https://example.org:8443"}
		}
		for _, s := range c.Schemes {
			if httpauth.StrengthOf(s, nil) == httpauth.Unknown || strings.EqualFold(s, "SOCKS5") {
				return nil, &FieldError{field + "Schemes", s, "a scheme is Basic, Digest or NTLM"}
			}
		}
		out = append(out, auth.Stored{Origin: origin, Upgraded: auth.Upgraded(origin), Realm: c.Realm,
			Credentials: &auth.Credentials{User: c.User, Password: c.Password}, Schemes: slices.Clone(c.Schemes)})
	}
	return out, nil
}
