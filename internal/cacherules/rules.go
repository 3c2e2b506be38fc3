// Package cacherules has the rules of a private HTTP cache (RFC 9111), as functions of
// values: a request, a stored response, and the time. It does no I/O and has no clock.
//
// Whether a response is stored: Storable, and NewRecord for what of it. Whether a stored one
// is used: Select finds it, Decide says what to do, Answer.Fields has the header fields to
// answer with. What a response to a validation means: SelectUpdated, Record.Update,
// UsableOnFailure. Partial responses: Record.Combine and Spans. Other requests: Invalidated,
// Record.UpdateByHead and ClearsCache. Status is the Cache-Status field of RFC 9211.
package cacherules

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
)

// LoadControl says how much the program wants from the cache. The numbers are those of
// QNetworkRequest::CacheLoadControl.
type LoadControl uint8

const (
	AlwaysNetwork LoadControl = iota // nothing (rule M1)
	PreferNetwork                    // what is fresh (rule M2)
	PreferCache                      // also what is stale, which is refreshed in the background
	AlwaysCache                      // what there is, and never the network (rule M4)
)

func (l LoadControl) String() string {
	switch l {
	case AlwaysNetwork:
		return "AlwaysNetwork"
	case PreferNetwork:
		return "PreferNetwork"
	case PreferCache:
		return "PreferCache"
	case AlwaysCache:
		return "AlwaysCache"
	}
	return strconv.Itoa(int(l))
}

// Request is a request in the form in which it is sent, without the conditions that the
// cache adds. NewRequest makes it.
type Request struct {
	Method string
	Header http.Header
	Load   LoadControl
	// User is who the request is authenticated as, for schemes whose Authorization field
	// differs for each request; "" stands for the Authorization field.
	User string
	// Trust is what was verified of the peer, and who the connection is authenticated as, if
	// that is not the usual. Responses for requests with another Trust do not answer this one.
	Trust string

	requestDirectives
	ifNoneMatch, ifMatch, ifModifiedSince, ifUnmodifiedSince, ifRange, byteRange []string
	authorization                                                                []string
}

// NewRequest makes a Request, which shares header. The names in header need not be
// canonical.
func NewRequest(method string, header http.Header, load LoadControl, user string) (r Request) {
	r.Method, r.Header, r.Load, r.User = method, header, load, user
	var cacheControl, pragma []string
	for name, values := range header {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Cache-Control":
			cacheControl = more(cacheControl, values)
		case "Pragma":
			pragma = more(pragma, values)
		case "If-None-Match":
			r.ifNoneMatch = more(r.ifNoneMatch, values)
		case "If-Match":
			r.ifMatch = more(r.ifMatch, values)
		case "If-Modified-Since":
			r.ifModifiedSince = more(r.ifModifiedSince, values)
		case "If-Unmodified-Since":
			r.ifUnmodifiedSince = more(r.ifUnmodifiedSince, values)
		case "If-Range":
			r.ifRange = more(r.ifRange, values)
		case "Range":
			r.byteRange = more(r.byteRange, values)
		case "Authorization":
			r.authorization = more(r.authorization, values)
		}
	}
	r.requestDirectives = parseRequestDirectives(cacheControl, pragma)
	return r
}

// more appends to a list of values that may belong to a header.
func more(list, values []string) []string {
	if len(list) == 0 {
		return values
	}
	return append(list[:len(list):len(list)], values...)
}

// conditional reports whether the request has preconditions of its own.
func (r *Request) conditional() bool {
	return len(r.ifNoneMatch)+len(r.ifModifiedSince)+len(r.ifMatch)+len(r.ifUnmodifiedSince) > 0
}

// values returns the values of a field of the request, whatever its spelling; those of several
// spellings in the order of these. name must be canonical.
func (r *Request) values(name string) []string {
	var spelled []string
	for key := range r.Header {
		if len(key) == len(name) && strings.EqualFold(key, name) {
			spelled = append(spelled, key)
		}
	}
	switch len(spelled) {
	case 0:
		return nil
	case 1:
		return r.Header[spelled[0]]
	}
	slices.Sort(spelled)
	var all []string
	for _, key := range spelled {
		all = append(all, r.Header[key]...)
	}
	return all
}

// Times are when a request was sent and when the head of its response arrived.
type Times struct{ Request, Response time.Time }

// Record is what is stored of a response besides its body. It is not changed once it is in
// use: updates make another.
type Record struct {
	Times
	Status int             // that of the whole response: 200 for one that came as 206
	Reason string          // its phrase, "" for that of the status; set by the caller, like Trailer
	Fields headers.Headers // as received, but for those that belong to a connection
	// Trailer is what came behind the body.
	Trailer headers.Headers
	// Length is the length of the whole body, -1 if unknown. Have is what of it is stored;
	// it is empty if that is everything.
	Length int64
	Have   Spans
	Vary   VaryKey
	// Invalid: it must be validated before it is used, whatever its fields and the request
	// say (RFC 9111, section 4.4).
	Invalid bool
}

// Complete reports whether the whole body is stored.
func (r *Record) Complete() bool { return len(r.Have) == 0 }

// Stored is a Record with its fields parsed, ready for decisions. It is safe for concurrent
// use.
type Stored struct {
	Record
	policy
	names    []string // canonical names of Fields
	withheld []bool   // for each of Fields: it must not be used without validation; nil for none
}

// NewStored parses a Record.
func NewStored(r Record) *Stored {
	s := new(Stored)
	s.Record, s.names = r, make([]string, 0, r.Fields.Len())
	s.policy.read(r.Status, r.Fields, r.Times)
	for name := range r.Fields.All() {
		s.names = append(s.names, textproto.CanonicalMIMEHeaderKey(name))
	}
	if len(s.noCacheFields) > 0 {
		s.withhold()
	}
	return s
}

// withhold is a function of its own because its map takes stack.
//
//go:noinline
func (s *Stored) withhold() {
	listed := map[string]bool{}
	for _, name := range s.noCacheFields {
		listed[name] = true
	}
	s.withheld = make([]bool, len(s.names))
	for i, name := range s.names {
		s.withheld[i] = listed[name]
	}
}

// Expires is when the response becomes stale. known is false if that is a guess, or if there
// is nothing to guess from.
func (s *Stored) Expires() (t time.Time, known bool) {
	return s.Response.Add(s.lifetime - s.initialAge), s.explicit
}

// Heuristic reports whether nothing but a guess says how long the response stays fresh.
func (s *Stored) Heuristic() bool { return s.heuristic }

// LastModified is the date of its Last-Modified field, the zero Time without a valid one.
func (s *Stored) LastModified() time.Time { return s.modifiedTime }

// Worth is how long a response that is stale by now can still be of use: forever if it can
// be validated, otherwise as long as it may be used stale without a wish of the program.
func (s *Stored) Worth() time.Duration {
	switch {
	case s.etag != "" || s.modified != "":
		return forever
	case s.noCache || s.mustRevalidate || s.Invalid:
		return 0
	}
	return max(0, s.staleWhile, s.staleIfError)
}

// UsefulUntil is when a response is stale and past its Worth; false if it never is.
func (s *Stored) UsefulUntil() (time.Time, bool) {
	worth := s.Worth()
	if worth == forever {
		return time.Time{}, false
	}
	t, _ := s.Expires()
	return t.Add(worth), true
}

// fieldValues is a list of header fields: an http.Header with canonical names, or a
// headers.Headers.
type fieldValues interface{ Values(name string) []string }

// policy is what the fields of a response mean for its use.
type policy struct {
	responseDirectives
	date         time.Time     // of the Date field, or when the response arrived
	initialAge   time.Duration // corrected_initial_age (RFC 9111, section 4.2.3)
	lifetime     time.Duration // freshness_lifetime (RFC 9111, section 4.2.1)
	heuristic    bool          // lifetime is a guess
	explicit     bool          // there is an expiration time, even if it is invalid
	etag         string        // as received, "" if there is none
	modified     string        // Last-Modified as received, "" if it is no date
	modifiedTime time.Time
	strongTime   bool     // Last-Modified is a strong validator
	vary         []string // canonical names, sorted
	varyAny      bool     // Vary has a "*"
}

func newPolicy(status int, fields fieldValues, times Times) (p policy) {
	p.read(status, fields, times)
	return p
}

// read sets a zero policy.
func (p *policy) read(status int, fields fieldValues, times Times) {
	p.responseDirectives.read(fields.Values("Cache-Control"))
	dated := false
	if v := fields.Values("Date"); len(v) > 0 {
		p.date, dated = parseDate(v[0], times.Response)
	}
	if !dated {
		p.date = times.Response // RFC 9110, section 6.6.1
	}
	if v := fields.Values("Etag"); len(v) > 0 {
		p.etag = strings.Trim(v[0], " \t")
	}
	if v := fields.Values("Last-Modified"); len(v) > 0 {
		if t, ok := parseDate(v[0], times.Response); ok {
			p.modified, p.modifiedTime = strings.Trim(v[0], " \t"), t
			// RFC 9110, section 8.8.2.2: without Date nothing is known about the clock of the origin
			p.strongTime = dated && p.date.Sub(t) >= time.Second
		}
	}
	p.vary, p.varyAny = selecting(fields)
	p.initialAge = initialAge(p.date, fields.Values("Age"), times)
	p.setLifetime(status, fields.Values("Expires"), times.Response)
}
