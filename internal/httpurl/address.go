package httpurl

import (
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// Address returns the host:port to connect to, in ASCII, with the default port of the
// scheme if the URL has none.
func Address(u *url.URL) (string, error) {
	if hasPlainPort(u.Host) {
		return u.Host, nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	host, err := ASCIIHost(host)
	if err != nil {
		return "", err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port, nil
}

// Authority returns the host and the port, if there is one, as they are sent: in ASCII, and
// without the zone of an IPv6 address (RFC 6874, section 1).
func Authority(u *url.URL) string {
	if hasPlainPort(u.Host) {
		return u.Host
	}
	host, err := ASCIIHost(u.Hostname())
	if err != nil {
		return u.Host
	}
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	return host
}

// hasPlainPort reports whether a host has a port and needs no conversion: it is in lower
// case and ASCII, and without brackets.
func hasPlainPort(host string) bool {
	port := false
	for i := range len(host) {
		switch c := host[i]; {
		case c == ':' && i > 0 && i < len(host)-1 && host[0] != '[':
			port = true
		case c >= 0x80, 'A' <= c && c <= 'Z', c == '[', c == ']', c == ':':
			return false
		}
	}
	return port
}

// ASCIIHost returns a host without port in lower case and ASCII (RFC 5891).
func ASCIIHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}

// IsLocal reports whether a scheme means HTTP over a local socket.
func IsLocal(scheme string) bool { return scheme == "unix+http" || scheme == "local+http" }

// Unresolvable returns why a name cannot be resolved by definition, "" for other names: it
// is below the domain .invalid, which is reserved for that (RFC 6761, section 6.4), or its
// last label is a number, which no top-level domain is, and it is not an address.
func Unresolvable(host string) (reason string) {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.EqualFold(last, "invalid") {
		return "names below .invalid never exist (RFC 6761)"
	}
	if strings.Contains(host, ":") || !isNumber(last) {
		return ""
	}
	if isIPv4(host) {
		return ""
	}
	return "a host name cannot end in a number, and it is not an IPv4 address, which is four numbers from 0 to 255"
}

// isIPv4 reports whether host is an IPv4 address: four numbers from 0 to 255 without leading
// zeros. It takes little stack, unlike netip.ParseAddr.
func isIPv4(host string) bool {
	numbers, digits, n := 1, 0, 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.' && digits > 0:
			numbers, digits, n = numbers+1, 0, 0
		case '0' <= c && c <= '9' && (digits == 0 || n > 0):
			digits, n = digits+1, 10*n+int(c-'0')
		default:
			return false
		}
		if n > 255 {
			return false
		}
	}
	return numbers == 4 && digits > 0
}

// isNumber reports whether C libraries parse a label as a number.
func isNumber(label string) bool {
	hex := len(label) >= 2 && strings.EqualFold(label[:2], "0x")
	if hex {
		label = label[2:]
	}
	for i := range len(label) {
		if c := label[i]; (c < '0' || c > '9') && !(hex && isHex(c)) {
			return false
		}
	}
	return hex || label != ""
}
