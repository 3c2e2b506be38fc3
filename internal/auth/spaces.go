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

// originKey is an origin with the user in the URL, which may be "".
type originKey struct{ origin, user string }

// spaceKey identifies a protection space (RFC 9110, section 11.5).
type spaceKey struct {
	originKey
	realm string
}

// space is a protection space. Everything except the key is guarded by the lock of Spaces.
type space struct {
	key spaceKey
	// known are credentials that were not refused so far; several requests may be trying
	// them.
	known *Credentials
	// proven: they were accepted, and are sent without a challenge for URLs below paths.
	proven bool
	scheme string
	paths  []string
	owner  any // owner of the connections, if the scheme authenticates connections
	digest *httpauth.Digest
	count  uint32 // uses of the nonce of digest
	// asking is closed when the program has answered; nil if it is not being asked.
	asking    chan struct{}
	cancelled bool // the last answer was no
}

// Spaces stores protection spaces (rule U8). The zero value is ready to use. It is safe for
// concurrent use.
type Spaces struct {
	count atomic.Int64 // number of proven spaces

	mu     sync.Mutex
	spaces map[spaceKey]*space
	proven map[originKey][]*space
	// scopes are the weakest schemes with which credentials may be sent; see mayUse.
	scopes map[scopeKey]httpauth.Strength
}

// maxSpaces bounds the number of spaces, since servers choose the realms.
const maxSpaces = 1000

// maxPaths bounds the paths of a space. Elsewhere the server has to send a challenge.
const maxPaths = 256

// Proven reports whether any credentials are sent without a challenge. It is cheap.
func (t *Spaces) Proven() bool { return t.count.Load() != 0 }

// Clear removes everything. Running requests continue with their credentials.
func (t *Spaces) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaces, t.proven, t.scopes = nil, nil, nil
	t.count.Store(0)
}

// space returns the space of a key, and makes it if necessary.
func (t *Spaces) space(key spaceKey) *space {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spaceLocked(key)
}

func (t *Spaces) spaceLocked(key spaceKey) *space {
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

// makeRoom removes the spaces without credentials or, if there are none, one with
// credentials.
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

// listed reports whether a space is still in the table.
func (t *Spaces) listed(s *space) bool { return t.spaces[s.key] == s }

// setProven sets s.proven, and updates the list of proven spaces, which contains only those
// in the table.
func (t *Spaces) setProven(s *space, proven bool) {
	if s.proven == proven {
		return
	}
	s.proven = proven
	if !t.listed(s) {
		return
	}
	at := s.key.originKey
	if proven {
		if t.proven == nil {
			t.proven = map[originKey][]*space{}
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

// preemptive are credentials that are sent without a challenge.
type preemptive struct {
	space       *space
	credentials *Credentials
	scheme      string
	owner       any
}

// find returns the credentials that are sent with a request to u without a challenge (D22):
// those of the space with the longest matching path. The space is nil if there are none.
func (t *Spaces) find(at originKey, u *url.URL) (f preemptive) {
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
				f, longest = preemptive{s, s.known, s.scheme, s.owner}, len(p)
			}
		}
	}
	return f
}

// accepted stores credentials that the peer has accepted, for the paths that the function
// returns for the last Digest challenge. share reports that they are also used for requests
// without a user in the URL.
func (t *Spaces) accepted(s *space, c *Credentials, scheme string, owner any, paths func(*httpauth.Digest) []string, share bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.proven && s.known != nil && s.known != c && !s.known.same(c) {
		return // another request has stored others meanwhile
	}
	s.known, s.scheme, s.owner = c, scheme, owner
	t.setProven(s, true)
	s.addPaths(paths(s.digest))
	if !share || s.key.user == "" || !t.listed(s) {
		return
	}
	// URLs without a user get the first one that was accepted
	key := s.key
	key.user = ""
	if plain := t.spaceLocked(key); !plain.proven {
		plain.known, plain.scheme, plain.owner, plain.digest, plain.count = c, scheme, owner, s.digest, s.count
		plain.paths = slices.Clone(s.paths)
		t.setProven(plain, true)
	}
}

// addPaths adds paths, except those below an existing one.
func (s *space) addPaths(paths []string) {
	for _, p := range paths {
		below := slices.ContainsFunc(s.paths, func(have string) bool { return strings.HasPrefix(p, have) })
		if !below && len(s.paths) < maxPaths {
			s.paths = append(s.paths, p)
		}
	}
}

// refused removes credentials that the peer has refused.
func (t *Spaces) refused(s *space, c *Credentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known.same(c) {
		t.setProven(s, false)
		s.known, s.paths = nil, nil
	}
}

// knownOther returns the known credentials unless they are those that were tried; nil for none.
func (t *Spaces) knownOther(s *space, tried *Credentials) *Credentials {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known.same(tried) {
		return nil
	}
	return s.known
}

// setKnown stores credentials that the peer has not checked yet.
func (t *Spaces) setKnown(s *space, c *Credentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setKnownLocked(s, c)
}

func (t *Spaces) setKnownLocked(s *space, c *Credentials) {
	if s.proven && !s.known.same(c) {
		t.setProven(s, false)
		s.paths = nil
	}
	s.known = c
}

// use counts a use of the nonce of a Digest challenge, and stores the challenge for later
// requests. nil means the stored challenge; the result is nil if c may not be used for
// that.
func (t *Spaces) use(s *space, d *httpauth.Digest, c *Credentials) (*httpauth.Digest, uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d == nil {
		if d = s.digest; d == nil || !t.mayUseLocked(s.key.origin, c, httpauth.StrengthOf("Digest", d)) {
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

// nextNonce sets the nonce for later requests (RFC 7616, section 3.5).
func (t *Spaces) nextNonce(s *space, nonce string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.digest != nil && s.digest.Nonce != nonce {
		d := *s.digest
		d.Nonce, d.Stale = nonce, false
		s.digest, s.count = &d, 0
	}
}

// join makes sure that only one request asks, and others that need the same answer wait for
// it. It returns credentials other than tried that may be sent with a scheme of strength n;
// or, while another request is asking, a channel to wait for before joining again; or
// neither: then the caller must ask, and call answered.
func (t *Spaces) join(s *space, tried *Credentials, n httpauth.Strength) (_ *Credentials, until <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.known != nil && !s.known.same(tried) && t.mayUseLocked(s.key.origin, s.known, n) {
		return s.known, nil
	}
	if s.asking != nil {
		return nil, s.asking
	}
	s.asking, s.cancelled = make(chan struct{}), false
	return nil, nil
}

// answered ends a question that join has allowed. c is nil for no credentials; refused
// reports that this is the decision of the program, also for the waiting requests.
func (t *Spaces) answered(s *space, c *Credentials, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(s.asking)
	s.asking, s.cancelled = nil, refused
	if c != nil {
		t.setKnownLocked(s, c)
	}
}

// cancelled reports whether the last answer in a space was no.
func (t *Spaces) cancelled(s *space) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.cancelled
}
