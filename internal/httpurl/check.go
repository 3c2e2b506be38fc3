package httpurl

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Problem is an invalid part of a URL.
type Problem struct {
	Field  string // "host", "port" or "URL", "Location" or "scheme of Location"
	Value  string // empty if it may contain a password
	Reason string
}

func (p *Problem) Error() string {
	if p.Value == "" {
		return "invalid " + p.Field + ": " + p.Reason
	}
	return "invalid " + p.Field + " " + strconv.Quote(p.Value) + ": " + p.Reason
}

const notPort = "not a number from 1 to 65535"

// Check returns what is invalid in the URL of a request or a redirect. A url.URL that was
// not made by a parser can contain anything, which would be sent in a request line, a Host
// field or a CONNECT.
func Check(u *url.URL) *Problem {
	name := u.Hostname()
	switch {
	case name == "":
		return &Problem{Field: "host", Reason: "missing"}
	case strings.HasPrefix(u.Host, "[") != strings.Contains(name, ":"):
		return &Problem{"host", hostValue(name), "only an IPv6 address has colons, and it must be in brackets"}
	}
	if reason := CheckHost(name); reason != "" {
		return &Problem{"host", hostValue(name), reason}
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil { // 0 is left to the system to refuse, as in Qt
			bad := &Problem{Field: "port", Reason: notPort}
			if len(port) <= len("65535") { // a longer one may be part of a password
				bad.Value = port
			}
			return bad
		}
	}
	if hasBlank(u.Opaque) || hasBlank(u.RawQuery) {
		return &Problem{Field: "URL", Reason: "spaces and control characters must be percent-encoded"}
	}
	return nil
}

// hostValue is a host for an error, empty if it may contain user information.
func hostValue(host string) string {
	if strings.ContainsAny(host, "@:") {
		return ""
	}
	return host
}

// CheckHost returns what is invalid in the name or address of a host, without brackets and
// port; "" if it is valid. A name consists of the characters of RFC 3986, section 3.2.2,
// except percent signs, or is an internationalised one.
func CheckHost(host string) (reason string) {
	if isPlainName(host) { // fast path: CheckHost is called for every request
		return ""
	}
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil || strings.IndexFunc(addr.Zone(), func(r rune) bool { return !isUnreserved(r) }) >= 0 {
			return "not an IPv6 address"
		}
		return ""
	}
	ascii, err := ASCIIHost(host)
	if err != nil {
		return "not an internationalised domain name"
	}
	for _, r := range ascii {
		if r >= 0x80 || !hostByte[r] {
			return "a host cannot contain " + strconv.QuoteRuneToASCII(r)
		}
	}
	return ""
}

// hostByte is the set of bytes that the name of a host may have.
var hostByte = func() (t [256]bool) {
	for r := range rune(0x80) {
		t[r] = isUnreserved(r) || strings.ContainsRune("!$&'()*+,;=", r)
	}
	return t
}()

// isPlainName reports whether all bytes of a host are in hostByte.
func isPlainName(host string) bool {
	for i := range len(host) {
		if !hostByte[host[i]] {
			return false
		}
	}
	return true
}

// isUnreserved reports the characters that never need encoding in a URL (RFC 3986, section
// 2.3).
func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_' || r == '~'
}

// hasBlank reports whether s contains a space or a control character.
func hasBlank(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
