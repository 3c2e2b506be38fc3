package scheme

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
)

// defaultType is the media type of a data: URL that names none (RFC 2397).
const defaultType = "text/plain;charset=US-ASCII"

// ParseData returns the media type and the payload of a data: URL, which ends where the URL
// does: what looks like a query or a fragment is part of it. Escapes and base64 are read
// leniently, and without a comma there is no payload. The payload is the only copy that is
// made. A URL with a host is an *Error.
func ParseData(u *url.URL) (mediaType string, payload []byte, err error) {
	if u.Host != "" || u.User != nil {
		return "", nil, &Error{Malformed, "Invalid URI: " + u.Redacted(), errors.New("a data: URL has no host")}
	}
	all := make([]byte, 0, len(u.Opaque)+len(u.Path)+len("?")+len(u.RawQuery)+len("#")+len(u.Fragment))
	if u.Opaque != "" {
		all = appendUnescaped(all, u.Opaque)
	} else {
		all = append(all, u.Path...) // net/url has resolved its escapes, as those of Fragment
	}
	if u.RawQuery != "" || u.ForceQuery {
		all = append(all, '?')
		all = appendUnescaped(all, u.RawQuery)
	}
	if u.Fragment != "" {
		all = append(all, '#')
		all = append(all, u.Fragment...)
	}
	head, payload, found := bytes.Cut(all, []byte(","))
	if !found {
		return defaultType, nil, nil
	}
	head = bytes.TrimSpace(head)
	const marker = ";base64"
	if at := len(head) - len(marker); at >= 0 && strings.EqualFold(string(head[at:]), marker) {
		head = head[:at]
		payload = decodeBase64(payload)
	}
	return mediaTypeOf(string(bytes.TrimSpace(head))), payload, nil
}

// mediaTypeOf completes the media type of a data: URL. One that cannot be the value of a
// header field counts as none.
func mediaTypeOf(s string) string {
	const charset = "charset"
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return defaultType
	}
	if len(s) > len(charset) && strings.EqualFold(s[:len(charset)], charset) &&
		strings.HasPrefix(strings.TrimLeft(s[len(charset):], " "), "=") {
		return "text/plain;" + s
	}
	if s[0] == ';' { // only the type is left out (RFC 2397, section 3)
		return "text/plain" + s
	}
	return s
}

// decodeBase64 decodes base64 in place. It skips what is no digit, padding included, and
// drops bits that make no whole byte.
func decodeBase64(b []byte) []byte {
	var bits uint32
	var count, n int
	for _, c := range b {
		digit := base64Digit[c]
		if digit == 0 {
			continue
		}
		bits = bits<<6 | uint32(digit-1)
		if count += 6; count >= 8 {
			count -= 8
			b[n] = byte(bits >> count)
			n++
		}
	}
	return b[:n]
}

// base64Digit is the value of a digit of base64 plus one, 0 for other bytes.
var base64Digit = func() (t [256]byte) {
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i + 1)
	}
	return t
}()
