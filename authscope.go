package netreply

import "github.com/netreply/netreply/internal/httpauth"

// scopeKey names a secret at the place it is for.
type scopeKey struct {
	origin string
	credentials
}

// maxScopes bounds how many secrets are remembered with their scopes.
const maxScopes = 10_000

// claim tells whether credentials may go out by a scheme of that strength: by the
// weakest they were given for, or a stronger one. Those that came without a scheme,
// with a URL or a Config, are given for the one that is asked for first: whoever can
// put another challenge in the place of the server's has to be there from the
// beginning. ask is who lowers it.
func (c *authCache) claim(origin string, creds *credentials, n httpauth.Strength) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimLocked(origin, creds, n)
}

func (c *authCache) claimLocked(origin string, creds *credentials, n httpauth.Strength) bool {
	key := scopeKey{origin, *creds}
	if weakest, ok := c.scopes[key]; ok {
		return n >= weakest
	}
	c.setScopeLocked(key, n)
	return true
}

// give notes that the program gave credentials for a scheme of that strength.
func (c *authCache) give(origin string, creds *credentials, n httpauth.Strength) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := scopeKey{origin, *creds}
	if weakest, ok := c.scopes[key]; !ok || n < weakest {
		c.setScopeLocked(key, n)
	}
}

// scope is the weakest scheme that credentials were given for, Unknown for any.
func (c *authCache) scope(origin string, creds *credentials) httpauth.Strength {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scopes[scopeKey{origin, *creds}]
}

func (c *authCache) setScopeLocked(key scopeKey, n httpauth.Strength) {
	if len(c.scopes) >= maxScopes {
		for k := range c.scopes { // any one
			delete(c.scopes, k)
			break
		}
	}
	if c.scopes == nil {
		c.scopes = map[scopeKey]httpauth.Strength{}
	}
	c.scopes[key] = n
}
