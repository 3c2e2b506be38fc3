// Package httpurl parses and checks URLs of HTTP requests, compares their origins, and
// decides about redirects. It does no I/O.
package httpurl

import (
	"errors"
	"net/url"
	"strings"
)

// ParseError is the reason why a text is not a URL. It does not quote the text, which may
// contain a password.
type ParseError struct{ Reason string }

func (e *ParseError) Error() string { return e.Reason }

// Parse parses a URL like browsers and Qt: a percent sign that is not followed by two
// hexadecimal digits stands for itself, the host is converted to lower case and ASCII, and
// the query is percent-encoded. The error is a *ParseError.
func Parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		u, err = url.Parse(encodePercent(raw))
	}
	if err != nil {
		return nil, &ParseError{parseReason(err)}
	}
	u.Host = strings.ToLower(u.Host)
	if name := u.Hostname(); name != "" && !strings.HasPrefix(u.Host, "[") {
		if ascii, err := ASCIIHost(name); err == nil {
			u.Host = ascii + strings.TrimPrefix(u.Host, name)
		}
	}
	u.RawQuery = encodeQuery(encodePercent(u.RawQuery))
	return u, nil
}

// parseReason is the reason of an error of net/url, unless that quotes the URL: an invalid
// port or host may be part of a password with a character that is not encoded.
func parseReason(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		switch reason := ue.Err.Error(); reason {
		case "empty url", "missing protocol scheme", "first path segment in URL cannot contain colon", "invalid URI for request",
			"net/url: invalid control character in URL", "net/url: invalid userinfo", "missing ']' in host":
			return reason
		}
	}
	return "invalid host or port; in a password, all but letters and digits must be percent-encoded"
}

// encodePercent encodes percent signs that are not followed by two hexadecimal digits.
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

// encodeQuery encodes characters that are not allowed in a query (RFC 3986, section 3.4).
func encodeQuery(s string) string {
	return encode(s, func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' })
}
