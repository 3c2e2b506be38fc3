package flow

import (
	"net/url"
	"slices"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

// Responses with No-Vary-Search answer requests whose query differs in what does not matter. They
// are stored under their own URL. An index in memory, which has something only once there was such
// a response, tells where to look besides.

// learnSearch remembers the query of a response that is stored.
func (h *Hop) learnSearch(s *cacherules.Stored) {
	e, rule := h.e.cache, s.SearchRule()
	path := h.pathKey(h.req.URL)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.searches.Add(path, cacherules.StoredQuery{Query: h.req.URL.RawQuery, Key: h.cached.key}, rule)
	e.searching.Store(true)
}

// pathKey is the key of a URL without its query.
func (h *Hop) pathKey(u *url.URL) string {
	path := *u
	path.RawQuery, path.ForceQuery = "", false
	return cacherules.Key(&path, h.req.Host, h.t.Partition)
}

// equalQueries are the queries for which something may be stored that answers requests for u.
func (h *Hop) equalQueries(u *url.URL) []cacherules.StoredQuery {
	e := h.e.cache
	if !e.searching.Load() {
		return nil
	}
	path := h.pathKey(u)
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.searches.Equal(path, u.RawQuery))
}

// readSimilar looks for entries of other queries that answer the request.
func (h *Hop) readSimilar() {
	c, own := h.cached, h.req.URL.RawQuery
	for _, q := range h.equalQueries(h.req.URL) {
		if q.Key == c.key {
			continue
		}
		entries := h.e.cache.lookup(h.t, q.Key, nil)
		entries = slices.DeleteFunc(entries, func(e entry) bool { return !e.stored.AnswersQuery(q.Query, own) })
		if len(entries) > 0 {
			c.entries, c.similar = entries, q.Key
			return
		}
	}
}

// updateEntry replaces the metadata of an entry of the request.
func (h *Hop) updateEntry(e httpcache.Entry, rec *cacherules.Record) {
	u := ""
	if h.cached.similar != "" {
		u, _, _ = cacheentry.Parse(e.Meta()) // that of its key
	}
	if u == "" {
		u = h.req.URL.String()
	}
	h.e.cache.update(h.t, u, e, rec)
}

// removeEntries removes the entries of the request.
func (h *Hop) removeEntries() {
	c := h.cached
	h.e.cache.remove(h.t, c.key)
	if c.similar != "" {
		h.e.cache.remove(h.t, c.similar)
	}
}

// removeSimilar removes what would answer requests for u, besides that of its key.
func (h *Hop) removeSimilar(u *url.URL, key string) {
	for _, q := range h.equalQueries(u) {
		if q.Key != key {
			h.e.cache.outdate(q.Key)
			h.e.cache.remove(h.t, q.Key)
		}
	}
}
