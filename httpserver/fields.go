package httpserver

import (
	"net/http"
	"net/textproto"
)

// fieldKey is the name under which net/http gets a field. Those that it looks for itself
// have the canonical one.
func (x *exchange) fieldKey(name string) string { return fieldKey(name, x.spelled) }

func fieldKey(name string, spelled bool) string {
	key := textproto.CanonicalMIMEHeaderKey(name)
	if spelled && key != name {
		switch key {
		case "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Keep-Alive", "Upgrade":
		default:
			return name
		}
	}
	return key
}

// isFraming tells whether a field says where the message ends.
func isFraming(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return false
}

// isOfConnection tells whether a field is about the connection, which HTTP/2 has no fields
// for (RFC 9113, section 8.2.2).
func isOfConnection(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
		return true
	}
	return false
}

// isList tells whether everybody adds to a field, and nobody takes it away.
func isList(key string) bool { return key == "Set-Cookie" || key == "Vary" || key == "Link" }

// head puts fields where net/http takes them from. They take the place of those
// that something around the handler has set, but for lists that everybody adds to.
func (x *exchange) head(h Headers) {
	to := x.w.Header()
	if len(to) > 0 {
		for name := range h.All() {
			if key := textproto.CanonicalMIMEHeaderKey(name); !isList(key) {
				delete(to, key)
				delete(to, name)
			}
		}
	}
	for name, value := range h.All() {
		key := x.fieldKey(name)
		if x.r.ProtoMajor > 1 && isOfConnection(name) {
			continue
		}
		to[key] = append(to[key], value)
	}
}

// autoLength is up to which length net/http finds the Content-Length out by itself.
const autoLength = 2 << 10

// sniff gives the answer to HEAD the Content-Type that net/http finds for the same one to
// GET, of which these are the first bytes.
func sniff(to http.Header, first []byte) {
	if _, set := to["Content-Type"]; set || len(first) == 0 || len(to["Content-Encoding"]) > 0 {
		return
	}
	to["Content-Type"] = []string{http.DetectContentType(first)}
}
