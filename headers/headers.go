// Package headers is a list of HTTP header fields in order, for both sides of an
// exchange.
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

// Headers is a list of header fields. It keeps order, spelling and duplicates;
// names are compared without regard to case (RFC 9110, section 5.1). The zero
// value is empty and ready to use. Copies share their fields until one of them
// is changed by Set or Del; use Clone for an independent one.
type Headers struct {
	fields []Field
	// used is how much of the array under fields is taken: whoever is at its end, and only
	// one, may append in place. It is nil where nobody may.
	used *atomic.Int64
}

// New makes a list of names and values in turn. It panics when their number is odd,
// as a literal that is wrong is wrong at every run.
func New(namesAndValues ...string) Headers {
	if len(namesAndValues)%2 != 0 {
		panic("headers: New wants names and values in turn")
	}
	fields := make([]Field, 0, len(namesAndValues)/2)
	for i := 0; i < len(namesAndValues); i += 2 {
		fields = append(fields, Field{namesAndValues[i], namesAndValues[i+1]})
	}
	return FromFields(fields)
}

// FromFields makes a list of fields, which then belong to it.
func FromFields(fields []Field) Headers { return Headers{fields: fields} }

// FromHTTP makes a list of what net/http keeps in a map, by name.
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

// Clone returns a list that shares nothing with h.
func (h Headers) Clone() Headers { return FromFields(slices.Clone(h.fields)) }

// Equal tells whether both lists have the same fields in the same order, spelling
// of names aside.
func (h Headers) Equal(o Headers) bool {
	return slices.EqualFunc(h.fields, o.fields, func(a, b Field) bool { return sameName(a.Name, b.Name) && a.Value == b.Value })
}

// Joined joins the values of one name as Qt does (rule H25): with a comma, except
// that each Set-Cookie stands on its own line and the last Location counts.
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

// separatorOf is what stands between the values of a name, "" when only the last counts.
func separatorOf(name string) string {
	switch {
	case sameName(name, "Location"):
		return ""
	case sameName(name, "Set-Cookie"):
		return "\n"
	}
	return ", "
}

// join appends a value to what there is: first, or all when there is more than one. What
// is joined is copied once.
func join(first string, all []byte, separator, value string) (string, []byte) {
	switch {
	case separator == "", all == nil && first == "":
		return value, nil
	case all == nil:
		all = append(all, first...)
	}
	return first, append(append(all, separator...), value...)
}

// Merged gives each name once, at the place and in the spelling of its last
// occurrence, with its values joined (rule H26).
func (h Headers) Merged() []Field {
	out := make([]Field, 0, len(h.fields)) // from the last to the first
	at := make([]int32, len(h.fields))     // where each field belongs
	names := newIndex(len(h.fields))
	for i, f := range slices.Backward(h.fields) {
		var known bool
		if at[i], known = names.find(f.Name, out); !known {
			out = append(out, Field{Name: f.Name})
		}
	}
	var all [][]byte // of the names that have several values
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
