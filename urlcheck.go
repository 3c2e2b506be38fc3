package netreply

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checkTarget finds what a URL must not have, wherever it comes from: a request, a
// redirect or a host and a port. A url.URL that nobody has parsed can hold anything,
// and all of it would end up in a request line, a Host field or a CONNECT. What it
// returns names the part; Value is empty where it may hold a password.
func checkTarget(u *url.URL) *FieldError {
	name := u.Hostname()
	switch {
	case name == "":
		return &FieldError{Field: "host", Reason: "the URL names no host"}
	case strings.HasPrefix(u.Host, "[") != strings.Contains(name, ":"):
		return &FieldError{"host", hostValue(name), "only an IPv6 address has colons, and it stands in brackets"}
	}
	if reason := checkHost(name); reason != "" {
		return &FieldError{"host", hostValue(name), reason}
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil { // 0 is for the system to refuse, as in Qt
			bad := &FieldError{Field: "port", Reason: "not a number from 1 to 65535"}
			if len(port) <= len("65535") { // a longer one may be a password that ends early
				bad.Value = port
			}
			return bad
		}
	}
	if hasBlank(u.Opaque) || hasBlank(u.RawQuery) {
		return &FieldError{Field: "URL", Reason: "a blank or a control character in it is not encoded"}
	}
	return nil
}

// hostValue is a host for an error: not with what may be user information.
func hostValue(host string) string {
	if strings.ContainsAny(host, "@:") {
		return ""
	}
	return host
}

// checkHost says what is wrong with the name or address of a host, which stands
// without brackets and port; "" for nothing. A name has the characters of RFC 3986,
// section 3.2.2, percent signs excepted, or is an internationalised one.
func checkHost(host string) string {
	if plainName(host) { // nearly every one: it is asked for every request
		return ""
	}
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil || strings.IndexFunc(addr.Zone(), func(r rune) bool { return !isUnreserved(r) }) >= 0 {
			return "not an IPv6 address"
		}
		return ""
	}
	ascii, err := asciiHost(host)
	if err != nil {
		return "not an internationalised domain name"
	}
	for _, r := range ascii {
		if r >= 0x80 || !hostByte[r] {
			return "a host has no character " + strconv.QuoteRuneToASCII(r)
		}
	}
	return ""
}

// hostByte tells the bytes that a name of a host may have as they stand.
var hostByte = func() (t [256]bool) {
	for r := range rune(0x80) {
		t[r] = isUnreserved(r) || strings.ContainsRune("!$&'()*+,;=", r)
	}
	return t
}()

// plainName tells that a host is a name or an IPv4 address without anything special.
func plainName(host string) bool {
	for i := range len(host) {
		if !hostByte[host[i]] {
			return false
		}
	}
	return true
}

// isUnreserved lists the characters that need no encoding anywhere in a URL
// (RFC 3986, section 2.3).
func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_' || r == '~'
}

// hasBlank tells whether s has a blank or a control character.
func hasBlank(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
