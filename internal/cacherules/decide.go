package cacherules

import (
	"net/http"
	"strconv"
	"time"
)

// Action is what to do with a request.
type Action uint8

const (
	// Fetch: send the request as it is.
	Fetch Action = iota
	// Use: answer from the store, with Decision.Answer. Decision.Refresh says whether to
	// validate in the background meanwhile.
	Use
	// Validate: send the request with Decision.Conditions; on a 304 answer from the store.
	Validate
	// Complete: send the request with Decision.Conditions, which ask for the rest of the
	// body. A 206 is put behind what is stored (Record.Combine), anything else replaces it.
	Complete
	// GatewayTimeout: answer 504, or the error of a cache that has nothing (rule M4).
	GatewayTimeout
)

// Conditions are fields to add to a request; empty ones are not added.
type Conditions struct{ IfNoneMatch, IfModifiedSince, IfRange, Range string }

// Decision is what to do with a request, and why.
type Decision struct {
	Action Action
	// Forward is why the request is sent, for Cache-Status; "" if it is not.
	Forward Forward
	// Stale: what is used is not fresh. Refresh: it is to be validated in the background,
	// with Conditions.
	Stale, Refresh bool
	// Detail is why a stale response is used, or why none answers under AlwaysCache or
	// only-if-cached; "" otherwise.
	Detail Detail
	// Age is the age of the stored response, and TTL how long it stays fresh, negative if it
	// is stale. Both are 0 without a stored response.
	Age, TTL time.Duration

	Answer     Answer
	Conditions Conditions
}

// Decide decides about a request. s is the stored response that Select has found, nil for
// none because of miss.
func Decide(r *Request, s *Stored, miss Miss, now time.Time) (d Decision) {
	offline := r.Load == AlwaysCache || r.onlyIfCached
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return Decision{Forward: ForwardMethod} // rule M4: the load control is for GET and HEAD only
	case r.Load == AlwaysCache && r.Method == http.MethodHead: // rule M4
		return Decision{Action: GatewayTimeout, Detail: HeadAsked}
	case s == nil && miss == VaryMiss:
		d.Forward = ForwardVaryMiss
	case s == nil:
		d.Forward = ForwardURIMiss
	default:
		s.decide(&d, r, now, offline)
	}
	if s == nil && r.Load == AlwaysNetwork {
		d.Forward = ForwardBypass
	}
	if offline && d.Action != Use {
		if d.Detail == "" {
			d.Detail = Detail(d.Forward)
		}
		return Decision{Action: GatewayTimeout, Age: d.Age, TTL: d.TTL, Detail: d.Detail}
	}
	return d
}

// decide decides about a GET or HEAD request with a stored response. d is zero before.
func (s *Stored) decide(d *Decision, r *Request, now time.Time, offline bool) {
	d.Age = s.age(now)
	d.TTL = s.lifetime - d.Age
	if s.Invalid {
		d.TTL = min(d.TTL, 0)
	}
	d.Stale = d.TTL <= 0
	if s.bypassed(r) {
		d.Forward = ForwardBypass
		if r.Load != AlwaysNetwork {
			d.Forward = ForwardRequest
		}
		return
	}
	usable := false
	switch {
	case s.noCache || s.Invalid:
		d.Stale, d.Forward, d.Detail = true, ForwardStale, MustValidate
	case !r.accepts(s, d):
		d.Forward = ForwardRequest
		if d.Stale {
			d.Forward = ForwardStale
		}
	case d.Stale:
		usable, d.Refresh, d.Detail = s.usableStale(r, d, offline)
		d.Forward = ForwardStale
	default:
		usable = true
	}
	if !usable {
		s.validate(d, r, now)
		if !offline {
			d.Detail = ""
		}
		return
	}
	answer, there := s.answer(r, now)
	if !there {
		d.Refresh, d.Detail = false, ""
		d.Forward = ForwardPartial
		s.complete(d, r)
		return
	}
	d.Action, d.Answer, d.Forward = Use, answer, ""
	if d.Refresh {
		d.Conditions = s.conditions()
	}
}

// bypassed reports whether a request is not to be answered from the store, nor changed.
func (s *Stored) bypassed(r *Request) bool {
	return r.Load == AlwaysNetwork || r.noStore ||
		len(r.ifMatch)+len(r.ifUnmodifiedSince) > 0 // evaluated by the origin only (RFC 9111, section 4.3.2)
}

// accepts reports whether the request's directives allow the use of a stored response
// without validation (RFC 9111, section 5.2.1), if it is fresh or may be used stale.
func (r *Request) accepts(s *Stored, d *Decision) bool {
	switch {
	case r.noCache:
		return false
	case r.maxAge == 0:
		// a reload: not for what never changes while it is fresh (RFC 8246)
		return s.immutable && !d.Stale && !s.heuristic
	case r.maxAge != absent && d.Age > r.maxAge:
		return false
	case r.minFresh != absent && d.TTL < r.minFresh:
		return false
	}
	return true
}

// usableStale reports whether a stale response may be used (RFC 9111, section 4.2.4), and
// whether it is to be validated in the background.
func (s *Stored) usableStale(r *Request, d *Decision, offline bool) (usable, refresh bool, why Detail) {
	if s.mustRevalidate {
		return false, false, MustValidate
	}
	staleness := -d.TTL
	switch {
	case r.maxStale != absent && staleness <= r.maxStale:
		return true, false, ByMaxStale
	case r.Load == AlwaysCache:
		return true, false, ByAlwaysCache
	case r.maxStale != absent, r.maxAge != absent, r.minFresh != absent: // the request wants nothing that is staler
		return false, false, ""
	case r.Load == PreferCache:
		return true, !offline, ByPreferCache
	case !offline && s.staleWhile != absent && staleness <= s.staleWhile: // RFC 5861: only if it is validated meanwhile
		return true, true, ByStaleWhile
	}
	return false, false, ""
}

// validate decides how a stored response is validated that may not be used without.
func (s *Stored) validate(d *Decision, r *Request, now time.Time) {
	if r.conditional() {
		// sent as it is: a 304 is then for the program, about what the program has
		return
	}
	if _, there := s.answer(r, now); !there {
		s.complete(d, r)
		return
	}
	d.Conditions = s.conditions()
	if d.Conditions != (Conditions{}) {
		d.Action = Validate
	}
}

// conditions are the preconditions of a validation: both, if there are both validators
// (RFC 9111, section 4.3.1).
func (s *Stored) conditions() Conditions {
	return Conditions{IfNoneMatch: s.etag, IfModifiedSince: s.modified}
}

// complete decides how the missing bytes of a body are fetched: by a range from the first
// missing byte on, if the stored bytes begin at the beginning and can be continued.
func (s *Stored) complete(d *Decision, r *Request) {
	validator := s.strongValidator()
	if r.Method != http.MethodGet || len(r.byteRange) > 0 || r.conditional() || validator == "" || len(s.Have) == 0 || s.Have[0].Start > 0 {
		return
	}
	d.Action = Complete
	d.Conditions = Conditions{IfRange: validator, Range: "bytes=" + strconv.FormatInt(s.Have[0].End, 10) + "-"}
}

// UsableOnFailure reports whether a stored response may be used because its validation has
// failed: with a status of 500 or above, or without a response, where status is 0. Explicit
// limits are those of stale-if-error (RFC 5861), in the request before those in the
// response. Without them a server error counts as no answer (RFC 9111, section 4.3.3, and
// rule M32), and a broken connection is an error, unless the program prefers the cache.
func UsableOnFailure(r *Request, s *Stored, status int, now time.Time) bool {
	if status != 0 && (status < 500 || status > 599) || s.bypassed(r) || s.noCache || s.Invalid || s.mustRevalidate || r.noCache {
		return false
	}
	if status != 0 && s.Status >= 500 {
		return false // one error is no better than the other
	}
	if r.staleIfError == absent && (r.maxAge != absent || r.minFresh != absent || r.maxStale != absent) {
		return false // the request says how old it may be
	}
	if _, there := s.answer(r, now); !there {
		return false
	}
	staleness := s.age(now) - s.lifetime
	limit := r.staleIfError
	if limit == absent {
		limit = s.staleIfError
	}
	if limit != absent {
		return staleness <= limit
	}
	return status != 0 || r.Load == PreferCache
}

// Answer says what answers a request from the store.
type Answer struct {
	// Status is that of the stored response, or 206, 304 or 416.
	Status int
	// Body is what of the stored body is sent; End is -1 for all of it, of unknown length.
	// It is empty for HEAD, 304 and 416.
	Body Span
}

// answer evaluates the preconditions and the range of a request against the stored response
// (RFC 9111, section 4.3.2, and RFC 9110, section 13.2.2). there is false if what is asked
// for is not stored.
func (s *Stored) answer(r *Request, now time.Time) (a Answer, there bool) {
	a.Status = s.Status
	if s.Status >= 200 && s.Status < 300 && s.notModified(r, now) {
		return Answer{Status: http.StatusNotModified}, true
	}
	if r.Method == http.MethodHead {
		return a, true
	}
	if s.Status == http.StatusOK && len(r.byteRange) > 0 && s.rangeApplies(r, now) {
		part, kind := parseRange(r.byteRange, s.Length)
		switch kind {
		case unknownRange:
			return a, false
		case unsatisfied:
			return Answer{Status: http.StatusRequestedRangeNotSatisfiable}, true
		case oneRange:
			if s.Complete() && s.Length < 0 { // it is still arriving
				return a, false
			}
			return Answer{http.StatusPartialContent, part}, s.Complete() || s.Have.Contains(part)
		case wholeBody:
		}
	}
	a.Body = Span{0, s.Length}
	return a, s.Complete()
}

// Answer says what of a stored response answers a request that may be answered with it; there
// is false if that is not stored.
func (s *Stored) Answer(r *Request, now time.Time) (a Answer, there bool) { return s.answer(r, now) }

// TTL is how long a stored response stays fresh, negative if it is stale.
func (s *Stored) TTL(now time.Time) time.Duration { return s.lifetime - s.age(now) }
