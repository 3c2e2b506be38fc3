package netreply

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

// spaceKey names a protection space (RFC 9110, section 11.5), for a user that the
// URL may name.
type spaceKey struct{ origin, realm, user string }

// space is what is known about a protection space. The cache's lock guards it.
type space struct {
	key spaceKey
	// known are credentials that were given and not refused yet; several replies may
	// be trying them.
	known *credentials
	// proven: they were accepted, and go out without being asked for, below paths.
	proven bool
	scheme string
	paths  []string
	owner  any // whom the connections belong to, where the scheme authenticates these
	digest *httpauth.Digest
	count  uint32 // uses of its nonce
	// asking is closed when the question that is open now has its answer.
	asking    chan struct{}
	cancelled bool // the answer was no

	self *space // of a copy, the original
}

// authCache holds the protection spaces of a Manager (rule U8).
type authCache struct {
	proven atomic.Int64 // spaces that are

	mu     sync.Mutex
	spaces map[spaceKey]*space
	// scopes are the weakest schemes by which secrets may go out; see claim.
	scopes map[scopeKey]httpauth.Strength
}

// at returns the space of a challenge, a new one when it is not known.
func (c *authCache) at(key spaceKey) *space {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spaceLocked(key)
}

// maxSpaces bounds what servers can make a Manager remember by naming realms.
const maxSpaces = 1000

func (c *authCache) spaceLocked(key spaceKey) *space {
	s := c.spaces[key]
	if s == nil {
		if len(c.spaces) >= maxSpaces {
			c.makeRoom()
		}
		if c.spaces == nil {
			c.spaces = map[spaceKey]*space{}
		}
		s = &space{key: key}
		c.spaces[key] = s
	}
	return s
}

// makeRoom drops the spaces that nobody has answered for, or else one of those that
// somebody has.
func (c *authCache) makeRoom() {
	maps.DeleteFunc(c.spaces, func(_ spaceKey, s *space) bool { return s.known == nil && s.asking == nil })
	if len(c.spaces) < maxSpaces {
		return
	}
	for key, s := range c.spaces {
		if s.asking == nil {
			if s.proven {
				c.proven.Add(-1)
			}
			delete(c.spaces, key)
			return
		}
	}
}

// find returns the space of an origin whose credentials go along with a request to path
// before anybody asks (D22): the one with the longest path; nil for none.
func (c *authCache) find(at, path, user string) *space {
	if c.proven.Load() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *space
	longest := -1
	for key, s := range c.spaces {
		if key.origin != at || key.user != user || !s.proven {
			continue
		}
		for _, p := range s.paths {
			if strings.HasPrefix(path, p) && (len(p) > longest || len(p) == longest && s.key.realm < best.key.realm) {
				best, longest = s, len(p)
			}
		}
	}
	if best == nil {
		return nil
	}
	found := *best
	found.self = best
	return &found
}

// maxPaths bounds the paths of a space; beyond that the server has to ask.
const maxPaths = 256

// accepted keeps credentials that a server took, for where they hold. share tells that
// they are for requests, too, whose URL names no user.
func (c *authCache) accepted(s *space, creds *credentials, scheme string, owner any, u *url.URL, share bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.known != creds && !s.known.same(creds) && s.known != nil && s.proven {
		return // somebody was faster, with others
	}
	if !s.proven {
		c.proven.Add(1)
	}
	s.known, s.proven, s.scheme, s.owner = creds, true, scheme, owner
	s.cover(c.reach(s, u))
	if share && s.key.user != "" { // who names no user gets the one that was used last
		plain := c.spaceLocked(spaceKey{s.key.origin, s.key.realm, ""})
		if !plain.proven {
			plain.known, plain.proven, plain.scheme, plain.owner, plain.digest, plain.count = creds, true, scheme, owner, s.digest, s.count
			plain.paths = slices.Clone(s.paths)
			c.proven.Add(1)
		}
	}
}

// reach lists the paths that a space covers, seen from a URL in it: for Digest what
// its domain says, or all of the server (RFC 7616, section 3.3), for the others the
// folder of the URL (RFC 7617, section 2.2).
func (c *authCache) reach(s *space, u *url.URL) []string {
	path := u.EscapedPath()
	if isProxy(s.key.origin) {
		return []string{""}
	}
	if s.digest == nil {
		return []string{path[:strings.LastIndexByte(path, '/')+1]}
	}
	if len(s.digest.Domain) == 0 {
		return []string{""}
	}
	var paths []string
	for _, d := range s.digest.Domain {
		ref, err := u.Parse(d)
		if err != nil {
			continue
		}
		if at, ok := httpurl.Origin(ref); ok && at == s.key.origin { // another server asks for itself
			paths = append(paths, ref.EscapedPath())
		}
	}
	return append(paths, path)
}

// cover adds paths that are not below one that is there.
func (s *space) cover(paths []string) {
next:
	for _, p := range paths {
		for _, have := range s.paths {
			if strings.HasPrefix(p, have) {
				continue next
			}
		}
		if len(s.paths) < maxPaths {
			s.paths = append(s.paths, p)
		}
	}
}

// refused forgets credentials that a server did not take.
func (c *authCache) refused(s *space, creds *credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if creds == nil || !s.known.same(creds) {
		return
	}
	if s.proven {
		c.proven.Add(-1)
	}
	s.known, s.proven, s.paths = nil, false, nil
}

// given returns credentials that were given since those that were tried.
func (c *authCache) given(s *space, tried *credentials) *credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.known.same(tried) {
		return nil
	}
	return s.known
}

// use counts a use of the nonce of a Digest challenge, and remembers the challenge for
// the requests to come. With nil it is the one that is remembered; nil comes back when
// creds may not go out for that.
func (c *authCache) use(s *space, d *httpauth.Digest, creds *credentials) (*httpauth.Digest, uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d == nil {
		if d = s.digest; d == nil || !c.claimLocked(s.key.origin, creds, httpauth.StrengthOf("Digest", d)) {
			return nil, 0
		}
	} else {
		if s.digest == nil || s.digest.Nonce != d.Nonce {
			s.count = 0
		}
		s.digest = d
	}
	s.count++
	return d, s.count
}

// nextNonce is what the server wants used from now on (RFC 7616, section 3.5).
func (c *authCache) nextNonce(s *space, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.digest != nil && s.digest.Nonce != nonce {
		d := *s.digest
		d.Nonce, d.Stale = nonce, false
		s.digest, s.count = &d, 0
	}
}

// ask lets one reply ask while others that need the same answer wait for it. An answer
// for a stronger scheme than n is none for them. ask returns nil for no answer, and
// whether that was a refusal, which counts for the others too.
func (c *authCache) ask(ctx context.Context, s *space, tried *credentials, n httpauth.Strength, ask func() (answer *credentials, refused bool)) *credentials {
	for {
		c.mu.Lock()
		if s.known != nil && !s.known.same(tried) && c.claimLocked(s.key.origin, s.known, n) {
			defer c.mu.Unlock()
			return s.known
		}
		other := s.asking
		if other == nil {
			break
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil
		}
		c.mu.Lock()
		no := s.cancelled
		c.mu.Unlock()
		if no {
			return nil
		}
	}
	done := make(chan struct{})
	s.asking, s.cancelled = done, false
	c.mu.Unlock()
	answer, refused := ask()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.asking, s.cancelled = nil, refused
	if answer != nil {
		c.learn(s, answer)
	}
	close(done)
	return answer
}

// offer keeps credentials that were given, until a server has taken or refused them.
func (c *authCache) offer(s *space, creds *credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learn(s, creds)
}

func (c *authCache) learn(s *space, creds *credentials) {
	if s.proven && !s.known.same(creds) {
		s.proven, s.paths = false, nil
		c.proven.Add(-1)
	}
	s.known = creds
}

// clear forgets everything.
func (c *authCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spaces, c.scopes = nil, nil
	c.proven.Store(0)
}
