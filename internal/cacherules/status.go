package cacherules

import (
	"strconv"
	"strings"
	"time"
)

// Forward is why a request was sent although there is a cache (RFC 9211, section 2.2).
type Forward string

const (
	ForwardBypass   Forward = "bypass"    // the program wants nothing from the cache
	ForwardMethod   Forward = "method"    // not GET or HEAD
	ForwardURIMiss  Forward = "uri-miss"  // nothing is stored for the URI
	ForwardVaryMiss Forward = "vary-miss" // what is stored is for other requests
	ForwardRequest  Forward = "request"   // the request's directives exclude what is stored
	ForwardStale    Forward = "stale"     // what is stored needs validation
	ForwardPartial  Forward = "partial"   // not all that was asked for is stored
)

// Detail says more about what a cache did with a request, as a token. It can also be a Refusal, or
// a Forward that names why nothing answers.
type Detail string

// Why a stale response is used, or none.
const (
	ByMaxStale    Detail = "max-stale"
	ByAlwaysCache Detail = "always-cache"
	ByPreferCache Detail = "prefer-cache"
	ByStaleWhile  Detail = "stale-while-revalidate"
	ByStaleError  Detail = "stale-if-error" // in place of a server error
	Unreachable   Detail = "unreachable"    // in place of a failure to get a response
	MustValidate  Detail = "must-validate"
	HeadAsked     Detail = "head" // rule M4
)

// Others.
const (
	Heuristic    Detail = "heuristic"    // the lifetime is a guess
	SaveControl  Detail = "save-control" // the program does not want the response stored
	OneTrust     Detail = "trust"        // the certificate was accepted for this request only
	StoreRefused Detail = "store-refused"
	StoreError   Detail = "store-error"
	RestFetched  Detail = "rest-fetched" // rules M41 and M50
	NoCache      Detail = "no-cache"     // there is none, or it has no part in the request
)

// Status is what a cache did with a request (RFC 9211).
type Status struct {
	// Hit: the answer is from the store, without a request. Forward is empty then.
	Hit     bool
	Forward Forward
	// ForwardStatus is the status of the response to a forwarded request if it is not that
	// of the answer, 0 otherwise.
	ForwardStatus int
	// TTL is how long the answer stays fresh; HasTTL that this is known.
	TTL    time.Duration
	HasTTL bool
	// Stored: the response to the forwarded request is stored. Collapsed: that request was
	// sent for another one that wanted the same.
	Stored, Collapsed bool
	// Detail says more, in words of the cache.
	Detail string
}

// Field returns the value of a Cache-Status field with the name of the cache, a token or any
// other text.
func (s Status) Field(cache string) string {
	b := appendItem(make([]byte, 0, 64), cache)
	if s.Hit {
		b = append(b, "; hit"...)
	}
	if s.Forward != "" {
		b = append(append(b, "; fwd="...), s.Forward...)
	}
	if s.ForwardStatus != 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(s.ForwardStatus), 10)
	}
	if s.HasTTL {
		ttl := s.TTL / time.Second
		if s.TTL < 0 && s.TTL%time.Second != 0 {
			ttl-- // stale for a part of a second is not fresh
		}
		b = strconv.AppendInt(append(b, "; ttl="...), int64(ttl), 10)
	}
	if s.Stored {
		b = append(b, "; stored"...)
	}
	if s.Collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.Detail != "" {
		b = appendItem(append(b, "; detail="...), s.Detail)
	}
	return string(b)
}

// appendItem appends a token or, if it is none, a string of a structured field (RFC 9651,
// section 4.1), with what that cannot have replaced by question marks.
func appendItem(b []byte, s string) []byte {
	isToken := s != "" && (isLetter(s[0]) || s[0] == '*')
	for i := range len(s) {
		isToken = isToken && (isTokenByte(s[i]) || s[i] == ':' || s[i] == '/')
	}
	if isToken {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ' || c >= 0x7f:
			c = '?'
		case strings.IndexByte(`"\`, c) >= 0:
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
