package auth

import "github.com/netreply/netreply/internal/httpauth"

// scopeKey identifies credentials for an origin.
type scopeKey struct {
	origin string
	Credentials
}

// maxScopes bounds the number of scopes.
const maxScopes = 10_000

// mayUse reports whether credentials may be sent with a scheme of strength n: one that is at
// least as strong as the weakest scheme for which they were given. Credentials that were
// given without a scheme, in a URL or a Config, are fixed to the scheme of the first
// challenge, so that an attacker cannot later downgrade the scheme. Only permit lowers the
// limit.
func (t *Spaces) mayUse(origin string, c *Credentials, n httpauth.Strength) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mayUseLocked(origin, c, n)
}

func (t *Spaces) mayUseLocked(origin string, c *Credentials, n httpauth.Strength) bool {
	key := scopeKey{origin, *c}
	if weakest, ok := t.scopes[key]; ok {
		return n >= weakest
	}
	t.setScope(key, n)
	return true
}

// permit records that the program has given credentials for a scheme of strength n.
func (t *Spaces) permit(origin string, c *Credentials, n httpauth.Strength) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := scopeKey{origin, *c}
	if weakest, ok := t.scopes[key]; !ok || n < weakest {
		t.setScope(key, n)
	}
}

// Weakest is the weakest scheme with which credentials may be sent to an origin, Unknown if
// that is not fixed yet.
func (t *Spaces) Weakest(origin string, c *Credentials) httpauth.Strength {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scopes[scopeKey{origin, *c}]
}

func (t *Spaces) setScope(key scopeKey, n httpauth.Strength) {
	if len(t.scopes) >= maxScopes {
		for k := range t.scopes { // an arbitrary one
			delete(t.scopes, k)
			break
		}
	}
	if t.scopes == nil {
		t.scopes = map[scopeKey]httpauth.Strength{}
	}
	t.scopes[key] = n
}
