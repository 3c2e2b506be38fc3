package cacherules

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// Unsafe reports whether a method may change what is stored for a URI: all whose safety is
// not known do (RFC 9111, section 4.4).
func Unsafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "PROPFIND", "QUERY", "REPORT", "SEARCH":
		return false
	}
	return true
}

// Invalidated returns the URLs whose stored responses a response invalidates (RFC 9111,
// section 4.4): after an unsafe method and a status that is no error, that of the request,
// and those in Location and Content-Location if they have its origin.
func Invalidated(method string, u *url.URL, status int, h http.Header) []*url.URL {
	if !Unsafe(method) || status < 200 || status > 399 {
		return nil
	}
	all := []*url.URL{u}
	origin, ok := httpurl.Origin(u)
	for _, name := range [...]string{"Location", "Content-Location"} {
		if len(h[name]) == 0 || !ok {
			continue
		}
		target, err := u.Parse(strings.Trim(h[name][0], " \t")) // further ones are not allowed
		if err != nil {
			continue
		}
		if other, valid := httpurl.Origin(target); valid && other == origin {
			all = append(all, target)
		}
	}
	return all
}

// ClearsCache reports whether the origin of a response wants everything removed that is
// stored of it (Clear-Site-Data). Only a response over TLS can say so.
func ClearsCache(u *url.URL, h http.Header) bool {
	if u.Scheme != "https" {
		return false
	}
	for _, v := range h["Clear-Site-Data"] {
		for m := range members(v) {
			if m == `"cache"` || m == `"*"` {
				return true
			}
		}
	}
	return false
}
