package hsts

import (
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/netreply/netreply/internal/indexheap"
	"github.com/netreply/netreply/internal/site"
)

// maxPolicies bounds a store. Beyond it what has ended goes first; then the site with the
// most policies gives one up, that which ends first, so that no site can drive out others.
const maxPolicies = 10_000

// record is what is known of one host: a policy, or that it has none any more.
//
// Stores that share a file hold copies of each other's records, older ones too. Which
// of two is newer is told by stamp, and a record is kept until keep, when every older
// one has ended that might come back otherwise. So what is missing somewhere, in a file
// that was deleted for instance, says nothing.
type record struct {
	Policy
	stamp time.Time // of the change that made it; zero in files of the first version
	keep  time.Time // not before Expires
}

// entry is a record in a table.
type entry struct {
	record
	site          *siteEntries
	byEnd, inSite int // places in table.ending and siteEntries.ending
}

// siteEntries are the entries of one registrable domain.
type siteEntries struct {
	name   string
	ending indexheap.Heap[*entry]
	place  int // in table.crowded
}

// table holds records: it finds, replaces and evicts in O(log n). It does no locking.
type table struct {
	max     int
	hosts   map[string]*entry
	ending  indexheap.Heap[*entry] // first what ends first
	sites   map[string]*siteEntries
	crowded indexheap.Heap[*siteEntries] // first the site with the most entries
}

func endsBefore(a, b *entry) bool { return a.Expires.Before(b.Expires) }

func newTable(limit int) *table {
	return &table{
		max:    limit,
		hosts:  map[string]*entry{},
		ending: indexheap.New(endsBefore, func(e *entry) *int { return &e.byEnd }),
		sites:  map[string]*siteEntries{},
		crowded: indexheap.New(func(a, b *siteEntries) bool {
			if n, m := a.ending.Len(), b.ending.Len(); n != m {
				return n > m
			}
			return endsBefore(a.ending.First(), b.ending.First())
		}, func(s *siteEntries) *int { return &s.place }),
	}
}

// put takes a record in the place of that of the same host.
func (t *table) put(r record, now time.Time) {
	if e := t.hosts[r.Host]; e != nil {
		e.record = r
		t.ending.Fix(e)
		e.site.ending.Fix(e)
		t.crowded.Fix(e.site)
	} else {
		t.add(r)
	}
	for t.ending.Len() > 0 && !t.ending.First().keep.After(now) {
		t.remove(t.ending.First())
	}
	for len(t.hosts) > t.max {
		if first := t.ending.First(); first.expired(now) {
			t.remove(first)
		} else {
			t.remove(t.crowded.First().ending.First())
		}
	}
}

func (t *table) add(r record) {
	name := site.Of(r.Host, publicsuffix.List)
	s := t.sites[name]
	isNew := s == nil
	if isNew {
		s = &siteEntries{name: name, ending: indexheap.New(endsBefore, func(e *entry) *int { return &e.inSite })}
		t.sites[name] = s
	}
	e := &entry{record: r, site: s}
	t.hosts[r.Host] = e
	t.ending.Push(e)
	s.ending.Push(e)
	if isNew {
		t.crowded.Push(s)
	} else {
		t.crowded.Fix(s)
	}
}

func (t *table) remove(e *entry) {
	s := e.site
	delete(t.hosts, e.Host)
	t.ending.Remove(e)
	if s.ending.Len() == 1 {
		t.crowded.Remove(s)
		delete(t.sites, s.name)
		return
	}
	s.ending.Remove(e)
	t.crowded.Fix(s)
}

// merge takes a record of another store into account.
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

// records lists what is worth being kept.
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
