package httpurl

import (
	"net/url"
	"strings"
)

// Hidden stands for a secret, as in url.URL.Redacted.
const Hidden = "xxxxx"

// Redacted formats a URL without its password, "" for nil. Where the URL has no host, or
// was not made by a parser, the password may stand anywhere.
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

// HideUser hides what stands before the last @ of a host.
func HideUser(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return Hidden + host[i:]
	}
	return host
}
