package rediscache

import "testing"

// FuzzVariant: what is accepted is exactly what is written. The sum is corrected, so that it
// does not hide the rest.
func FuzzVariant(f *testing.F) {
	f.Add(variant{body: 1, revision: 2, size: 3, meta: []byte("meta")}.value())
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		value = string(withSum([]byte(value[:max(0, len(value)-sumSize)])))
		if v, ok := parseVariant(value); ok && v.value() != value {
			t.Fatalf("%x was read as %x", value, v.value())
		}
	})
}
