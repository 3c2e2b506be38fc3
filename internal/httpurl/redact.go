package httpurl

import (
	"net/url"
	"strings"
)

// Hidden replaces secrets, as in url.URL.Redacted.
const Hidden = "xxxxx"

// Redacted formats a URL without its password, "" for nil. In a URL of HTTP without a host, or
// that was not made by a parser, any part may contain the password; the content of a data: URL
// may be a secret itself. Other URLs without a host, such as zip:a.zip!/b, are shown unless
// they seem to have user information.
func Redacted(u *url.URL) string {
	switch {
	case u == nil:
		return ""
	case u.Host == "" && u.Scheme != "file" && *u != (url.URL{Scheme: u.Scheme}) && (mayHide(u.Scheme) || strings.Contains(u.String(), "@")):
		return (&url.URL{Scheme: u.Scheme, Opaque: Hidden}).String()
	case u.Scheme == "data" && u.Host != "": // a mistake, as in data://text/plain,content
		return (&url.URL{Scheme: u.Scheme, Opaque: Hidden}).String()
	case strings.Contains(u.Host, "@"):
		c := *u
		c.Host = HideUser(c.Host)
		return c.Redacted()
	}
	return u.Redacted()
}

// mayHide reports the schemes whose URLs without a host may consist of a secret.
func mayHide(scheme string) bool {
	switch scheme {
	case "", "http", "https", "data":
		return true
	}
	return IsLocal(scheme)
}

// HideUser hides the part of a host before the last @.
func HideUser(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return Hidden + host[i:]
	}
	return host
}
