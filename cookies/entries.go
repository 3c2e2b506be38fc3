package cookies

import (
	"strings"
	"time"

	"github.com/netreply/netreply/internal/indexheap"
	"github.com/netreply/netreply/internal/site"
)

// identity is what makes a cookie the same (rule C8).
type identity struct {
	name, domain, path string
	hostOnly           bool
}

func (c *Cookie) identity() identity { return identity{c.Name, c.Domain, c.Path, c.HostOnly} }

// entry is a cookie in a jar.
type entry struct {
	Cookie
	seq  uint64 // the order in which cookies came
	site *siteEntries
	at   int // place in entries.domains

	used, usedInSite, ending int // places in the heaps
}

// siteEntries are the cookies of one registrable domain, first those that were used
// longest ago.
type siteEntries struct {
	name          string
	plain, secure indexheap.Heap[*entry]
}

func (s *siteEntries) len() int { return s.plain.Len() + s.secure.Len() }

// heap is the one in which a cookie is.
func (s *siteEntries) heap(e *entry) *indexheap.Heap[*entry] {
	if e.Secure {
		return &s.secure
	}
	return &s.plain
}

// leastUseful is the cookie of a site that goes first: one that is not Secure, when there
// is any, that was used longest ago.
func (s *siteEntries) leastUseful() *entry {
	if s.plain.Len() > 0 {
		return s.plain.First()
	}
	return s.secure.First()
}

// entries finds, replaces and evicts cookies in O(log n). It does no locking.
type entries struct {
	maxPerSite, max int

	seq     uint64
	all     map[identity]*entry
	domains map[string][]*entry // by Cookie.Domain, in no order
	sites   map[string]*siteEntries
	used    indexheap.Heap[*entry] // first what was used longest ago
	ending  indexheap.Heap[*entry] // first what ends first; without session cookies
	// crowded is the site that has more than half of all there may be; there is room
	// for one such site only.
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
		used:       indexheap.New(usedBefore, func(e *entry) *int { return &e.used }),
		ending:     indexheap.New(func(a, b *entry) bool { return a.Expires.Before(b.Expires) }, func(e *entry) *int { return &e.ending }),
	}
}

func newSite(name string) *siteEntries {
	place := func(e *entry) *int { return &e.usedInSite }
	return &siteEntries{name: name, plain: indexheap.New(usedBefore, place), secure: indexheap.New(usedBefore, place)}
}

// put takes a cookie that has not expired in the place of that of the same identity,
// whose age it inherits, and evicts what is too much then.
func (s *entries) put(c Cookie, siteName string, now time.Time) {
	if e := s.all[c.identity()]; e != nil {
		seq := e.seq
		c.Created = e.Created
		s.remove(e)
		s.add(c, siteName, seq)
		return // there are no more than before
	}
	s.seq++
	e := s.add(c, siteName, s.seq)
	s.removeExpired(now)
	if e.site.len() > s.maxPerSite {
		s.remove(e.site.leastUseful())
	}
	if len(s.all) > s.max {
		s.remove(s.victim())
	}
}

// victim is what goes when there are too many in all (RFC 6265bis, section 5.7; what
// has expired has gone before): a cookie of a site that has more than its share, not
// Secure if possible, else any, and of these the one that was used longest ago.
func (s *entries) victim() *entry {
	if s.crowded != nil {
		return s.crowded.leastUseful()
	}
	return s.used.First()
}

func (s *entries) isCrowded(site *siteEntries) bool { return site.len() > (s.max+1)/2 }

func (s *entries) add(c Cookie, siteName string, seq uint64) *entry {
	of := s.sites[siteName]
	if of == nil {
		of = newSite(siteName)
		s.sites[siteName] = of
	}
	list := s.domains[c.Domain]
	e := &entry{Cookie: c, seq: seq, site: of, at: len(list)}
	s.domains[c.Domain] = append(list, e)
	s.all[c.identity()] = e
	of.heap(e).Push(e)
	s.used.Push(e)
	if !e.Session() {
		s.ending.Push(e)
	}
	if s.isCrowded(of) {
		s.crowded = of
	}
	return e
}

func (s *entries) remove(e *entry) {
	delete(s.all, e.identity())
	s.removeFromDomain(e)
	s.used.Remove(e)
	if !e.Session() {
		s.ending.Remove(e)
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
	list[e.at], last.at = last, e.at
	list[len(list)-1] = nil
	if list = list[:len(list)-1]; len(list) == 0 {
		delete(s.domains, e.Domain)
	} else {
		s.domains[e.Domain] = list
	}
}

// touch notes that a cookie is used.
func (s *entries) touch(e *entry, now time.Time) {
	e.LastAccess = now
	s.used.Fix(e)
	e.site.heap(e).Fix(e)
}

func (s *entries) removeExpired(now time.Time) {
	for s.ending.Len() > 0 && s.ending.First().expired(now) {
		s.remove(s.ending.First())
	}
}

// target is where cookies may go. site is that of the host: a cookie of a domain above it
// goes to nobody but that domain.
type target struct {
	host, site, path string
	secure           bool
}

// find gives the cookies that go to a target, in no order.
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

// shadows tells whether a cookie that came in clear text would replace or hide a Secure
// one.
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
