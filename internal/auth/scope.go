package auth

import "github.com/netreply/netreply/internal/httpauth"

// scopeKey names a secret at the place that it is for.
type scopeKey struct {
	origin string
	Credentials
}

// maxScopes bounds how many secrets are remembered with their scopes.
const maxScopes = 10_000

// claim tells whether credentials may go out by a scheme of that strength: by the weakest
// they were given for, or a stronger one. Those that came without a scheme, with a URL or a
// Config, are given for the one that is asked for first: whoever can put another challenge
// in the place of the server's has to be there from the beginning. give is what lowers it.
func (t *Spaces) claim(origin string, c *Credentials, n httpauth.Strength) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.claimLocked(origin, c, n)
}

func (t *Spaces) claimLocked(origin string, c *Credentials, n httpauth.Strength) bool {
	key := scopeKey{origin, *c}
	if weakest, ok := t.scopes[key]; ok {
		return n >= weakest
	}
	t.setScope(key, n)
	return true
}

// give notes that the program gave credentials for a scheme of that strength.
func (t *Spaces) give(origin string, c *Credentials, n httpauth.Strength) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := scopeKey{origin, *c}
	if weakest, ok := t.scopes[key]; !ok || n < weakest {
		t.setScope(key, n)
	}
}

// Weakest is the weakest scheme by which credentials may go out to an origin, Unknown when
// that is open.
func (t *Spaces) Weakest(origin string, c *Credentials) httpauth.Strength {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scopes[scopeKey{origin, *c}]
}

func (t *Spaces) setScope(key scopeKey, n httpauth.Strength) {
	if len(t.scopes) >= maxScopes {
		for k := range t.scopes { // any one
			delete(t.scopes, k)
			break
		}
	}
	if t.scopes == nil {
		t.scopes = map[scopeKey]httpauth.Strength{}
	}
	t.scopes[key] = n
}
