package httpurl

import (
	"net/url"
	"strings"
)

// Hidden replaces secrets, as in url.URL.Redacted.
const Hidden = "xxxxx"

// Redacted formats a URL without its password, "" for nil. In a URL without a host, or that
// was not made by a parser, any part may contain the password.
func Redacted(u *url.URL) string {
	switch {
	case u == nil:
		return ""
	case u.Host == "" && u.Scheme != "file" && *u != (url.URL{Scheme: u.Scheme}):
		return (&url.URL{Scheme: u.Scheme, Opaque: Hidden}).String()
	case strings.Contains(u.Host, "@"):
		c := *u
		c.Host = HideUser(c.Host)
		return c.Redacted()
	}
	return u.Redacted()
}

// HideUser hides the part of a host before the last @.
func HideUser(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return Hidden + host[i:]
	}
	return host
}
