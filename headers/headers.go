// Package headers is a list of HTTP header fields in order, for both sides of an
// exchange.
package headers

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Field is one header field.
type Field struct{ Name, Value string }

// Headers is a list of header fields. It keeps order, spelling and duplicates;
// names are compared without regard to case (RFC 9110, section 5.1). The zero
// value is empty and ready to use. Copies share their fields until one of them
// is changed by Set or Del; use Clone for an independent one.
type Headers struct {
	fields []Field
}

// New makes a list of names and values in turn. It panics when their number is odd,
// as a literal that is wrong is wrong at every run.
func New(namesAndValues ...string) Headers {
	if len(namesAndValues)%2 != 0 {
		panic("headers: New wants names and values in turn")
	}
	var h Headers
	for i := 0; i < len(namesAndValues); i += 2 {
		h.Add(namesAndValues[i], namesAndValues[i+1])
	}
	return h
}

// FromFields makes a list of fields, which then belong to it.
func FromFields(fields []Field) Headers { return Headers{fields} }

// FromHTTP makes a list of what net/http keeps in a map, by name.
func FromHTTP(m http.Header) Headers {
	names := make([]string, 0, len(m))
	n := 0
	for name, vs := range m {
		names = append(names, name)
		n += len(vs)
	}
	slices.Sort(names)
	h := Headers{make([]Field, 0, n)}
	for _, name := range names {
		for _, v := range m[name] {
			h.fields = append(h.fields, Field{name, v})
		}
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
	h.fields = append(slices.Clip(h.fields), Field{Name: name, Value: value})
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
		h.fields = slices.DeleteFunc(slices.Clone(h.fields), func(f Field) bool { return sameName(f.Name, name) })
	}
}

// Clone returns a list that shares nothing with h.
func (h Headers) Clone() Headers { return Headers{slices.Clone(h.fields)} }

// Equal tells whether both lists have the same fields in the same order, spelling
// of names aside.
func (h Headers) Equal(o Headers) bool {
	return slices.EqualFunc(h.fields, o.fields, func(a, b Field) bool { return sameName(a.Name, b.Name) && a.Value == b.Value })
}

// Joined joins the values of one name as Qt does (rule H25): with a comma, except
// that each Set-Cookie stands on its own line and the last Location counts.
func (h Headers) Joined(name string) string {
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

// Merged gives each name once, at the place and in the spelling of its last
// occurrence, with its values joined (rule H26).
func (h Headers) Merged() []Field {
	out := make([]Field, 0, len(h.fields))
	for i, f := range h.fields {
		later := slices.ContainsFunc(h.fields[i+1:], func(g Field) bool { return sameName(f.Name, g.Name) })
		if !later {
			out = append(out, Field{Name: f.Name, Value: h.Joined(f.Name)})
		}
	}
	return out
}

// Invalid finds the first field that RFC 9110, section 5, does not allow: one whose
// name is no token, or whose value has line ends or other control characters.
func (h Headers) Invalid() (f Field, badName, found bool) {
	for _, f := range h.fields {
		if !httpguts.ValidHeaderFieldName(f.Name) {
			return f, true, true
		}
		if !httpguts.ValidHeaderFieldValue(f.Value) {
			return f, false, true
		}
	}
	return Field{}, false, false
}

func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
