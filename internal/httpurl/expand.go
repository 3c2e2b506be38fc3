package httpurl

import (
	"net/url"
	"slices"
	"strings"
)

// Expand replaces each {name} in a path, which is relative to a base URL, by the
// percent-encoded value of that name. It returns the percent-encoded path, and the query
// that the path may have; its fragment is dropped.
//
// A value stays inside its segment: a slash is encoded, and dot segments are refused, also
// behind an encoded slash, which some servers decode before they resolve dot segments. A
// segment that has a placeholder does not become empty, because a path such as users/ names
// something else than users/{id}.
func Expand(path string, value func(name string) (string, bool)) (escaped, query string, _ *Problem) {
	path, _, _ = strings.Cut(path, "#")
	path, query, _ = strings.Cut(path, "?")
	switch {
	case hasScheme(path):
		return "", "", &Problem{Field: "path", Reason: "must be relative to the base URL; with a colon in the first segment it begins with a slash"}
	case strings.HasPrefix(path, "//"):
		return "", "", &Problem{Field: "path", Reason: "must be relative to the base URL, and not begin with two slashes"}
	case strings.ContainsAny(query, "{}"):
		return "", "", &Problem{Field: "path", Reason: "its query cannot have placeholders; use QueryParam"}
	}
	var b strings.Builder
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		out, bad := expandSegment(segment, value)
		if bad != nil {
			return "", "", bad
		}
		b.WriteString(out)
	}
	return b.String(), encodeQuery(encodePercent(query)), nil
}

func expandSegment(segment string, value func(string) (string, bool)) (string, *Problem) {
	var b strings.Builder
	last := "" // the last placeholder
	for rest := segment; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			b.WriteString(encodePath(rest))
			break
		}
		b.WriteString(encodePath(rest[:i]))
		name, after, closed := strings.Cut(rest[i+1:], "}")
		if rest[i] == '}' || !closed || name == "" || strings.Contains(name, "{") {
			return "", &Problem{Field: "path", Reason: "braces enclose the name of a parameter, as in users/{id}; other braces must be percent-encoded"}
		}
		v, ok := value(name)
		switch {
		case !ok:
			return "", &Problem{Field: ParamField(name), Reason: "required by the path"}
		case hasDotSegment(v):
			return "", dotSegment(name)
		}
		b.WriteString(Escape(v))
		last, rest = name, after
	}
	out := b.String()
	if out == "" && last != "" {
		return "", &Problem{Field: ParamField(last), Reason: "must not be empty: the path would name something else"}
	}
	if plain, err := url.PathUnescape(out); err != nil || hasDotSegment(plain) {
		return "", dotSegment(last)
	}
	return out, nil
}

func dotSegment(param string) *Problem {
	field := "path"
	if param != "" {
		field = ParamField(param)
	}
	return &Problem{Field: field, Reason: "must not have the segments . and .., which lead elsewhere"}
}

// ParamField is the field of a Problem with a parameter of a path.
func ParamField(name string) string { return "path parameter " + name }

// hasDotSegment reports whether one of the segments of s is . or .. (RFC 3986, section
// 3.3). Some servers take a backslash for a slash.
func hasDotSegment(s string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '\\' }),
		func(segment string) bool { return segment == "." || segment == ".." })
}

// hasScheme reports whether s begins with a scheme and a colon (RFC 3986, section 3.1).
func hasScheme(s string) bool {
	scheme, _, colon := strings.Cut(s, ":")
	if !colon || scheme == "" || !isLetter(scheme[0]) {
		return false
	}
	return strings.IndexFunc(scheme, func(r rune) bool {
		return !(r < 0x80 && isLetter(byte(r))) && !('0' <= r && r <= '9') && !strings.ContainsRune("+-.", r)
	}) < 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// Escape percent-encodes everything that is not unreserved: the result is the same in a
// path and in a query, and for forms, for which a plus sign stands for a space.
func Escape(s string) string {
	return encode(s, func(c byte) bool { return c < 0x80 && isUnreserved(rune(c)) })
}

// encodePath percent-encodes what a path cannot contain (RFC 3986, section 3.3).
func encodePath(s string) string {
	return encode(encodePercent(s), func(c byte) bool {
		return c < 0x80 && (isUnreserved(rune(c)) || strings.IndexByte("%/:@!$&'()*+,;=", c) >= 0)
	})
}

func encode(s string, plain func(byte) bool) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
		}
	}
	return b.String()
}

// Join returns a copy of base with an encoded path appended to its own, with one slash
// between them, and without fragment. An empty path appends nothing.
func Join(base *url.URL, escaped string) *url.URL {
	u := *base
	u.Fragment, u.RawFragment = "", ""
	if escaped == "" {
		return &u
	}
	whole := strings.TrimSuffix(base.EscapedPath(), "/") + "/" + strings.TrimPrefix(escaped, "/")
	if path, err := url.PathUnescape(whole); err == nil { // always, since both parts are encoded
		u.Path, u.RawPath = path, ""
		if u.EscapedPath() != whole {
			u.RawPath = whole
		}
	}
	return &u
}
