package netreply

import (
	"net/http"
	"strings"

	"github.com/netreply/netreply/headers"
)

// Headers is a list of header fields in order; see headers.Headers. This package and
// httpserver share the type.
type Headers = headers.Headers

// NewHeaders makes a list of alternating names and values. It panics when their number is
// odd, which is a programming error.
func NewHeaders(namesAndValues ...string) Headers { return headers.New(namesAndValues...) }

// headersFrom makes a list of a map, for responses whose lines are not available: HTTP/2,
// where net/http does not keep the order. Names are in alphabetical order.
func headersFrom(m http.Header, lower bool) Headers {
	h := headers.FromHTTP(m)
	if !lower {
		return h
	}
	fields := make([]headers.Field, 0, h.Len())
	for name, value := range h.All() {
		fields = append(fields, headers.Field{Name: strings.ToLower(name), Value: value})
	}
	return headers.FromFields(fields)
}

// validateHeaders returns an error for a field that RFC 9110, section 5, does not allow
// (rule L24).
func validateHeaders(h Headers) error {
	f, badName, found := h.Invalid()
	switch {
	case !found:
		return nil
	case badName:
		return localError(ProtocolInvalidOperationError, "Invalid header name", &FieldError{Field: "header name", Value: f.Name})
	}
	return localError(ProtocolInvalidOperationError, "Invalid header value", &FieldError{Field: "value of header " + f.Name})
}

// validateSecretHeaders returns an error for a name that is not a valid field name.
func validateSecretHeaders(field string, list []string) error {
	for _, name := range list {
		if !validToken(name) {
			return &FieldError{field, name, "not valid as the name of a header field"}
		}
	}
	return nil
}
