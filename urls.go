package netreply

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// parseURL parses as browsers and Qt do: a percent sign that encodes nothing
// stands for itself, the host is lower case, and the query is encoded. The error
// does not quote the URL, which may hold a password.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		u, err = url.Parse(encodePercent(raw))
	}
	if err != nil {
		return nil, errors.New(parseReason(err))
	}
	u.Host = strings.ToLower(u.Host)
	if name := u.Hostname(); name != "" && !strings.HasPrefix(u.Host, "[") {
		if ascii, err := asciiHost(name); err == nil {
			u.Host = ascii + strings.TrimPrefix(u.Host, name)
		}
	}
	u.RawQuery = encodeQuery(encodePercent(u.RawQuery))
	return u, nil
}

// parseReason is what net/url says, unless it quotes the URL: what it takes for a port or a
// host may be a password that ends early at a character that is not encoded.
func parseReason(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		switch reason := ue.Err.Error(); reason {
		case "empty url", "missing protocol scheme", "first path segment in URL cannot contain colon", "invalid URI for request",
			"net/url: invalid control character in URL", "net/url: invalid userinfo", "missing ']' in host":
			return reason
		}
	}
	return "its host or port is none; in a password, what is no letter or digit is percent-encoded"
}

// encodePercent writes the percent signs that two hexadecimal digits do not
// follow as %25.
func encodePercent(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// encodeQuery encodes what may not stand in a query (RFC 3986, section 3.4).
func encodeQuery(s string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// address gives the host:port to connect to, in ASCII.
func address(u *url.URL) (string, error) {
	if plainHost(u.Host) {
		return u.Host, nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	host, err := asciiHost(host)
	if err != nil {
		return "", err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port, nil
}

// authority gives the host and, where there is one, the port of a URL as they go over the
// wire: in ASCII, and without the zone of an IPv6 address (RFC 6874, section 1).
func authority(u *url.URL) string {
	if plainHost(u.Host) {
		return u.Host
	}
	host, err := asciiHost(u.Hostname())
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

// plainHost tells that a host with a port is an address as it stands.
func plainHost(host string) bool {
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

func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}

// unresolvable tells that no resolver can know a name: the domain that is
// reserved for that (RFC 6761, section 6.4), and what ends in a number without
// being an address, for there is no such top-level domain.
func unresolvable(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.EqualFold(last, "invalid") {
		return true
	}
	if strings.Contains(host, ":") || !isNumber(last) {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

// isNumber tells that a label is a number as C libraries read addresses.
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

// unresolvableError says why no resolver is asked.
func unresolvableError(host string) error {
	why := "no name ends in a number, and it is no IPv4 address, which has four of them from 0 to 255"
	if strings.HasSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), "invalid") {
		why = "names below .invalid never exist (RFC 6761)"
	}
	return &Error{Code: HostNotFoundError, Phase: PhaseResolve, Text: "Host " + host + " not found", Err: errors.New(quote(host) + ": " + why)}
}

// redact formats a URL without its password. In one that lacks a host, or that nobody has
// parsed, it may stand anywhere.
func redact(u *url.URL) string {
	switch {
	case u == nil:
		return ""
	case u.Host == "" && u.Scheme != "file" && *u != (url.URL{Scheme: u.Scheme}):
		return (&url.URL{Scheme: u.Scheme, Opaque: hidden}).String()
	case strings.Contains(u.Host, "@"):
		c := *u
		c.Host = withoutUser(c.Host)
		return c.Redacted()
	}
	return u.Redacted()
}

// withoutUser hides what stands before an @.
func withoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return hidden + s[i:]
	}
	return s
}
