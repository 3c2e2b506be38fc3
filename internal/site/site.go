// Package site handles host names for stores that are organised by host: their canonical
// form, whether they are addresses, and to which site (registrable domain) they belong.
package site

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is the maximum length of a DNS name with a final dot. It bounds the number of
// parent domains of a name.
const maxName = 254

// Canonical returns the canonical form of a host as URL.Hostname returns it: a name in
// lower case and ASCII, an address in its usual form; false if it is neither. A final dot
// is kept: for browsers, and so for RFC 6265bis, it makes a different host.
func Canonical(host string) (string, bool) {
	if mayBeAddress(host) {
		if addr, err := netip.ParseAddr(host); err == nil {
			if addr.Zone() != "" { // valid on this machine only
				return "", false
			}
			return addr.String(), true
		}
	}
	ascii := true
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 0x80:
			ascii = false
		case forbidden[c]:
			return "", false
		}
	}
	if ascii {
		host = strings.ToLower(host)
	} else {
		if len(host) > 4*maxName || !utf8.ValidString(host) {
			return "", false
		}
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false
		}
	}
	if host == "" || len(host) > maxName || host[0] == '.' || strings.Contains(host, "..") {
		return "", false
	}
	return host, true
}

// forbidden are the characters that no host name contains.
var forbidden = func() (set [0x80]bool) {
	for c := range byte(' ' + 1) {
		set[c] = true
	}
	for _, c := range []byte("/\\?#@%:;,\"<>[]\x7f") {
		set[c] = true
	}
	return set
}()

// mayBeAddress is a fast test before parsing: it is false for most names.
func mayBeAddress(host string) bool {
	if host == "" {
		return false
	}
	last := host[len(host)-1]
	return '0' <= last && last <= '9' || strings.IndexByte(host, ':') >= 0
}

// IsAddress reports whether a canonical host is an IP address, in any form: for browsers a
// name whose last label is a number is one (WHATWG URL, "ends in a number").
func IsAddress(host string) bool {
	if strings.Contains(host, ":") {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// PublicSuffixes is a list of public suffixes, the domains below which anyone can register
// names.
type PublicSuffixes interface {
	PublicSuffix(domain string) string
}

// IsPublicSuffix reports whether a canonical host is a public suffix.
func IsPublicSuffix(host string, list PublicSuffixes) bool {
	bare := strings.TrimSuffix(host, ".")
	return !IsAddress(host) && list.PublicSuffix(bare) == bare
}

// Of returns the site of a canonical host: its public suffix and one more label. An
// address, and a host without more labels, is its own site.
func Of(host string, list PublicSuffixes) string {
	if IsAddress(host) {
		return host
	}
	bare := strings.TrimSuffix(host, ".")
	below, ok := strings.CutSuffix(bare, list.PublicSuffix(bare))
	if !ok || len(below) < 2 || len(below) == len(bare) || below[len(below)-1] != '.' {
		return host
	}
	return host[strings.LastIndexByte(below[:len(below)-1], '.')+1:]
}

// Within reports whether a canonical host is domain or below it. For an address only
// equality counts.
func Within(host, domain string) bool {
	if host == domain {
		return true
	}
	above, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && strings.HasSuffix(above, ".") && !IsAddress(host)
}
