// Package cookies implements a cookie jar according to RFC 6265bis, like browsers. It is an
// http.CookieJar that keeps values unchanged, has limits, and can be listed, edited, saved
// and loaded.
package cookies

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of RFC 6265bis, section 5.6, in bytes.
const (
	maxPair      = 4096 // name and value
	maxAttribute = 1024
)

// SameSite says whether a cookie is sent with requests that another site started. A program
// has no current site: the jar stores the attribute and does not use it.
type SameSite int

const (
	SameSiteDefault SameSite = iota // missing or unknown
	SameSiteNone
	SameSiteLax
	SameSiteStrict
)

func (s SameSite) String() string {
	switch s {
	case SameSiteNone:
		return "None"
	case SameSiteLax:
		return "Lax"
	case SameSiteStrict:
		return "Strict"
	}
	return ""
}

// Cookie is one cookie, from Parse or from a Jar.
type Cookie struct {
	Name string
	// Value is unchanged, including quotes and bytes above 0x7f.
	Value string
	// Domain is the domain to which it is sent, in lower case and ASCII, without a leading
	// dot. After Parse it is the Domain attribute, "" if there is none.
	Domain string
	// HostOnly: the cookie is sent to the host Domain only, not to its subdomains.
	HostOnly bool
	// Path is the path to which it is sent, with everything below. After Parse it is the
	// Path attribute, "" if there is none.
	Path string
	// Expires is when it expires; zero for a session cookie.
	Expires time.Time
	// Secure cookies are sent over https only.
	Secure bool
	// HTTPOnly cookies are not available to scripts.
	HTTPOnly bool
	SameSite SameSite
	// Created and LastAccess are set by the jar: when a cookie of this name, domain and
	// path was first set, and when it was last sent.
	Created, LastAccess time.Time
}

// Session reports whether the cookie is a session cookie, which has no expiry.
func (c Cookie) Session() bool { return c.Expires.IsZero() }

// expired reports whether the cookie has expired.
func (c *Cookie) expired(now time.Time) bool { return !c.Expires.IsZero() && !c.Expires.After(now) }

// Parse parses the value of one Set-Cookie field (RFC 6265bis, section 5.6). It returns
// false for a line without a name, like RFC 6265 and Qt but unlike browsers (rule C9).
// Invalid and unknown attributes are ignored.
func Parse(line string) (Cookie, bool) {
	return parse(line, time.Now())
}

func parse(line string, now time.Time) (Cookie, bool) {
	for i := range len(line) {
		if b := line[i]; b < 0x20 && b != '\t' || b == 0x7f {
			return Cookie{}, false
		}
	}
	pair, rest, _ := strings.Cut(line, ";")
	name, value, found := strings.Cut(pair, "=")
	c := Cookie{Name: trim(name), Value: trim(value)}
	if !found || c.Name == "" || len(c.Name)+len(c.Value) > maxPair {
		return Cookie{}, false
	}
	var expires time.Time
	maxAge := false
	for rest != "" {
		var attr string
		attr, rest, _ = strings.Cut(rest, ";")
		key, v, _ := strings.Cut(attr, "=")
		v = trim(v)
		if len(v) > maxAttribute {
			continue
		}
		switch strings.ToLower(trim(key)) {
		case "expires":
			if t, ok := parseDate(v); ok {
				expires = t
			}
		case "max-age":
			if t, ok := parseMaxAge(v, now); ok {
				c.Expires, maxAge = t, true
			}
		case "domain":
			domain, ok := canonicalDomain(v)
			if !ok {
				return Cookie{}, false
			}
			if domain != "" { // an empty one is ignored (rule C6)
				c.Domain = domain
			}
		case "path":
			if c.Path = v; !strings.HasPrefix(v, "/") {
				c.Path = ""
			}
		case "secure":
			c.Secure = true
		case "httponly":
			c.HTTPOnly = true
		case "samesite":
			c.SameSite = parseSameSite(v)
		}
	}
	if !maxAge { // Max-Age takes precedence, in any order
		c.Expires = expires
	}
	return c, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

// longAge replaces a Max-Age that is too large for a time.Duration.
const longAge = 100 * 365 * 24 * time.Hour

func parseMaxAge(s string, now time.Time) (time.Time, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	switch {
	case s[0] == '-' || err == nil && seconds <= 0:
		return time.Unix(0, 0).UTC(), true
	case err != nil || seconds > int64(longAge/time.Second):
		return now.Add(longAge).UTC(), true
	}
	return now.Add(time.Duration(seconds) * time.Second).UTC(), true
}

func parseSameSite(s string) SameSite {
	switch strings.ToLower(s) {
	case "none":
		return SameSiteNone
	case "lax":
		return SameSiteLax
	case "strict":
		return SameSiteStrict
	}
	return SameSiteDefault
}

// Pair formats the cookie for a Cookie field.
func (c Cookie) Pair() string { return c.Name + "=" + c.Value }

// String formats the cookie for a Set-Cookie field, in Qt's order (rule C12).
func (c Cookie) String() string {
	var b strings.Builder
	b.WriteString(c.Pair())
	if c.Secure {
		b.WriteString("; secure")
	}
	if c.HTTPOnly {
		b.WriteString("; HttpOnly")
	}
	if c.SameSite != SameSiteDefault {
		b.WriteString("; SameSite=" + c.SameSite.String())
	}
	if !c.Session() {
		b.WriteString("; expires=" + c.Expires.UTC().Format("Mon, 02-Jan-2006 15:04:05 GMT"))
	}
	if c.Domain != "" && !c.HostOnly {
		b.WriteString("; domain=" + c.Domain)
	}
	if c.Path != "" {
		b.WriteString("; path=" + c.Path)
	}
	return b.String()
}

// fromHTTP converts a cookie of net/http, from its line if it has one.
func fromHTTP(h *http.Cookie, now time.Time) (Cookie, bool) {
	if h.Raw != "" {
		return parse(h.Raw, now)
	}
	c := Cookie{Name: trim(h.Name), Value: trim(h.Value), Secure: h.Secure, HTTPOnly: h.HttpOnly, Expires: h.Expires}
	if h.Quoted {
		c.Value = `"` + h.Value + `"`
	}
	if strings.HasPrefix(h.Path, "/") {
		c.Path = h.Path
	}
	switch {
	case h.MaxAge < 0:
		c.Expires = time.Unix(0, 0).UTC()
	case h.MaxAge > 0:
		c.Expires = now.Add(min(time.Duration(h.MaxAge), longAge/time.Second) * time.Second).UTC()
	}
	switch h.SameSite {
	case http.SameSiteNoneMode:
		c.SameSite = SameSiteNone
	case http.SameSiteLaxMode:
		c.SameSite = SameSiteLax
	case http.SameSiteStrictMode:
		c.SameSite = SameSiteStrict
	}
	var ok bool
	c.Domain, ok = canonicalDomain(h.Domain)
	return c, ok && c.valid()
}

// valid reports whether name, value and path are valid in a header field.
func (c *Cookie) valid() bool {
	if c.Name == "" || len(c.Name)+len(c.Value) > maxPair || strings.ContainsAny(c.Name, "=;") || strings.Contains(c.Value, ";") {
		return false
	}
	for _, s := range [...]string{c.Name, c.Value, c.Path} {
		for i := range len(s) {
			if b := s[i]; b < 0x20 && b != '\t' || b == 0x7f {
				return false
			}
		}
	}
	return true
}
