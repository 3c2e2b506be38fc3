package cookies

import (
	"net"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/site"
)

// canonicalDomain reads a Domain attribute; "" for none.
func canonicalDomain(attribute string) (string, bool) {
	attribute = strings.TrimPrefix(attribute, ".")
	if attribute == "" {
		return "", true
	}
	return site.Canonical(attribute)
}

// pathMatch is RFC 6265bis, section 5.1.4.
func pathMatch(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) &&
		(len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/')
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); strings.HasPrefix(p, "/") {
		return p
	}
	return "/"
}

// defaultPath is the folder of a path, without the slash at its end (RFC 6265bis,
// section 5.1.4).
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// isSecure tells whether a URL may set Secure cookies: besides https, whatever
// comes from this very machine, which nobody in between can have changed.
func isSecure(u *url.URL, host string) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// hasPrefix is whether a name has one of the prefixes with a meaning, in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
