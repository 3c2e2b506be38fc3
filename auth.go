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

// Authenticator is the question for a user name and a password after a 401 response (Qt:
// QAuthenticator). The reply waits for the answer if Request.Answer, Config.Answer or
// AskAuthentication is set; otherwise only an answer inside OnSignal counts. Its methods
// are safe for concurrent use.
type Authenticator struct {
	// URL is the requested URL, without user information.
	URL *url.URL
	// Realm is the realm of the challenge; it may be empty.
	Realm string
	// Scheme is the authentication scheme: Basic, Digest or NTLM. Basic over http shows the
	// password to everyone on the network path.
	Scheme string
	// User is the user that was tried last, or the user in the URL.
	User string
	// PreviousFailed reports that the server has just refused credentials for this realm.
	PreviousFailed bool

	decision
	options map[string]string
	answer  atomic.Pointer[auth.Credentials] // written under mu; a pointer type that package fmt does not print
}

// Options are the parameters of the challenge, by lower-case name.
func (a *Authenticator) Options() map[string]string {
	if a == nil {
		return nil
	}
	return maps.Clone(a.options)
}

// SetCredentials answers. The credentials are sent with Scheme or a scheme that protects
// the password better; for a weaker scheme there is another question. For NTLM the user may
// be DOMAIN\user. Empty user and password, or the credentials that were just refused, have
// the effect of Cancel (rule U6). It returns false when there was an answer already, or the
// reply is over.
func (a *Authenticator) SetCredentials(user, password string) bool {
	if user == "" && password == "" {
		return a.Cancel()
	}
	return a != nil && a.settle(func() { a.answer.Store(&auth.Credentials{User: user, Password: password}) })
}

// Cancel sends no password: the 401 response is final, and the reply fails with
// AuthenticationRequiredError. Other replies that wait for the same answer fail, too. It
// returns false when there was an answer already, or the reply is over.
func (a *Authenticator) Cancel() bool { return a != nil && a.decline() }

// Credential is a password for an origin, see Config.Credentials. It is sent after a
// challenge of the server, and never to another origin; https at its default port is the
// same origin here as http at its default port (D11).
type Credential struct {
	// Origin has the form scheme://host or scheme://host:port, for instance
	// "https://example.org:8443".
	Origin string
	// Realm is the realm that the challenge must have; "" means any.
	Realm string
	// User and Password are the credentials.
	User, Password string
	// Schemes are the authentication schemes that may be used: Basic, Digest, NTLM. nil
	// means the scheme of the server's first challenge, and any that protects the password
	// better.
	Schemes []string
}

// storedCredentials converts and validates Config.Credentials.
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
			return nil, &FieldError{Field: field + "Origin", Reason: "must be scheme, host and port alone, as in https://example.org:8443"}
		}
		for _, s := range c.Schemes {
			if httpauth.StrengthOf(s, nil) == httpauth.Unknown || strings.EqualFold(s, "SOCKS5") {
				return nil, &FieldError{field + "Schemes", s, "must be Basic, Digest or NTLM"}
			}
		}
		out = append(out, auth.Stored{Origin: origin, Upgraded: auth.Upgraded(origin), Realm: c.Realm,
			Credentials: &auth.Credentials{User: c.User, Password: c.Password}, Schemes: slices.Clone(c.Schemes)})
	}
	return out, nil
}
