package netreply

import (
	"log/slog"
	"net/http"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/flow"
)

// CacheLoadControl says what a GET or HEAD request may be answered with from Config.Cache (Qt:
// QNetworkRequest::CacheLoadControl). Other requests always go to the network.
type CacheLoadControl int8

const (
	// DefaultCacheLoadControl means PreferNetwork.
	DefaultCacheLoadControl CacheLoadControl = iota
	// AlwaysNetwork uses nothing from the cache, and asks caches on the way for a new response
	// by Cache-Control: no-cache, unless the request has a Cache-Control field (rule M1).
	AlwaysNetwork
	// PreferNetwork uses what is fresh (RFC 9111), and validates what is stale (rule M2).
	PreferNetwork
	// PreferCache also uses what is stale, and validates it in the background. What must be
	// validated before each use is not used without.
	PreferCache
	// AlwaysCache uses what there is, and never the network. A request that is not answered
	// like this fails with ContentNotFoundError (rule M4), a HEAD in any case.
	AlwaysCache
)

// String returns the name of the constant.
func (c CacheLoadControl) String() string {
	return nameOf("CacheLoadControl", int(c), "DefaultCacheLoadControl", "AlwaysNetwork", "PreferNetwork", "PreferCache", "AlwaysCache")
}

// LogValue is what log/slog prints: the same as String.
func (c CacheLoadControl) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c CacheLoadControl) rules() cacherules.LoadControl {
	switch c {
	case AlwaysNetwork:
		return cacherules.AlwaysNetwork
	case PreferCache:
		return cacherules.PreferCache
	case AlwaysCache:
		return cacherules.AlwaysCache
	}
	return cacherules.PreferNetwork
}

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
	return r.fromCache(), r.fromCache()
}, nil}

// fromCache reports whether the last response is from the cache. The caller holds the lock.
func (r *Reply) fromCache() bool {
	return r.extra != nil && r.extra.cache.FromStore
}

// quiet reports whether no ReadyRead is emitted for what arrives (rule S38b): the response is
// from the cache, under AlwaysCache, and its bytes do not wait for the reader. The caller
// holds the lock.
func (r *Reply) quiet() bool {
	if !r.fromCache() || !r.extra.cache.Quiet {
		return false
	}
	limit := r.pipe.Limit()
	return limit == 0 || r.pipe.Available() < limit
}

// showCache sets what CacheStatus and SourceIsFromCache tell, and fills in a head from the
// cache, which has no bytes. Of a response that nothing was sent for there is no connection.
func (r *Reply) showCache(o *flow.CacheOutcome, h *head, status string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != running {
		return
	}
	shown := &r.more().cache
	*shown = *o
	if !o.Sent {
		r.tls, r.local, r.remote = nil, nil, nil
	}
	if !o.Made {
		return
	}
	if h.decoded { // rule Z4
		shown.Fields.Del("Content-Length")
	}
	h.http, h.raw, h.fields = o.Sent, "HTTP/1.1 200 OK", &shown.Fields
	if status != "200 OK" {
		h.raw = "HTTP/1.1 " + status
	}
}
