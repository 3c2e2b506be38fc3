// Package site has what stores that are kept by host need to know about the names of
// hosts: their one spelling, what is an address, and to which site a name belongs.
package site

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is the length of the longest name that DNS knows, with a dot at its end. It
// bounds how many domains lie above a name.
const maxName = 254

// Canonical gives a host, as URL.Hostname has it, in lower case and ASCII, an address in
// its usual form; false for what is neither. A dot at the end stays: to browsers, and so
// to RFC 6265bis, it makes another host.
func Canonical(host string) (string, bool) {
	if mayBeAddress(host) {
		if addr, err := netip.ParseAddr(host); err == nil {
			if addr.Zone() != "" { // means something on this machine only
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

// forbidden are the characters that stand in no name of a host.
var forbidden = func() (set [0x80]bool) {
	for c := range byte(' ' + 1) {
		set[c] = true
	}
	for _, c := range []byte("/\\?#@%:;,\"<>[]\x7f") {
		set[c] = true
	}
	return set
}()

// mayBeAddress spares most names the try to read them as addresses.
func mayBeAddress(host string) bool {
	if host == "" {
		return false
	}
	last := host[len(host)-1]
	return '0' <= last && last <= '9' || strings.IndexByte(host, ':') >= 0
}

// IsAddress tells whether a canonical host is an IP address, in whatever form: a name
// whose last label is a number is one to browsers (WHATWG URL, "ends in a number").
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

// PublicSuffixes knows the domains below which anybody can register.
type PublicSuffixes interface {
	PublicSuffix(domain string) string
}

// IsPublicSuffix tells whether a canonical host is such a domain.
func IsPublicSuffix(host string, list PublicSuffixes) bool {
	bare := strings.TrimSuffix(host, ".")
	return !IsAddress(host) && list.PublicSuffix(bare) == bare
}

// Of is the site of a canonical host: its public suffix and one label more. What has
// no more labels, and an address, is a site of its own.
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

// Within tells whether a canonical host is domain or below it. An address is only itself.
func Within(host, domain string) bool {
	if host == domain {
		return true
	}
	above, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && strings.HasSuffix(above, ".") && !IsAddress(host)
}
