package netreply

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/internal/wire"
)

// Headers is a list of header fields. It keeps order, spelling and duplicates;
// names are compared without regard to case (RFC 9110, section 5.1). The zero
// value is empty and ready to use. Copies share their fields until one of them
// is changed by Set or Del; use Clone for an independent one.
type Headers struct {
	fields []wire.Field
}

// NewHeaders makes a list of names and values in turn. It panics when their
// number is odd, as a literal that is wrong is wrong at every run.
func NewHeaders(namesAndValues ...string) Headers {
	if len(namesAndValues)%2 != 0 {
		panic("netreply: NewHeaders wants names and values in turn")
	}
	var h Headers
	for i := 0; i < len(namesAndValues); i += 2 {
		h.Add(namesAndValues[i], namesAndValues[i+1])
	}
	return h
}

// Len is the number of fields.
func (h Headers) Len() int { return len(h.fields) }

// All yields the fields in order.
func (h Headers) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, f := range h.fields {
			if !yield(f.Name, f.Value) {
				return
			}
		}
	}
}

// Has tells whether there is a field of that name, be its value empty or not.
func (h Headers) Has(name string) bool {
	for _, f := range h.fields {
		if sameName(f.Name, name) {
			return true
		}
	}
	return false
}

// Get returns the first value of that name, "" when there is none.
func (h Headers) Get(name string) string {
	for _, f := range h.fields {
		if sameName(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Values returns all values of that name in order.
func (h Headers) Values(name string) []string {
	var vs []string
	for _, f := range h.fields {
		if sameName(f.Name, name) {
			vs = append(vs, f.Value)
		}
	}
	return vs
}

// Add appends a field.
func (h *Headers) Add(name, value string) {
	h.fields = append(slices.Clip(h.fields), wire.Field{Name: name, Value: value})
}

// Set removes every field of that name and appends the new one at the end
// (rule H21).
func (h *Headers) Set(name, value string) {
	h.Del(name)
	h.Add(name, value)
}

// Del removes every field of that name.
func (h *Headers) Del(name string) {
	if h.Has(name) {
		h.fields = slices.DeleteFunc(slices.Clone(h.fields), func(f wire.Field) bool { return sameName(f.Name, name) })
	}
}

// Clone returns a list that shares nothing with h.
func (h Headers) Clone() Headers { return Headers{slices.Clone(h.fields)} }

// raw joins the values of one name as rule H25 says: with a comma, except that
// each Set-Cookie stands on its own line and the last Location counts.
func (h Headers) raw(name string) string {
	var joined string
	for _, f := range h.fields {
		if !sameName(f.Name, name) {
			continue
		}
		switch {
		case joined == "" || sameName(name, "Location"):
			joined = f.Value
		case sameName(name, "Set-Cookie"):
			joined += "\n" + f.Value
		default:
			joined += ", " + f.Value
		}
	}
	return joined
}

// merged gives each name once, at the place and in the spelling of its last
// occurrence (rule H26).
func (h Headers) merged() []wire.Field {
	out := make([]wire.Field, 0, len(h.fields))
	for i, f := range h.fields {
		later := slices.ContainsFunc(h.fields[i+1:], func(g wire.Field) bool { return sameName(f.Name, g.Name) })
		if !later {
			out = append(out, wire.Field{Name: f.Name, Value: h.raw(f.Name)})
		}
	}
	return out
}

func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// headersFrom makes a list of a map, for responses whose lines were not seen:
// HTTP/2, where net/http keeps no order. Names are in alphabetical order.
func headersFrom(m http.Header, lower bool) Headers {
	names := make([]string, 0, len(m))
	n := 0
	for name, vs := range m {
		names = append(names, name)
		n += len(vs)
	}
	slices.Sort(names)
	h := Headers{make([]wire.Field, 0, n)}
	for _, name := range names {
		for _, v := range m[name] {
			key := name
			if lower {
				key = strings.ToLower(name)
			}
			h.fields = append(h.fields, wire.Field{Name: key, Value: v})
		}
	}
	return h
}

// ownSpelling lists the fields that net/http looks up by their canonical name
// or writes itself; all others are sent as the caller spelled them.
var ownSpelling = map[string]bool{
	"User-Agent": true, "Connection": true, "Expect": true, "Cookie": true, "Accept-Encoding": true, "Range": true,
	"Authorization": true, "Content-Type": true, "Trailer": true, "Upgrade": true,
}

// toMap makes the map that net/http writes, without the fields that describe
// the framing and the host, which are the transport's.
func (h Headers) toMap() http.Header {
	m := make(http.Header, len(h.fields)+2)
	for _, f := range h.fields {
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		switch key {
		case "Host", "Content-Length", "Transfer-Encoding":
			continue
		}
		if !ownSpelling[key] {
			key = f.Name
		}
		m[key] = append(m[key], f.Value)
	}
	return m
}

// validate refuses what RFC 9110, section 5, does not allow in a field (rule
// L24).
func (h Headers) validate() error {
	for _, f := range h.fields {
		if !httpguts.ValidHeaderFieldName(f.Name) {
			return localError(ProtocolInvalidOperationError, "Invalid header name", &FieldError{Field: "header name", Value: f.Name})
		}
		if !httpguts.ValidHeaderFieldValue(f.Value) {
			return localError(ProtocolInvalidOperationError, "Invalid header value", &FieldError{Field: "value of header " + f.Name})
		}
	}
	return nil
}

// FieldError names the part of a Config or a Request that cannot be used.
type FieldError struct {
	Field  string // what was wrong
	Value  string // its value; empty for what may be a secret
	Reason string // why; may be empty
}

func (e *FieldError) Error() string {
	s := "invalid " + e.Field
	if e.Value != "" {
		s += " " + quote(e.Value)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}
