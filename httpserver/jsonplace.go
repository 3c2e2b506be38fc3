package httpserver

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// jsonPlace finds the place of a value that encoding/json could not decode: the JSON
// Pointer (RFC 6901) of the value and how many bytes are before it. encoding/json tells less:
// it counts no elements of arrays, and for unknown fields, and for errors of UnmarshalJSON
// methods, it has no place at all.
//
// text is a JSON value without syntax errors, v what it was to be decoded into, and failed
// the error of that. Values are visited in the order of the text, each with the type it is
// decoded into; the first that fails alone in the same way is the one. The work is linear in
// the size of text.
func jsonPlace(text []byte, v any, failed error) (pointer string, offset int64, found bool) {
	defer func() {
		if recover() != nil { // an UnmarshalJSON that cannot work on a new value
			pointer, offset, found = "", 0, false
		}
	}()
	s := &placeSearch{text: text, failed: failed, types: map[reflect.Type]*jsonType{}}
	s.unknown, s.seeksUnknown = unknownField(failed)
	if !s.value(reflect.TypeOf(v).Elem(), false) {
		return "", 0, false
	}
	return s.pointer(), int64(s.place), true
}

// unknownField is the name in the error for KnownFieldsOnly, for which encoding/json has no
// type.
func unknownField(err error) (name string, ok bool) {
	quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	if !ok {
		return "", false
	}
	name, err = strconv.Unquote(quoted)
	return name, err == nil
}

// placeSearch is one search for a place.
type placeSearch struct {
	text         []byte
	failed       error
	unknown      string // the name of the field, if seeksUnknown
	seeksUnknown bool
	types        map[reflect.Type]*jsonType

	at    int        // what is before has been visited
	path  []jsonStep // to the value at at
	place int        // of what was found
}

// jsonStep leads from a value to one inside it.
type jsonStep struct {
	key   []byte // as it stands in the text, with quotation marks; nil in an array
	index int
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func (s *placeSearch) pointer() string {
	var b strings.Builder
	for _, step := range s.path {
		b.WriteByte('/')
		if step.key == nil {
			b.WriteString(strconv.Itoa(step.index))
		} else {
			pointerEscapes.WriteString(&b, unquoteKey(step.key))
		}
	}
	return b.String()
}

func unquoteKey(key []byte) string {
	var name string
	json.Unmarshal(key, &name) // it is a string
	return name
}

// value visits the value at s.at, which is decoded into t, and moves behind it. It reports
// whether what failed is in it, and leaves path and place there.
func (s *placeSearch) value(t reflect.Type, quoted bool) bool {
	s.blanks()
	start := s.at
	in := s.typeOf(t)
	if !in.custom {
		switch first := s.text[start]; {
		case first == '{' && in.members():
			return s.object(in)
		case first == '[' && in.elements():
			return s.array(in)
		}
	}
	s.skip()
	return s.fails(start, s.text[start:s.at], t, quoted)
}

func (s *placeSearch) object(in *jsonType) bool {
	s.at++
	for s.blanks(); s.text[s.at] != '}'; s.blanks() {
		start := s.at
		s.skip()
		key := s.text[start:s.at]
		s.path = append(s.path, jsonStep{key: key})
		s.blanks()
		s.at++ // the colon
		if s.member(in, start, key) {
			return true
		}
		s.path = s.path[:len(s.path)-1]
		s.comma()
	}
	s.at++
	return false
}

// member visits the value of a key.
func (s *placeSearch) member(in *jsonType, start int, key []byte) bool {
	switch in.base.Kind() {
	case reflect.Struct:
		name := unquoteKey(key)
		f, known := in.field(name)
		switch {
		case known:
			return s.value(f.typ, f.quoted)
		case s.seeksUnknown && name == s.unknown:
			s.place = start
			return true
		}
		s.blanks()
		s.skip()
		return false
	case reflect.Map:
		if s.value(in.base.Elem(), false) {
			return true
		}
		if in.plainKeys {
			return false
		}
		alone := slices.Concat([]byte{'{'}, key, []byte(":null}"))
		return s.fails(start, alone, reflect.MapOf(in.base.Key(), reflect.TypeFor[struct{}]()), false)
	}
	return s.value(in.base, false) // any
}

func (s *placeSearch) array(in *jsonType) bool {
	element, room := in.base, -1
	switch in.base.Kind() {
	case reflect.Array:
		element, room = in.base.Elem(), in.base.Len()
	case reflect.Slice:
		element = in.base.Elem()
	}
	s.at++
	i := 0
	for s.blanks(); s.text[s.at] != ']'; s.blanks() {
		if i == room { // what an array has no room for is not decoded
			s.skip()
		} else {
			s.path = append(s.path, jsonStep{index: i})
			if s.value(element, false) {
				return true
			}
			s.path = s.path[:len(s.path)-1]
			i++
		}
		s.comma()
	}
	s.at++
	return false
}

// fails tells whether a value that begins at start fails when it is decoded alone.
func (s *placeSearch) fails(start int, value []byte, t reflect.Type, quoted bool) bool {
	in := s.typeOf(t)
	if !quoted && !in.custom && in.takes(value) {
		return false
	}
	if quoted { // the option "string" of a tag
		t = reflect.StructOf([]reflect.StructField{{Name: "V", Type: t, Tag: `json:"v,string"`}})
		value = slices.Concat([]byte(`{"v":`), value, []byte{'}'})
	}
	err := json.Unmarshal(value, reflect.New(t).Interface())
	if err == nil || !s.same(err) {
		return false
	}
	s.place = start
	return true
}

func (s *placeSearch) same(err error) bool {
	var a, b *json.UnmarshalTypeError
	if errors.As(s.failed, &a) && errors.As(err, &b) { // their texts have a part of the path
		return a.Value == b.Value && behindPointers(a.Type) == behindPointers(b.Type)
	}
	return err.Error() == s.failed.Error()
}

func behindPointers(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func (s *placeSearch) blanks() {
	for strings.IndexByte(jsonBlanks, s.text[s.at]) >= 0 {
		s.at++
	}
}

// comma moves behind the comma that follows a member or element, if one does.
func (s *placeSearch) comma() {
	if s.blanks(); s.text[s.at] == ',' {
		s.at++
	}
}

// skip moves behind the value or key at s.at.
func (s *placeSearch) skip() {
	depth := 0
	for {
		switch c := s.text[s.at]; c {
		case '"':
			for s.at++; s.text[s.at] != '"'; s.at++ {
				if s.text[s.at] == '\\' {
					s.at++
				}
			}
			s.at++
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\r', '\n': // inside an object or array
			s.at++
			continue
		default: // a number, true, false, null
			for s.at < len(s.text) && strings.IndexByte(",:}] \t\r\n", s.text[s.at]) < 0 {
				s.at++
			}
		}
		if depth == 0 {
			return
		}
	}
}
