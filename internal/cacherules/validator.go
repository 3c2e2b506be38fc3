package cacherules

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// entityTag splits an entity-tag (RFC 9110, section 8.8.3); false if s is none.
func entityTag(s string) (opaque string, weak, ok bool) {
	opaque, weak = strings.CutPrefix(s, "W/")
	if len(opaque) < 2 || opaque[0] != '"' || strings.IndexByte(opaque[1:], '"') != len(opaque)-2 {
		return "", false, false
	}
	for i := 1; i < len(opaque)-1; i++ {
		if opaque[i] <= ' ' || opaque[i] == 0x7f {
			return "", false, false
		}
	}
	return opaque, weak, true
}

// isStrong reports whether an entity-tag is valid and not weak.
func isStrong(etag string) bool {
	_, weak, ok := entityTag(etag)
	return ok && !weak
}

// sameStrong is the strong comparison (RFC 9110, section 8.8.3.2).
func sameStrong(a, b string) bool { return a == b && isStrong(a) }

// sameWeak is the weak comparison. What is no entity-tag equals only itself: servers that
// forget the quotes compare like that, too.
func sameWeak(a, b string) bool {
	x, _, okX := entityTag(a)
	y, _, okY := entityTag(b)
	if okX && okY {
		return x == y
	}
	return a != "" && a == b
}

// matches reports whether an If-None-Match field lists an entity-tag; one of "*" matches
// everything.
func matches(ifNoneMatch []string, etag string) bool {
	for _, v := range ifNoneMatch {
		if strings.Trim(v, " \t") == "*" {
			return true
		}
		for tag := range tags(v) {
			if etag != "" && sameWeak(tag, etag) {
				return true
			}
		}
	}
	return false
}

// tags yields the entity-tags of a list, which have no escapes, and whatever else is between
// commas.
func tags(v string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i <= len(v); i++ {
			switch {
			case i < len(v) && v[i] == '"':
				quoted = !quoted
			case i == len(v) || v[i] == ',' && !quoted:
				tag := strings.Trim(v[start:i], " \t")
				start = i + 1
				if tag != "" && !yield(tag) {
					return
				}
			}
		}
	}
}

// notModified evaluates the request's If-None-Match or, if there is none, its
// If-Modified-Since against a stored response (RFC 9111, section 4.3.2).
func (s *Stored) notModified(r *Request, now time.Time) bool {
	if len(r.ifNoneMatch) > 0 {
		return matches(r.ifNoneMatch, s.etag)
	}
	if len(r.ifModifiedSince) != 1 {
		return false
	}
	since, ok := parseDate(r.ifModifiedSince[0], now)
	if !ok {
		return false
	}
	modified := s.modifiedTime
	if s.modified == "" {
		modified = s.date
	}
	return !modified.Truncate(time.Second).After(since)
}

// rangeApplies evaluates the request's If-Range (RFC 9110, section 13.1.5): whether its
// Range applies to the stored response.
func (s *Stored) rangeApplies(r *Request, now time.Time) bool {
	switch len(r.ifRange) {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	v := strings.Trim(r.ifRange[0], " \t")
	if t, ok := parseDate(v, now); ok {
		return s.strongTime && t.Equal(s.modifiedTime)
	}
	return sameStrong(v, s.etag)
}

// sameRepresentation reports whether a response has the same strong validator as a stored
// one, so that parts of both may be combined (RFC 9111, section 3.4).
func (s *Stored) sameRepresentation(p *policy) bool {
	if s.etag != "" || p.etag != "" {
		return sameStrong(s.etag, p.etag)
	}
	return s.strongTime && p.strongTime && s.modifiedTime.Equal(p.modifiedTime)
}

// strongValidator is the stored response's validator for If-Range, "" if it has none.
func (s *Stored) strongValidator() string {
	switch {
	case isStrong(s.etag):
		return s.etag
	case s.etag == "" && s.strongTime:
		return s.modified
	}
	return ""
}

// maxOffered is how many entity-tags of other variants are sent with a request, and
// maxOfferedTag how long each may be.
const (
	maxOffered    = 8
	maxOfferedTag = 128
)

// Offer returns an If-None-Match field for a request that none of the variants for its URI
// matches, "" for none: the server may answer that one of them is the right one all the same (RFC
// 9111, section 4.1).
func Offer(r *Request, variants []*Stored) string {
	if r.Method != http.MethodGet || r.Load != PreferNetwork && r.Load != PreferCache ||
		r.noStore || r.conditional() || r.bound() || len(r.byteRange) > 0 {
		return ""
	}
	var list []string
	for _, s := range variants {
		if len(list) < maxOffered && s.offers() && !slices.Contains(list, s.etag) {
			list = append(list, s.etag)
		}
	}
	return strings.Join(list, ", ")
}

// offers reports whether a response could answer a request that does not match it by Vary. One
// to somebody with credentials, or that sets a cookie, never does (D24). One with a content
// coding does not either, because servers give all codings the same entity-tag.
func (s *Stored) offers() bool {
	if _, _, ok := entityTag(s.etag); !ok || len(s.etag) > maxOfferedTag || s.Status != http.StatusOK || !s.Complete() || s.varyAny || s.Vary.bound() {
		return false
	}
	return !slices.Contains(s.names, "Set-Cookie") && !slices.Contains(s.names, "Content-Encoding")
}

// SelectOffered returns the variant of an Offer that a 304 is about, nil if it does not say which.
func SelectOffered(variants []*Stored, h http.Header) *Stored {
	etag := ""
	if v := h["Etag"]; len(v) > 0 {
		etag = strings.Trim(v[0], " \t")
	}
	var found *Stored
	for _, s := range variants {
		if s.etag == etag && s.offers() && (found == nil || moreRecent(s, found)) {
			found = s
		}
	}
	return found
}
