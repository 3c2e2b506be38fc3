package netreply

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/cookies"
)

// KnownHeader is a key for a header field whose value has a type (Qt: KnownHeaders):
//
//	length, ok := netreply.ContentLengthHeader.Get(reply.Headers())
//	netreply.ContentTypeHeader.Set(&req.Headers, "application/json")
type KnownHeader[T any] struct {
	// Name is the name of the field.
	Name   string
	parse  func(values []string) (T, bool)
	format func(T) string
}

// Get returns the value of the field. It returns false when the field is missing or cannot be
// parsed (rules H1 to H10); Headers.Get returns the text in both cases.
func (k KnownHeader[T]) Get(h Headers) (T, bool) {
	var none T
	vs := h.Values(k.Name)
	if len(vs) == 0 || k.parse == nil {
		return none, false
	}
	return k.parse(vs)
}

// Set replaces the field. For an empty value it changes nothing and returns false (rule H22).
func (k KnownHeader[T]) Set(h *Headers, v T) bool {
	if h == nil || k.format == nil {
		return false
	}
	s := k.format(v)
	if s == "" {
		return false
	}
	h.Set(k.Name, s)
	return true
}

func (k KnownHeader[T]) setIn(h *Headers, value any) (reason string) {
	v, ok := value.(T)
	switch {
	case k.format == nil:
		return "not a known header"
	case !ok:
		return k.Name + ": " + wrongType[T](value)
	}
	if !k.Set(h, v) {
		return k.Name + ": an empty value; SetRawHeader removes a field"
	}
	return ""
}

// The known headers. Entity tags are written with their quotes, as in `"v1"` or `W/"v1"`; in
// lists, "*" stands for any. LocationHeader reads absolute URLs only; see RedirectionTarget for
// others. Dates are in UTC.
var (
	ContentTypeHeader        = textHeader("Content-Type")
	ContentDispositionHeader = textHeader("Content-Disposition")
	UserAgentHeader          = textHeader("User-Agent")
	ServerHeader             = textHeader("Server")
	ContentLengthHeader      = KnownHeader[int64]{"Content-Length", parseLength, func(n int64) string { return strconv.FormatInt(n, 10) }}
	LocationHeader           = KnownHeader[*url.URL]{"Location", parseLocation, formatURL}
	LastModifiedHeader       = dateHeader("Last-Modified")
	IfModifiedSinceHeader    = dateHeader("If-Modified-Since")
	ETagHeader               = KnownHeader[string]{"ETag", parseETag, func(s string) string { return s }}
	IfMatchHeader            = KnownHeader[[]string]{"If-Match", tagList(false), joinList}
	IfNoneMatchHeader        = KnownHeader[[]string]{"If-None-Match", tagList(true), joinList}
	CookieHeader             = KnownHeader[[]cookies.Cookie]{"Cookie", parseCookies, formatCookies}
	SetCookieHeader          = KnownHeader[[]cookies.Cookie]{"Set-Cookie", parseSetCookies, formatSetCookies}
)

func textHeader(name string) KnownHeader[string] {
	return KnownHeader[string]{name,
		func(vs []string) (string, bool) { return strings.Join(vs, ", "), true },
		func(s string) string { return s }}
}

func dateHeader(name string) KnownHeader[time.Time] {
	return KnownHeader[time.Time]{name,
		func(vs []string) (time.Time, bool) { return parseDate(strings.Join(vs, ", ")) },
		func(t time.Time) string { return t.UTC().Format(http.TimeFormat) }}
}

// parseLength uses the first value, which determines the length of the body (rules H2 and
// H27).
func parseLength(vs []string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(vs[0]), 10, 64)
	return n, err == nil
}

// parseLocation accepts only an absolute URL (rule H3).
func parseLocation(vs []string) (*url.URL, bool) {
	u, err := url.Parse(vs[len(vs)-1])
	if err != nil || u.Scheme == "" {
		return nil, false
	}
	return u, true
}

func formatURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// parseDate accepts the three forms of RFC 9110, section 5.6.7; the name of the
// day is not checked (rule H10).
func parseDate(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	day, rest, comma := strings.Cut(s, ",")
	layouts := []string{"Jan _2 15:04:05 2006"}
	switch {
	case comma && len(day) == 3:
		layouts = []string{"2 Jan 2006 15:04:05", "2-Jan-2006 15:04:05"}
		s, _, _ = cutZone(strings.TrimSpace(rest))
	case comma:
		layouts = []string{"02-Jan-06 15:04:05", "2-Jan-2006 15:04:05"}
		s, _, _ = cutZone(strings.TrimSpace(rest))
	default:
		_, s, _ = strings.Cut(s, " ")
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// cutZone splits a date after its time of day.
func cutZone(s string) (date, zone string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i+3 > len(s) {
		return s, "", false
	}
	return s[:i+3], s[i+3:], true
}

func parseETag(vs []string) (string, bool) {
	s := strings.TrimSpace(strings.Join(vs, ", "))
	return s, quoted(s) || strings.HasPrefix(s, "W/") && quoted(s[2:])
}

func quoted(s string) bool { return len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' }

// tagList parses a list of entity tags. Without weak it skips weak ones, for fields that
// use strong comparison (rules H6 and H7).
func tagList(weak bool) func([]string) ([]string, bool) {
	return func(vs []string) ([]string, bool) {
		s := strings.TrimSpace(strings.Join(vs, ", "))
		if s == "*" {
			return []string{"*"}, true
		}
		var tags []string
		for tag := range strings.SplitSeq(s, ",") {
			tag = strings.TrimSpace(tag)
			if quoted(tag) || weak && strings.HasPrefix(tag, "W/") && quoted(tag[2:]) {
				tags = append(tags, tag)
			}
		}
		return tags, len(tags) > 0
	}
}

func joinList(vs []string) string { return strings.Join(vs, ", ") }

// parseCookies fails if any element is not name=value (rule H8).
func parseCookies(vs []string) ([]cookies.Cookie, bool) {
	var out []cookies.Cookie
	for pair := range strings.SplitSeq(strings.Join(vs, "; "), ";") {
		c, ok := cookies.Parse(pair)
		if !ok {
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

func formatCookies(cs []cookies.Cookie) string {
	parts := make([]string, 0, len(cs))
	for _, c := range cs {
		parts = append(parts, c.Pair())
	}
	return strings.Join(parts, "; ")
}

// parseSetCookies skips lines that are not valid cookies (rule H9).
func parseSetCookies(vs []string) ([]cookies.Cookie, bool) {
	out := []cookies.Cookie{}
	for _, v := range vs {
		if c, ok := cookies.Parse(v); ok {
			out = append(out, c)
		}
	}
	return out, true
}

func formatSetCookies(cs []cookies.Cookie) string {
	parts := make([]string, 0, len(cs))
	for _, c := range cs {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}
