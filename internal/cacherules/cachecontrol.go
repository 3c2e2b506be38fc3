package cacherules

import (
	"math"
	"net/textproto"
	"strings"
	"time"
)

// absent is the value of a time limit that is not set.
const absent time.Duration = -1

// maxSeconds stands for all larger delta-seconds (RFC 9111, section 1.2.2).
const maxSeconds = 1 << 31

// forever is a limit that is never exceeded.
const forever time.Duration = math.MaxInt64

// directive is one directive of a Cache-Control field.
type directive struct {
	name   string // in lower case
	arg    string // without quotes
	hasArg bool
	// bad: there is more than a name and an argument, which leaves the meaning open.
	bad bool
}

// scanner splits the value of one Cache-Control field, in linear time. A quote that is never
// closed counts as an ordinary character: what follows it are directives then, but all of
// them are bad.
type scanner struct {
	rest     string
	unclosed bool // a quote was not closed
}

func (s *scanner) next() (d directive, ok bool) {
	s.rest = strings.TrimLeft(s.rest, ", \t")
	if s.rest == "" {
		return directive{}, false
	}
	n := tokenLength(s.rest)
	d.name, s.rest = strings.ToLower(s.rest[:n]), s.rest[n:]
	d.bad = n == 0 || s.unclosed
	if s.rest != "" && s.rest[0] == '=' {
		d.hasArg, s.rest = true, s.rest[1:]
		if s.rest != "" && s.rest[0] == '"' && !s.unclosed {
			var closed bool
			if d.arg, s.rest, closed = unquote(s.rest); !closed {
				s.unclosed, d.bad = true, true
			}
		} else {
			n = tokenLength(s.rest)
			d.arg, s.rest = s.rest[:n], s.rest[n:]
			d.bad = d.bad || n == 0
		}
	}
	if s.skip() {
		d.bad = true
	}
	return d, true
}

// skip moves to the next comma outside of quotes, and reports whether there was more than
// blanks before it.
func (s *scanner) skip() (junk bool) {
	for i := 0; i < len(s.rest); {
		switch c := s.rest[i]; {
		case c == ',':
			s.rest = s.rest[i:]
			return junk
		case c == '"' && !s.unclosed:
			junk = true
			_, rest, closed := unquote(s.rest[i:])
			s.unclosed = !closed
			s.rest, i = rest, 0
			continue
		case c != ' ' && c != '\t':
			junk = true
		}
		i++
	}
	s.rest = ""
	return junk
}

// unquote reads a quoted-string from the beginning of s. If it is not closed, rest is
// everything behind its first quote.
func unquote(s string) (text, rest string, closed bool) {
	var b []byte // the text before start, if there are escapes
	start, escaped := 1, false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			if !escaped {
				return s[1:i], s[i+1:], true
			}
			return string(append(b, s[start:i]...)), s[i+1:], true
		case '\\':
			b, escaped = append(b, s[start:i]...), true
			i++
			start = i // its meaning as a quote or an escape is gone
		}
	}
	return "", s[1:], false
}

// tokenLength is the length of the token (RFC 9110, section 5.6.2) at the beginning of s.
func tokenLength(s string) int {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return i
		}
	}
	return len(s)
}

func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// seconds is the argument of a directive as a number of seconds, in either form (RFC 9111,
// section 5.2); false if it is none.
func (d *directive) seconds() (time.Duration, bool) {
	if d.bad || !d.hasArg {
		return 0, false
	}
	return parseSeconds(d.arg)
}

// parseSeconds parses delta-seconds; numbers above 2^31 count as 2^31.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second, true
}

// setSeconds sets a limit from the first directive of its name (RFC 9111, section 4.2.1);
// invalid is its value if the argument is no number.
func (d *directive) setSeconds(to *time.Duration, invalid time.Duration) {
	if *to != absent {
		return
	}
	*to = invalid
	if v, ok := d.seconds(); ok {
		*to = v
	}
}

// responseDirectives are the directives of a response. Those for shared caches only are not
// among them, and neither is the CDN-Cache-Control field (RFC 9213).
type responseDirectives struct {
	maxAge         time.Duration // absent if not set; 0 if invalid
	staleWhile     time.Duration // of stale-while-revalidate
	staleIfError   time.Duration
	noStore        bool
	noCache        bool // for the whole response
	mustRevalidate bool
	mustUnderstand bool
	public         bool
	private        bool
	immutable      bool
	// noCacheFields are the canonical names in no-cache="…": these fields must not be used
	// without validation.
	noCacheFields []string
}

func parseResponseDirectives(values []string) (r responseDirectives) {
	r.read(values)
	return r
}

// read parses all Cache-Control fields of a response. A bad directive counts if it restricts
// the use of the response, and not if it extends it.
func (r *responseDirectives) read(values []string) {
	r.maxAge, r.staleWhile, r.staleIfError = absent, absent, absent
	for _, v := range values {
		s := scanner{rest: v}
		for d, ok := s.next(); ok; d, ok = s.next() {
			switch d.name {
			case "max-age":
				d.setSeconds(&r.maxAge, 0)
			case "stale-while-revalidate":
				d.setSeconds(&r.staleWhile, 0)
			case "stale-if-error":
				d.setSeconds(&r.staleIfError, 0)
			case "no-store":
				r.noStore = true
			case "no-cache":
				r.addNoCache(d)
			case "must-revalidate":
				r.mustRevalidate = true
			case "must-understand":
				r.mustUnderstand = r.mustUnderstand || !d.bad
			case "public":
				r.public = r.public || !d.bad
			case "private":
				r.private = r.private || !d.bad
			case "immutable":
				r.immutable = r.immutable || !d.bad
			}
		}
	}
}

// addNoCache adds a no-cache directive. One whose list is empty or invalid is for the whole
// response. A single name need not be quoted (RFC 9111, section 5.2).
func (r *responseDirectives) addNoCache(d directive) {
	if d.bad {
		r.noCache = true
		return
	}
	before := len(r.noCacheFields)
	for name := range strings.SplitSeq(d.arg, ",") {
		if name = strings.Trim(name, " \t"); name == "" {
			continue
		}
		if tokenLength(name) != len(name) {
			r.noCache = true
			return
		}
		r.noCacheFields = append(r.noCacheFields, textproto.CanonicalMIMEHeaderKey(name))
	}
	r.noCache = r.noCache || len(r.noCacheFields) == before
}

// requestDirectives are the directives of a request.
type requestDirectives struct {
	maxAge       time.Duration // absent if not set; 0 if invalid
	minFresh     time.Duration // forever if invalid
	maxStale     time.Duration // forever without an argument; 0 if invalid
	staleIfError time.Duration
	noCache      bool
	noStore      bool
	onlyIfCached bool
}

// parseRequestDirectives parses all Cache-Control fields of a request. Pragma is the value
// of its Pragma fields, which count only without Cache-Control (RFC 9111, section 5.4).
func parseRequestDirectives(values, pragma []string) (r requestDirectives) {
	r.maxAge, r.minFresh, r.maxStale, r.staleIfError = absent, absent, absent, absent
	if len(values) == 0 {
		values = pragma
		for _, v := range values {
			s := scanner{rest: v}
			for d, ok := s.next(); ok; d, ok = s.next() {
				r.noCache = r.noCache || d.name == "no-cache"
			}
		}
		return r
	}
	for _, v := range values {
		s := scanner{rest: v}
		for d, ok := s.next(); ok; d, ok = s.next() {
			switch d.name {
			case "max-age":
				d.setSeconds(&r.maxAge, 0)
			case "min-fresh":
				d.setSeconds(&r.minFresh, forever)
			case "max-stale":
				if !d.hasArg && !d.bad {
					d.setSeconds(&r.maxStale, forever)
				} else {
					d.setSeconds(&r.maxStale, 0)
				}
			case "stale-if-error":
				d.setSeconds(&r.staleIfError, 0)
			case "no-cache":
				r.noCache = true
			case "no-store":
				r.noStore = true
			case "only-if-cached":
				r.onlyIfCached = r.onlyIfCached || !d.bad
			}
		}
	}
	return r
}
