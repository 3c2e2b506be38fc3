package auth

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/httpauth"
)

// place is who asks, for a user that the URL may name.
type place struct{ origin, user string }

// spaceKey names a protection space (RFC 9110, section 11.5).
type spaceKey struct {
	place
	realm string
}

// space is what is known about a protection space. The lock of its Spaces guards all but
// the key.
type space struct {
	key spaceKey
	// known are credentials that were given and not refused yet; several requests may be
	// trying them.
	known *Credentials
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
}

// Spaces remembers protection spaces (rule U8). The zero value is ready; it is safe for
// concurrent use.
type Spaces struct {
	count atomic.Int64 // of proven spaces

	mu     sync.Mutex
	spaces map[spaceKey]*space
	proven map[place][]*space
	// scopes are the weakest schemes by which secrets may go out; see claim.
	scopes map[scopeKey]httpauth.Strength
}

// maxSpaces bounds what servers can make a Manager remember by naming realms.
const maxSpaces = 1000

// maxPaths bounds the paths of a space; beyond that the server has to ask.
const maxPaths = 256

// Proven tells whether there are credentials that go out without being asked for. It costs
// next to nothing.
func (t *Spaces) Proven() bool { return t.count.Load() != 0 }

// Clear forgets everything. Requests under way go on with what they have.
func (t *Spaces) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaces, t.proven, t.scopes = nil, nil, nil
	t.count.Store(0)
}

// at returns a space, a new one when it is not known.
func (t *Spaces) at(key spaceKey) *space {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.atLocked(key)
}

func (t *Spaces) atLocked(key spaceKey) *space {
	s := t.spaces[key]
	if s == nil {
		if len(t.spaces) >= maxSpaces {
			t.makeRoom()
		}
		if t.spaces == nil {
			t.spaces = map[spaceKey]*space{}
		}
		s = &space{key: key}
		t.spaces[key] = s
	}
	return s
}

// makeRoom drops the spaces that nobody has answered for, or else one of those that
// somebody has.
func (t *Spaces) makeRoom() {
	maps.DeleteFunc(t.spaces, func(_ spaceKey, s *space) bool { return s.known == nil && s.asking == nil })
	if len(t.spaces) < maxSpaces {
		return
	}
	for key, s := range t.spaces {
		if s.asking == nil {
			t.setProven(s, false)
			delete(t.spaces, key)
			return
		}
	}
}

// listed tells whether a space is in the table still.
func (t *Spaces) listed(s *space) bool { return t.spaces[s.key] == s }

// setProven keeps the list of proven spaces, which holds those of the table only.
func (t *Spaces) setProven(s *space, proven bool) {
	if s.proven == proven {
		return
	}
	s.proven = proven
	if !t.listed(s) {
		return
	}
	at := s.key.place
	if proven {
		if t.proven == nil {
			t.proven = map[place][]*space{}
		}
		t.proven[at] = append(t.proven[at], s)
		t.count.Add(1)
		return
	}
	if t.proven[at] = slices.DeleteFunc(t.proven[at], func(o *space) bool { return o == s }); len(t.proven[at]) == 0 {
		delete(t.proven, at)
	}
	t.count.Add(-1)
}

// unasked is what goes along with a request before anybody asks.
type unasked struct {
	space       *space
	credentials *Credentials
	scheme      string
	owner       any
}

// find returns the space whose credentials go along with a request to u before anybody
// asks (D22): the one with the longest path. Its space is nil for none.
func (t *Spaces) find(at place, u *url.URL) (f unasked) {
	if !t.Proven() {
		return f
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.proven[at]
	if len(list) == 0 {
		return f
	}
	path, longest := u.EscapedPath(), -1
	for _, s := range list {
		for _, p := range s.paths {
			if strings.HasPrefix(path, p) && (len(p) > longest || len(p) == longest && s.key.realm < f.space.key.realm) {
				f, longest = unasked{s, s.known, s.scheme, s.owner}, len(p)
			}
		}
	}
	return f
}

// accepted keeps credentials that were taken, for where they hold: paths, which may depend
// on the challenge that was answered last. share tells that they are for requests, too,
// whose URL names no user.
func (t *Spaces) accepted(s *space, c *Credentials, scheme string, owner any, paths func(*httpauth.Digest) []string, share bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.proven && s.known != nil && s.known != c && !s.known.same(c) {
		return // another request was faster, with others
	}
	s.known, s.scheme, s.owner = c, scheme, owner
	t.setProven(s, true)
	s.cover(paths(s.digest))
	if !share || s.key.user == "" || !t.listed(s) {
		return
	}
	// a URL that names no user gets the one that was used first
	key := s.key
	key.user = ""
	if plain := t.atLocked(key); !plain.proven {
		plain.known, plain.scheme, plain.owner, plain.digest, plain.count = c, scheme, owner, s.digest, s.count
		plain.paths = slices.Clone(s.paths)
		t.setProven(plain, true)
	}
}

// cover adds paths that are not below one that is there.
func (s *space) cover(paths []string) {
	for _, p := range paths {
		below := slices.ContainsFunc(s.paths, func(have string) bool { return strings.HasPrefix(p, have) })
		if !below && len(s.paths) < maxPaths {
			s.paths = append(s.paths, p)
		}
	}
}

// refused forgets credentials that were not taken.
func (t *Spaces) refused(s *space, c *Credentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known.same(c) {
		t.setProven(s, false)
		s.known, s.paths = nil, nil
	}
}

// given returns credentials that were given since those that were tried; nil for none.
func (t *Spaces) given(s *space, tried *Credentials) *Credentials {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known.same(tried) {
		return nil
	}
	return s.known
}

// offer keeps credentials that were given, until they are taken or refused.
func (t *Spaces) offer(s *space, c *Credentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learn(s, c)
}

func (t *Spaces) learn(s *space, c *Credentials) {
	if s.proven && !s.known.same(c) {
		t.setProven(s, false)
		s.paths = nil
	}
	s.known = c
}

// use counts a use of the nonce of a Digest challenge, and remembers the challenge for the
// requests to come. With nil it is the one that is remembered; nil comes back when c may
// not go out for that.
func (t *Spaces) use(s *space, d *httpauth.Digest, c *Credentials) (*httpauth.Digest, uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d == nil {
		if d = s.digest; d == nil || !t.claimLocked(s.key.origin, c, httpauth.StrengthOf("Digest", d)) {
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
func (t *Spaces) nextNonce(s *space, nonce string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.digest != nil && s.digest.Nonce != nonce {
		d := *s.digest
		d.Nonce, d.Stale = nonce, false
		s.digest, s.count = &d, 0
	}
}

// join lets one request ask while others that need the same answer wait for it. It returns
// credentials that were given since tried, and may go out by a scheme of strength n; or what
// to wait for while another request asks, to join again; or neither: then the caller asks,
// and must call answered.
func (t *Spaces) join(s *space, tried *Credentials, n httpauth.Strength) (_ *Credentials, until <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known != nil && !s.known.same(tried) && t.claimLocked(s.key.origin, s.known, n) {
		return s.known, nil
	}
	if s.asking != nil {
		return nil, s.asking
	}
	s.asking, s.cancelled = make(chan struct{}), false
	return nil, nil
}

// answered ends the asking of who was let to by join. c is nil for no answer; refused tells
// that the program has said so, which counts for those who wait, too.
func (t *Spaces) answered(s *space, c *Credentials, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(s.asking)
	s.asking, s.cancelled = nil, refused
	if c != nil {
		t.learn(s, c)
	}
}

// cancelled tells whether the last answer in a space was no.
func (t *Spaces) cancelled(s *space) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.cancelled
}
