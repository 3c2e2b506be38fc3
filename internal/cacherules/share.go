package cacherules

import (
	"net/http"
	"time"
)

// Shareable reports whether a request may wait for the response to another one, instead of
// being sent: if it asks for nothing in particular.
func (r *Request) Shareable() bool {
	return r.Method == http.MethodGet && !r.conditional() && len(r.byteRange)+len(r.ifRange) == 0 &&
		(r.Load == PreferNetwork || r.Load == PreferCache) &&
		!r.noStore && !r.noCache && !r.onlyIfCached && r.maxAge == absent && r.minFresh == absent
}

// Shared reports whether other requests can use a response, as far as can be known without
// them.
func (s *Stored) Shared(now time.Time) bool {
	return !s.noCache && !s.Invalid && !s.varyAny && s.TTL(now) > 0
}

// NoStore reports whether the request forbids to store its response.
func (r *Request) NoStore() bool { return r.noStore }

// KeyLike is the VaryKey that a response to the request will have if it varies like s, a
// response for the same URI; nil stands for one that does not vary.
func (r *Request) KeyLike(s *Stored) VaryKey {
	if s == nil {
		return r.key(nil)
	}
	return r.key(s.vary)
}
