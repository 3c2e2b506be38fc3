package httpcache

import (
	"context"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

// Cache is a private cache of HTTP responses (RFC 9111), for netreply.Config. Several Managers
// may share one. It is safe for concurrent use. The zero Cache has no Store, and keeps nothing.
type Cache struct{ store Store }

// New makes a Cache with a Store; nil means that nothing is kept.
func New(s Store) *Cache { return &Cache{s} }

// Store is where the cache keeps its responses; nil for none.
func (c *Cache) Store() Store {
	if c == nil {
		return nil
	}
	return c.store
}

// Metadata describes a stored response (Qt: QNetworkCacheMetaData).
type Metadata struct {
	// URL is what was requested, without fragment and password, and Partition the
	// CachePartition of the request.
	URL       *url.URL
	Partition string
	// StatusCode and Reason are those of the response; Reason is empty if it is the usual one.
	// A part of a body (206) is stored as what there is of the whole one, with status 200.
	StatusCode int
	Reason     string
	// Headers are the fields as they were received and are stored.
	Headers headers.Headers
	// Received is when the response was received, or last validated.
	Received time.Time
	// LastModified is the date of the response's Last-Modified field, and Expires when it
	// becomes stale. They are zero if the response does not say that.
	LastModified, Expires time.Time
	// FreshUntil is Expires, or the guess in its place (rule M2), or Received if there is
	// nothing to guess from.
	FreshUntil time.Time
	// Length is the length of the body in bytes, -1 if it is unknown, and Stored how much of
	// it is stored. Complete reports whether that is all.
	Length, Stored int64
	Complete       bool

	key   string
	entry Entry
}

// Open opens what is stored of the body (Qt: QAbstractNetworkCache::data). These are the bytes
// as they were received, with their content coding. It fails for a response that was removed
// meanwhile.
func (m Metadata) Open(ctx context.Context) (Body, error) {
	if m.entry == nil {
		return nil, errNoEntry
	}
	return m.entry.Open(ctx)
}

// Metadata describes the stored responses for a URL, of which there may be several: for
// requests with different fields, for instance. None is no error. Those for requests with a
// CachePartition or a Host field are not among them.
func (c *Cache) Metadata(ctx context.Context, u *url.URL) ([]Metadata, error) {
	if c.Store() == nil || u == nil {
		return nil, nil
	}
	key := keyOf(u)
	found, err := c.store.Lookup(ctx, key)
	var list []Metadata
	for _, e := range found {
		if m, ok := metadataOf(key, e); ok {
			list = append(list, m)
		}
	}
	return list, err
}

// keyOf is the key of a URL as it is sent, without dot segments.
func keyOf(u *url.URL) string {
	if strings.Contains(u.Path, "/.") {
		u = u.ResolveReference(u)
	}
	return cacherules.Key(u, "", "")
}

func metadataOf(key string, e Entry) (Metadata, bool) {
	rawURL, rec, err := cacheentry.Parse(e.Meta())
	if err != nil {
		return Metadata{}, false
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Metadata{}, false
	}
	s := cacherules.NewStored(rec)
	m := Metadata{URL: u, Partition: cacherules.PartitionOf(key), StatusCode: rec.Status, Reason: rec.Reason, Headers: rec.Fields, Received: rec.Response,
		LastModified: s.LastModified(), Length: rec.Length, Stored: rec.Length, Complete: rec.Complete(), key: key, entry: e}
	if !m.Complete {
		m.Stored = 0
		for _, span := range rec.Have {
			m.Stored += span.Len()
		}
	}
	expires, known := s.Expires()
	if known {
		m.Expires = expires
	}
	if m.FreshUntil = expires; rec.Invalid || expires.Before(rec.Response) {
		m.FreshUntil = rec.Response
	}
	return m, true
}

// UsefulUntil says from when on an entry with metadata of a Cache can be used only by requests
// that accept stale responses: then it is stale, and may not be used to bridge a failure or a
// validation. ok is false if there is no such time, since the entry can be validated, and for
// other metadata. A Store can let entries go by it.
func UsefulUntil(meta []byte) (t time.Time, ok bool) {
	_, rec, err := cacheentry.Parse(meta)
	if err != nil {
		return time.Time{}, false
	}
	return cacherules.NewStored(rec).UsefulUntil()
}

// Remove removes the stored responses for a URL, except those for requests with a
// CachePartition or a Host field.
func (c *Cache) Remove(ctx context.Context, u *url.URL) error {
	if c.Store() == nil || u == nil {
		return nil
	}
	return c.store.Remove(ctx, keyOf(u))
}

// RemoveLike removes a stored response and its variants: all that are for the same URL, Partition
// and Host field.
func (c *Cache) RemoveLike(ctx context.Context, m Metadata) error {
	if m.entry == nil {
		return errNoEntry
	}
	if c.Store() == nil {
		return nil
	}
	return c.store.Remove(ctx, m.key)
}

// RemovePartition removes all responses to requests with a CachePartition. It fails for an empty
// one: Clear removes everything.
func (c *Cache) RemovePartition(ctx context.Context, partition string) error {
	if partition == "" {
		return errNoPartition
	}
	if c.Store() == nil {
		return nil
	}
	return c.store.RemovePrefix(ctx, cacherules.PartitionKey(partition))
}

// Clear removes everything.
func (c *Cache) Clear(ctx context.Context) error {
	if c.Store() == nil {
		return nil
	}
	return c.store.RemovePrefix(ctx, "")
}

// Size is the number of bytes that the responses take: 0 without a Store, -1 if the Store is no
// Lister.
func (c *Cache) Size(ctx context.Context) (int64, error) {
	switch s := c.Store().(type) {
	case nil:
		return 0, nil
	case Lister:
		return s.Size(ctx)
	}
	return -1, nil
}

// All yields all stored responses, in any order, whatever their partition. It yields nothing if
// the Store is no Lister.
func (c *Cache) All(ctx context.Context) iter.Seq[Metadata] {
	return func(yield func(Metadata) bool) {
		s, ok := c.Store().(Lister)
		if !ok {
			return
		}
		for key, e := range s.All(ctx) {
			if m, ok := metadataOf(key, e); ok && !yield(m) {
				return
			}
		}
	}
}

// ForwardReason is why a request was sent although there is a cache (RFC 9211, section 2.2).
type ForwardReason string

// The reasons.
const (
	ForwardBypass   ForwardReason = "bypass"    // the program wants nothing from the cache
	ForwardMethod   ForwardReason = "method"    // it is not GET or HEAD
	ForwardURIMiss  ForwardReason = "uri-miss"  // nothing is stored for the URL
	ForwardVaryMiss ForwardReason = "vary-miss" // what is stored is for requests with other fields
	ForwardRequest  ForwardReason = "request"   // the request's fields exclude what is stored
	ForwardStale    ForwardReason = "stale"     // what is stored had to be validated
	ForwardPartial  ForwardReason = "partial"   // not all that was asked for is stored
)

// Status is what a cache did with a request (RFC 9211). The zero Status is that of a Manager
// without a cache.
type Status struct {
	// Hit: the response is from the cache, and nothing was sent. Forward is empty then.
	Hit     bool
	Forward ForwardReason
	// ForwardStatus is the status of the response to the request that was sent if it is not
	// that of the Reply: 304 for instance. Otherwise it is 0.
	ForwardStatus int
	// TTL is how long the response stays fresh, negative if it is stale. HasTTL reports
	// whether that is known.
	TTL    time.Duration
	HasTTL bool
	// Stored: the cache means to store the response. That is what is known with its head: it is
	// not stored if its body breaks off or becomes too large, or if the Store fails. It is false
	// for a 304, which only refreshes what is stored. Collapsed: the response is that of another
	// request for the same, and this one was not sent.
	Stored, Collapsed bool
	// Detail says more, as one of these tokens, or nothing. A response that is not stored:
	// "no-store" or "request-no-store" (Cache-Control), "save-control" (the Request's
	// CacheSaveControl), "status" or "not-understood" (its status, also with must-understand),
	// "not-cacheable" (neither its status nor its fields allow it), "vary" (Vary: *),
	// "content-range" (a part that cannot be placed), "trust" (its certificate was
	// accepted for this request only), "store-refused" (by the Store, as too large for instance)
	// and "store-error". A stale one that is used: "stale-while-revalidate", "prefer-cache",
	// "max-stale" or "always-cache"; "stale-if-error" for a server error, and "unreachable" for a
	// failure to get any response, in its place. "heuristic": how long it is fresh is a guess.
	// "rest-fetched": what the Store has lost of the body, or a request that was shared did not
	// bring, was requested afterwards.
	//
	// If nothing answers a request that must not be sent, it is "always-cache:" or
	// "only-if-cached:" with a ForwardReason, or with "must-validate" (no-cache, or stale with
	// must-revalidate), "head" (which AlwaysCache does not answer), or "no-cache" (there is none,
	// or it has no part in the request). Forward is empty then.
	Detail string
}

// String is the value of a Cache-Status field of a cache called netreply; "" for the zero
// Status.
func (s Status) String() string {
	if s == (Status{}) {
		return ""
	}
	return cacherules.Status{Hit: s.Hit, Forward: cacherules.Forward(s.Forward), ForwardStatus: s.ForwardStatus, TTL: s.TTL, HasTTL: s.HasTTL,
		Stored: s.Stored, Collapsed: s.Collapsed, Detail: s.Detail}.Field("netreply")
}
