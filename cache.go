package netreply

import (
	"net/http"

	"github.com/netreply/netreply/httpcache"
)

// Cache is Config.Cache; nil for none.
func (m *Manager) Cache() *httpcache.Cache { return m.cfg.Cache }

// CacheStatus says what the Manager's cache did for the last response head (RFC 9211): the zero
// Status without a cache, before a head, and for a Backend.
func (r *Reply) CacheStatus() httpcache.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil {
		return httpcache.Status{}
	}
	s := r.extra.cache.Status
	return httpcache.Status{Hit: s.Hit, Forward: httpcache.ForwardReason(s.Forward), ForwardStatus: s.ForwardStatus, TTL: s.TTL, HasTTL: s.HasTTL,
		Stored: s.Stored, Collapsed: s.Collapsed, Detail: s.Detail}
}

// addCacheStatus adds a Cache-Status field to a response. One that the cache has made of nothing
// stored gets none (RFC 9211, section 2). The caller holds the lock.
func (r *Reply) addCacheStatus(to http.Header, name string) {
	if r.extra == nil {
		return
	}
	if s := r.extra.cache.Status; s.Hit || s.Forward != "" {
		to.Add("Cache-Status", s.Field(name))
	}
}

// SourceIsFromCache is true for a response from Config.Cache: also for one that the server has
// just confirmed with 304, or that takes the place of a server error (rules A6, S39 and D27). It
// is not set otherwise.
var SourceIsFromCache = Attribute[bool]{"SourceIsFromCache", func(r *Reply) (bool, bool) {
	return r.extra.fromCache(), r.extra.fromCache()
}, nil}
