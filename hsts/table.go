package hsts

import (
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/netreply/netreply/internal/indexheap"
	"github.com/netreply/netreply/internal/site"
)

// maxPolicies is the maximum number of policies. Expired ones are removed first, then the
// one that expires first of the site with the most policies, so that no site can displace
// others.
const maxPolicies = 10_000

// record is the policy of one host, or its removal.
//
// Stores that share a file have copies of each other's records, possibly outdated ones. The
// stamp decides which of two is newer. A removal is kept until keep, when all older records
// that could restore the policy have expired. Therefore a record that is missing, in a
// deleted file for instance, has no effect.
type record struct {
	Policy
	stamp time.Time // time of the change; zero in files of the first version
	keep  time.Time // not before Expires
}

// entry is a record in a table.
type entry struct {
	record
	site                   *siteEntries
	expiryIndex, siteIndex int // indexes in table.byExpiry and siteEntries.byExpiry
}

// siteEntries are the entries of one registrable domain.
type siteEntries struct {
	name     string
	byExpiry indexheap.Heap[*entry]
	index    int // index in table.crowded
}

// table finds, replaces and evicts records in O(log n). It is not safe for concurrent use.
type table struct {
	max      int
	hosts    map[string]*entry
	byExpiry indexheap.Heap[*entry] // earliest expiry first
	sites    map[string]*siteEntries
	crowded  indexheap.Heap[*siteEntries] // site with the most entries first
}

func endsBefore(a, b *entry) bool { return a.Expires.Before(b.Expires) }

func newTable(limit int) *table {
	return &table{
		max:      limit,
		hosts:    map[string]*entry{},
		byExpiry: indexheap.New(endsBefore, func(e *entry) *int { return &e.expiryIndex }),
		sites:    map[string]*siteEntries{},
		crowded: indexheap.New(func(a, b *siteEntries) bool {
			if n, m := a.byExpiry.Len(), b.byExpiry.Len(); n != m {
				return n > m
			}
			return endsBefore(a.byExpiry.First(), b.byExpiry.First())
		}, func(s *siteEntries) *int { return &s.index }),
	}
}

// put adds a record or replaces that of the same host, and evicts records above the limit.
func (t *table) put(r record, now time.Time) {
	if e := t.hosts[r.Host]; e != nil {
		e.record = r
		t.byExpiry.Fix(e)
		e.site.byExpiry.Fix(e)
		t.crowded.Fix(e.site)
	} else {
		t.add(r)
	}
	for t.byExpiry.Len() > 0 && !t.byExpiry.First().keep.After(now) {
		t.remove(t.byExpiry.First())
	}
	for len(t.hosts) > t.max {
		if first := t.byExpiry.First(); first.expired(now) {
			t.remove(first)
		} else {
			t.remove(t.crowded.First().byExpiry.First())
		}
	}
}

func (t *table) add(r record) {
	name := site.Of(r.Host, publicsuffix.List)
	s := t.sites[name]
	isNew := s == nil
	if isNew {
		s = &siteEntries{name: name, byExpiry: indexheap.New(endsBefore, func(e *entry) *int { return &e.siteIndex })}
		t.sites[name] = s
	}
	e := &entry{record: r, site: s}
	t.hosts[r.Host] = e
	t.byExpiry.Push(e)
	s.byExpiry.Push(e)
	if isNew {
		t.crowded.Push(s)
	} else {
		t.crowded.Fix(s)
	}
}

func (t *table) remove(e *entry) {
	s := e.site
	delete(t.hosts, e.Host)
	t.byExpiry.Remove(e)
	if s.byExpiry.Len() == 1 {
		t.crowded.Remove(s)
		delete(t.sites, s.name)
		return
	}
	s.byExpiry.Remove(e)
	t.crowded.Fix(s)
}

// merge merges a record of another store.
func (t *table) merge(r record, now time.Time) {
	old := t.hosts[r.Host]
	switch {
	case old == nil:
		if r.keep.After(now) {
			t.put(r, now)
		}
	case old.stamp.Before(r.stamp), old.stamp.IsZero() && r.stamp.IsZero():
		r.keep = latest(r.keep, old.keep)
		t.put(r, now)
	default:
		old.keep = latest(old.keep, r.keep)
	}
}

// records returns the records to save.
func (t *table) records(now time.Time) []record {
	all := make([]record, 0, len(t.hosts))
	for _, e := range t.hosts {
		if e.keep.After(now) {
			all = append(all, e.record)
		}
	}
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
