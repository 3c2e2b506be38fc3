package netreply

import (
	"log/slog"

	"github.com/netreply/netreply/internal/cacherules"
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
	// PreferNetwork uses what is fresh (RFC 9111), and validates what is stale (rule M2). A response
	// with Last-Modified that does not say how long it is fresh counts as fresh for a tenth of
	// the time since then, and at most for a week. A program that must see each change, to its
	// list of updates for instance, sets Cache-Control: no-cache, which validates each time.
	PreferNetwork
	// PreferCache also uses what is stale, and validates it in the background: without signals,
	// for a minute at most, and not beyond Manager.Close. What must be validated before each use
	// (no-cache, or must-revalidate and stale) is not used without.
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
