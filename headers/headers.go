// Package headers implements an ordered list of HTTP header fields, for clients and
// servers.
package headers

import (
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// Field is one header field.
type Field struct{ Name, Value string }

// Headers is a list of header fields. It keeps order, spelling and duplicates; names are
// compared ignoring case (RFC 9110, section 5.1). The zero value is empty and ready to use.
// A copy is independent of the original: changing one does not change the other.
type Headers struct {
	fields []Field
	// used is the used length of the array of fields, shared by all copies: only the copy
	// whose length equals it may append in place, once. It is nil if none may.
	used *atomic.Int64
}

// New makes a list of alternating names and values. It panics when their number is odd,
// which is a programming error.
func New(namesAndValues ...string) Headers {
	if len(namesAndValues)%2 != 0 {
		panic("headers: New needs an even number of arguments")
	}
	fields := make([]Field, 0, len(namesAndValues)/2)
	for i := 0; i < len(namesAndValues); i += 2 {
		fields = append(fields, Field{namesAndValues[i], namesAndValues[i+1]})
	}
	return FromFields(fields)
}

// FromFields makes a list that owns fields.
func FromFields(fields []Field) Headers { return Headers{fields: fields} }

// FromHTTP makes a list of a net/http map, sorted by name. See Headers.HTTP for the way
// back.
func FromHTTP(m http.Header) Headers {
	names := make([]string, 0, len(m))
	n := 0
	for name, vs := range m {
		names = append(names, name)
		n += len(vs)
	}
	slices.Sort(names)
	fields := make([]Field, 0, n)
	for _, name := range names {
		for _, v := range m[name] {
			fields = append(fields, Field{name, v})
		}
	}
	return FromFields(fields)
}

// HTTP makes a net/http map, with canonical names. The values of one name keep their order.
// The map shares no memory with h.
func (h Headers) HTTP() http.Header {
	m := make(http.Header, len(h.fields))
	for _, f := range h.fields {
		m.Add(f.Name, f.Value)
	}
	return m
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

// Has reports whether there is a field of that name.
func (h Headers) Has(name string) bool {
	for _, f := range h.fields {
		if sameName(f.Name, name) {
			return true
		}
	}
	return false
}

// Get returns the first value of that name, "" if there is none.
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

// Add appends a field. Copies of h do not get it.
func (h *Headers) Add(name, value string) {
	n := int64(len(h.fields))
	if h.used == nil || int(n) == cap(h.fields) || !h.used.CompareAndSwap(n, n+1) {
		fields := make([]Field, n, max(4, 2*n))
		copy(fields, h.fields)
		h.fields, h.used = fields, new(atomic.Int64)
		h.used.Store(n + 1)
	}
	h.fields = append(h.fields, Field{Name: name, Value: value})
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
		*h = FromFields(slices.DeleteFunc(slices.Clone(h.fields), func(f Field) bool { return sameName(f.Name, name) }))
	}
}

// Clone returns a copy that shares no memory with h.
func (h Headers) Clone() Headers { return FromFields(slices.Clone(h.fields)) }

// Equal reports whether both lists have the same fields in the same order, ignoring the
// case of names.
func (h Headers) Equal(o Headers) bool {
	return slices.EqualFunc(h.fields, o.fields, func(a, b Field) bool { return sameName(a.Name, b.Name) && a.Value == b.Value })
}

// Joined joins the values of one name like Qt (rule H25): with a comma, except that
// Set-Cookie values are separated by line ends, and for Location the last value is
// returned.
func (h Headers) Joined(name string) string {
	separator := separatorOf(name)
	var first string
	var all []byte
	for _, f := range h.fields {
		if sameName(f.Name, name) {
			first, all = join(first, all, separator, f.Value)
		}
	}
	if all != nil {
		return string(all)
	}
	return first
}

// separatorOf is the separator for the values of a name, "" if only the last is used.
func separatorOf(name string) string {
	switch {
	case sameName(name, "Location"):
		return ""
	case sameName(name, "Set-Cookie"):
		return "\n"
	}
	return ", "
}

// join appends a value to first or, from the second value on, to all, so that each value is
// copied once.
func join(first string, all []byte, separator, value string) (string, []byte) {
	switch {
	case separator == "", all == nil && first == "":
		return value, nil
	case all == nil:
		all = append(all, first...)
	}
	return first, append(append(all, separator...), value...)
}

// Merged returns each name once, with the position and spelling of its last occurrence and
// its joined values (rule H26).
func (h Headers) Merged() []Field {
	out := make([]Field, 0, len(h.fields)) // in reverse order
	at := make([]int32, len(h.fields))     // index in out for each field
	names := newIndex(len(h.fields))
	for i, f := range slices.Backward(h.fields) {
		var known bool
		if at[i], known = names.find(f.Name, out); !known {
			out = append(out, Field{Name: f.Name})
		}
	}
	var all [][]byte // joined values of names with several
	for i, f := range h.fields {
		o := &out[at[i]]
		if o.Value == "" {
			o.Value = f.Value
			continue
		}
		if all == nil {
			all = make([][]byte, len(out))
		}
		o.Value, all[at[i]] = join(o.Value, all[at[i]], separatorOf(f.Name), f.Value)
	}
	for i := range all {
		if all[i] != nil {
			out[i].Value = string(all[i])
		}
	}
	slices.Reverse(out)
	return out
}

// Invalid returns the first field that RFC 9110, section 5, does not allow: its name is not
// a token, or its value has line ends or other control characters.
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
