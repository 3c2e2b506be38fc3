package cookies

import (
	"net"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/site"
)

// canonicalDomain returns the canonical form of a Domain attribute, "" for an empty one.
func canonicalDomain(attribute string) (string, bool) {
	attribute = strings.TrimPrefix(attribute, ".")
	if attribute == "" {
		return "", true
	}
	return site.Canonical(attribute)
}

// pathMatch implements path-match of RFC 6265bis, section 5.1.4.
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

// defaultPath is the directory of a path, without the final slash (RFC 6265bis, section
// 5.1.4).
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// isSecure reports whether a URL may set Secure cookies: those of https and of this
// machine, whose responses cannot be changed on the network.
func isSecure(u *url.URL, host string) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// hasPrefix reports whether a name has a prefix, ignoring case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
