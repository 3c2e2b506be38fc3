package cacherules

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// Key returns the primary key of the GET responses for a URL (RFC 9111, section 2). host is
// the Host field if the request has another one than the URL, and partition keeps the
// responses of one user from another. Equivalent URLs (RFC 9110, section 4.2.3) have equal
// keys; fragment, user and password do not count. It is "" for a URL that cannot have one.
//
// Dot segments count, encoded ones too, if they are there: they are removed before a request is
// sent, and where they are sent all the same not every server resolves them. Its answer must not
// become that of another URL.
func Key(u *url.URL, host, partition string) string {
	path := u.EscapedPath()
	if u.Opaque != "" || path != "" && path[0] != '/' {
		return ""
	}
	var space [160]byte // enough for most
	b := appendOrigin(space[:0], u, host, partition)
	if path == "" {
		path = "/"
	}
	b = appendEncoded(b, path)
	if u.RawQuery != "" || u.ForceQuery {
		b = appendEncoded(append(b, '?'), u.RawQuery)
	}
	return string(b)
}

// OriginKey returns the beginning that the keys of one origin, and no others, have in common.
func OriginKey(u *url.URL, host, partition string) string {
	return string(append(appendOrigin(nil, u, host, partition), '/'))
}

// PartitionKey returns the beginning that the keys of one partition, and no others, have in
// common.
func PartitionKey(partition string) string {
	return strconv.Itoa(len(partition)) + ":" + partition + " "
}

// PartitionOf returns the partition that a key was made with.
func PartitionOf(key string) string {
	number, rest, found := strings.Cut(key, ":")
	n, err := strconv.Atoi(number)
	if !found || err != nil || n <= 0 || n >= len(rest) || rest[n] != ' ' || strconv.Itoa(n) != number {
		return ""
	}
	return rest[:n]
}

func appendOrigin(b []byte, u *url.URL, host, partition string) []byte {
	if partition != "" {
		b = append(b, PartitionKey(partition)...)
	}
	if host != "" && !strings.EqualFold(host, u.Host) {
		b = append(strconv.AppendInt(b, int64(len(host)), 10), '@')
		b = append(append(b, strings.ToLower(host)...), ' ')
	}
	b = append(append(b, strings.ToLower(u.Scheme)...), "://"...)
	addr, err := httpurl.Address(u)
	if err != nil {
		addr = u.Host
	}
	return append(b, addr...)
}

// appendEncoded appends a part of a URL with percent-encoding in its usual form: letters,
// digits and -_~ as they are, all else in capitals (RFC 3986, section 6.2.2). Dots stay encoded,
// see Key.
func appendEncoded(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			b = append(b, s[i])
			continue
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			b = append(b, s[i])
			continue
		}
		if c := byte(v); isTokenByte(c) && strings.IndexByte("!#$%&'*+.^`|", c) < 0 {
			b = append(b, c)
		} else {
			b = append(b, strings.ToUpper(s[i:i+3])...)
		}
		i += 2
	}
	return b
}
