package netreply

import (
	"maps"
	"net/url"
)

// Authenticator is the question for a user name and a password that a server asks
// with 401 (Qt: QAuthenticator). The reply waits for the answer where the Request
// or the Manager has AskAuthentication; without it there is none, unless it is given
// inside OnSignal. Its methods may be called from any goroutine.
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
	answer  *credentials
}

// Options are the parameters of the server's challenge, by lower-case name.
func (a *Authenticator) Options() map[string]string { return maps.Clone(a.options) }

// SetCredentials answers. For NTLM the user may be DOMAIN\user. The very
// credentials that were refused before are a Cancel (rule U6). It returns false
// when there was an answer already.
func (a *Authenticator) SetCredentials(user, password string) bool {
	return a.settle(func() { a.answer = &credentials{user, password} })
}

// Cancel gives up: the server's 401 is the response of the reply, which fails with
// AuthenticationRequiredError. Other replies that wait for the same answer do so,
// too. It returns false when there was an answer already.
func (a *Authenticator) Cancel() bool { return a.settle(func() {}) }

// given is the answer, nil for none.
func (a *Authenticator) given() *credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answer
}

// credentials never change: their address tells one set from the next.
type credentials struct{ user, password string }

// same tells whether both are the same pair; nil is no pair.
func (c *credentials) same(o *credentials) bool { return c != nil && o != nil && *c == *o }

// Credential is a password that a Manager knows beforehand. It is sent when the
// server asks for it, and never to another origin.
type Credential struct {
	// Origin is scheme, host and port, as in "https://example.org:8443".
	Origin string
	// Realm is what the server must ask for; "" means anything.
	Realm string
	// User and Password go out as the scheme of the server wants it.
	User, Password string
}

// origin gives the scheme, host and port of a URL in one form.
func origin(u *url.URL) (string, bool) {
	addr, err := address(u)
	return u.Scheme + "://" + addr, err == nil && u.Hostname() != ""
}

// stored is a Credential made ready.
type stored struct {
	origin, realm string
	credentials   *credentials
}

func storedCredentials(list []Credential) ([]stored, error) {
	var out []stored
	for _, c := range list {
		u, err := parseURL(c.Origin)
		bad := err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			u.Path != "" && u.Path != "/"
		at, ok := "", false
		if !bad {
			at, ok = origin(u)
		}
		if !ok {
			return nil, &FieldError{Field: "Config.Credentials", Reason: "an Origin is not a scheme, host and port"}
		}
		out = append(out, stored{at, c.Realm, &credentials{c.User, c.Password}})
	}
	return out, nil
}
