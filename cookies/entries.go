package cookies

import (
	"strings"
	"time"

	"github.com/netreply/netreply/internal/indexheap"
	"github.com/netreply/netreply/internal/site"
)

// identity is the key of a cookie: a new one with the same key replaces it (rule C8).
type identity struct {
	name, domain, path string
	hostOnly           bool
}

func (c *Cookie) identity() identity { return identity{c.Name, c.Domain, c.Path, c.HostOnly} }

// entry is a cookie in a jar.
type entry struct {
	Cookie
	seq         uint64 // order of insertion
	site        *siteEntries
	domainIndex int // index in entries.domains

	useIndex, siteIndex, expiryIndex int // indexes in the heaps
}

// siteEntries are the cookies of one registrable domain, least recently used first.
type siteEntries struct {
	name          string
	plain, secure indexheap.Heap[*entry]
}

func (s *siteEntries) len() int { return s.plain.Len() + s.secure.Len() }

// heap returns the heap for a cookie.
func (s *siteEntries) heap(e *entry) *indexheap.Heap[*entry] {
	if e.Secure {
		return &s.secure
	}
	return &s.plain
}

// firstToEvict is the cookie of a site that is evicted first: the least recently used one
// that is not Secure, if there is any, or else the least recently used one.
func (s *siteEntries) firstToEvict() *entry {
	if s.plain.Len() > 0 {
		return s.plain.First()
	}
	return s.secure.First()
}

// entries finds, replaces and evicts cookies in O(log n). It is not safe for concurrent
// use.
type entries struct {
	maxPerSite, max int

	seq      uint64
	all      map[identity]*entry
	domains  map[string][]*entry // by Cookie.Domain, unordered
	sites    map[string]*siteEntries
	byUse    indexheap.Heap[*entry] // least recently used first
	byExpiry indexheap.Heap[*entry] // earliest expiry first; without session cookies
	// crowded is the site that has more than half of max cookies, of which there can be
	// only one.
	crowded *siteEntries
}

func usedBefore(a, b *entry) bool {
	if c := a.LastAccess.Compare(b.LastAccess); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

func newEntries(maxPerSite, limit int) *entries {
	return &entries{
		maxPerSite: maxPerSite,
		max:        limit,
		all:        map[identity]*entry{},
		domains:    map[string][]*entry{},
		sites:      map[string]*siteEntries{},
		byUse:      indexheap.New(usedBefore, func(e *entry) *int { return &e.useIndex }),
		byExpiry:   indexheap.New(func(a, b *entry) bool { return a.Expires.Before(b.Expires) }, func(e *entry) *int { return &e.expiryIndex }),
	}
}

func newSite(name string) *siteEntries {
	index := func(e *entry) *int { return &e.siteIndex }
	return &siteEntries{name: name, plain: indexheap.New(usedBefore, index), secure: indexheap.New(usedBefore, index)}
}

// put adds a cookie that has not expired, or replaces the one of the same identity and
// keeps its age. Then it evicts cookies above the limits.
func (s *entries) put(c Cookie, siteName string, now time.Time) {
	if e := s.all[c.identity()]; e != nil {
		seq := e.seq
		c.Created = e.Created
		s.remove(e)
		s.add(c, siteName, seq)
		return // the number has not changed
	}
	s.seq++
	e := s.add(c, siteName, s.seq)
	s.removeExpired(now)
	if e.site.len() > s.maxPerSite {
		s.remove(e.site.firstToEvict())
	}
	if len(s.all) > s.max {
		s.remove(s.victim())
	}
}

// victim returns the cookie to evict when there are too many in all (RFC 6265bis, section
// 5.7; expired ones were removed before): the firstToEvict of a crowded site, or else
// the least recently used of all.
func (s *entries) victim() *entry {
	if s.crowded != nil {
		return s.crowded.firstToEvict()
	}
	return s.byUse.First()
}

func (s *entries) isCrowded(site *siteEntries) bool { return site.len() > (s.max+1)/2 }

func (s *entries) add(c Cookie, siteName string, seq uint64) *entry {
	of := s.sites[siteName]
	if of == nil {
		of = newSite(siteName)
		s.sites[siteName] = of
	}
	list := s.domains[c.Domain]
	e := &entry{Cookie: c, seq: seq, site: of, domainIndex: len(list)}
	s.domains[c.Domain] = append(list, e)
	s.all[c.identity()] = e
	of.heap(e).Push(e)
	s.byUse.Push(e)
	if !e.Session() {
		s.byExpiry.Push(e)
	}
	if s.isCrowded(of) {
		s.crowded = of
	}
	return e
}

func (s *entries) remove(e *entry) {
	delete(s.all, e.identity())
	s.removeFromDomain(e)
	s.byUse.Remove(e)
	if !e.Session() {
		s.byExpiry.Remove(e)
	}
	of := e.site
	of.heap(e).Remove(e)
	if of == s.crowded && !s.isCrowded(of) {
		s.crowded = nil
	}
	if of.len() == 0 {
		delete(s.sites, of.name)
	}
}

func (s *entries) removeFromDomain(e *entry) {
	list := s.domains[e.Domain]
	last := list[len(list)-1]
	list[e.domainIndex], last.domainIndex = last, e.domainIndex
	list[len(list)-1] = nil
	if list = list[:len(list)-1]; len(list) == 0 {
		delete(s.domains, e.Domain)
	} else {
		s.domains[e.Domain] = list
	}
}

// touch records a use of a cookie.
func (s *entries) touch(e *entry, now time.Time) {
	e.LastAccess = now
	s.byUse.Fix(e)
	e.site.heap(e).Fix(e)
}

func (s *entries) removeExpired(now time.Time) {
	for s.byExpiry.Len() > 0 && s.byExpiry.First().expired(now) {
		s.remove(s.byExpiry.First())
	}
}

// target describes a request URL. site is the site of its host: cookies of domains above it
// are never sent.
type target struct {
	host, site, path string
	secure           bool
}

// find returns the cookies for a target, in no order.
func (s *entries) find(t target) []*entry {
	if s.sites[t.site] == nil {
		return nil
	}
	var found []*entry
	for domain := t.host; domain != ""; {
		for _, e := range s.domains[domain] {
			if (domain == t.host || !e.HostOnly) && pathMatch(t.path, e.Path) && (!e.Secure || t.secure) {
				found = append(found, e)
			}
		}
		if domain == t.site {
			break
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return found
}

// shadows reports whether a cookie that was received in clear text would replace or hide a
// Secure one.
func (s *entries) shadows(c *Cookie, siteName string) bool {
	of := s.sites[siteName]
	if of == nil {
		return false
	}
	for _, e := range of.secure.Items() {
		if e.Name == c.Name && pathMatch(c.Path, e.Path) && (site.Within(e.Domain, c.Domain) || site.Within(c.Domain, e.Domain)) {
			return true
		}
	}
	return false
}
