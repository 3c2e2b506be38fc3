// Package cookies is a cookie jar that follows RFC 6265bis, as browsers do. It is
// an http.CookieJar that keeps values as they came, can be listed, edited, saved
// and loaded, and has limits.
package cookies

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The sizes of RFC 6265bis, section 5.6, in bytes.
const (
	maxPair      = 4096 // name and value
	maxAttribute = 1024
)

// SameSite says whether a cookie goes along with requests that another site
// started. A program has no site that it shows to somebody: the jar keeps the
// attribute and does not act on it.
type SameSite int

const (
	SameSiteDefault SameSite = iota // not said, or a word that means nothing
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

// Cookie is one cookie: of a Set-Cookie line, as Parse gives it, or of a Jar.
type Cookie struct {
	Name string
	// Value is as it came: quotes and octets above 0x7f included.
	Value string
	// Domain is the domain it is sent to, lower case, in ASCII, without a leading
	// dot. Parsed from a line it is the Domain attribute, "" when there is none.
	Domain string
	// HostOnly: to the host Domain only, and not to those below it.
	HostOnly bool
	// Path is where it is sent to, with what lies below it. Parsed from a line it is
	// the Path attribute, "" when there is none.
	Path string
	// Expires is its end; zero for a session cookie.
	Expires time.Time
	// Secure cookies are sent over https only.
	Secure bool
	// HTTPOnly cookies are not for scripts.
	HTTPOnly bool
	SameSite SameSite
	// Created and LastAccess are the jar's: when a cookie of this name, domain and
	// path was first set, and when it was last sent.
	Created, LastAccess time.Time
}

// Session tells whether the cookie ends with the program that holds it.
func (c Cookie) Session() bool { return c.Expires.IsZero() }

// expired tells whether its end has come.
func (c *Cookie) expired(now time.Time) bool { return !c.Expires.IsZero() && !c.Expires.After(now) }

// Parse reads the value of one Set-Cookie field (RFC 6265bis, section 5.6). A line
// without a name is no cookie: there browsers and RFC 6265 differ, and Qt is with
// the RFC (rule C9). An attribute that is wrong or unknown does not count.
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
			if domain != "" { // an empty one does not count (rule C6)
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
	if !maxAge { // which wins wherever it stands
		c.Expires = expires
	}
	return c, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

// longAge stands for more seconds than a time can hold.
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

// Pair is the cookie as a Cookie field has it.
func (c Cookie) Pair() string { return c.Name + "=" + c.Value }

// String is the cookie as a Set-Cookie field has it, in the order Qt writes it
// (rule C12).
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

// fromHTTP takes a cookie as net/http has it, from its line where it has one.
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

// valid tells whether name and value can stand in a header field.
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
