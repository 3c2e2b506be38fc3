package httpserver

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// jsonType is what decoding into a type means.
type jsonType struct {
	base      reflect.Type // behind pointers
	custom    bool         // it decodes itself
	plainKeys bool         // of a map: every key is right
	badKeys   bool         // of a map: no key is right
	fields    map[string]jsonField
	folded    map[string]jsonField // by names without regard to case
}

type jsonField struct {
	typ            reflect.Type
	tagged, quoted bool
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

func (s *placeSearch) typeOf(t reflect.Type) *jsonType {
	if known := s.types[t]; known != nil {
		return known
	}
	in := &jsonType{base: t, custom: decodesItself(t)}
	for in.base.Kind() == reflect.Pointer && !in.custom {
		in.base = in.base.Elem()
		in.custom = decodesItself(in.base)
	}
	switch in.base.Kind() {
	case reflect.Map:
		key := in.base.Key()
		switch {
		case reflect.PointerTo(key).Implements(textUnmarshaler):
		case key.Kind() == reflect.String:
			in.plainKeys = true
		case key.Kind() < reflect.Int || key.Kind() > reflect.Uintptr:
			in.badKeys = true
		}
	case reflect.Struct:
		if !in.custom {
			in.findFields()
		}
	}
	s.types[t] = in
	return in
}

func (in *jsonType) isAny() bool {
	return in.base.Kind() == reflect.Interface && in.base.NumMethod() == 0
}

// members tells whether the members of an object are decoded one by one.
func (in *jsonType) members() bool {
	return in.base.Kind() == reflect.Struct || in.base.Kind() == reflect.Map && !in.badKeys || in.isAny()
}

// elements tells whether the elements of an array are decoded one by one.
func (in *jsonType) elements() bool {
	return in.base.Kind() == reflect.Slice || in.base.Kind() == reflect.Array || in.isAny()
}

// takes tells of most values that are right that they are, without decoding them.
func (in *jsonType) takes(value []byte) bool {
	kind := in.base.Kind()
	switch first := value[0]; first {
	case 'n': // null
		return true
	case '"':
		return kind == reflect.String && in.base != reflect.TypeFor[json.Number]() || in.isAny()
	case 't', 'f':
		return kind == reflect.Bool || in.isAny()
	case '{', '[':
		return false
	}
	var err error
	switch {
	case kind >= reflect.Int && kind <= reflect.Int64:
		_, err = strconv.ParseInt(string(value), 10, in.base.Bits())
	case kind >= reflect.Uint && kind <= reflect.Uintptr:
		_, err = strconv.ParseUint(string(value), 10, in.base.Bits())
	case kind == reflect.Float32 || kind == reflect.Float64:
		_, err = strconv.ParseFloat(string(value), in.base.Bits())
	case in.isAny():
		_, err = strconv.ParseFloat(string(value), 64)
	default:
		return false
	}
	return err == nil
}

// findFields finds the fields of a struct by their names in JSON. As in encoding/json, those
// of embedded structs count as the struct's own: of several with one name those that are the
// least deep, of these those with a tag; if they are still several, there is none.
func (in *jsonType) findFields() {
	in.fields, in.folded = map[string]jsonField{}, map[string]jsonField{}
	hidden := map[string]bool{} // names that are decided
	seen := map[reflect.Type]bool{}
	for level := []reflect.Type{in.base}; len(level) > 0; {
		found := map[string][]jsonField{}
		var names []string // of found, in order
		var next []reflect.Type
		for _, t := range level {
			for i := range t.NumField() {
				name, f, embedded := jsonFieldOf(t.Field(i))
				switch {
				case embedded && !seen[f.typ]:
					next = append(next, f.typ)
				case name != "" && !hidden[name]:
					if found[name] == nil {
						names = append(names, name)
					}
					found[name] = append(found[name], f)
				}
			}
		}
		for _, name := range names {
			hidden[name] = true
			if f, ok := dominant(found[name]); ok {
				in.fields[name] = f
				if _, taken := in.folded[fold(name)]; !taken {
					in.folded[fold(name)] = f
				}
			}
		}
		for _, t := range level {
			seen[t] = true
		}
		level = slices.DeleteFunc(next, func(t reflect.Type) bool { return seen[t] })
	}
}

// dominant is the field of several with the same name and depth that has it.
func dominant(fields []jsonField) (f jsonField, ok bool) {
	tagged := 0
	for _, one := range fields {
		if one.tagged {
			tagged++
			f = one
		}
	}
	if tagged == 0 {
		return fields[0], len(fields) == 1
	}
	return f, tagged == 1
}

// jsonFieldOf is a field of a struct as JSON has it. The name is "" for one that JSON has
// not; embedded says that the fields of its type are meant.
func jsonFieldOf(f reflect.StructField) (name string, field jsonField, embedded bool) {
	tag := f.Tag.Get("json")
	t := f.Type
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if tag == "-" || !f.IsExported() && (!f.Anonymous || t.Kind() != reflect.Struct) {
		return "", jsonField{}, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !validTag(name) {
		name = ""
	}
	field = jsonField{typ: f.Type, tagged: name != ""}
	if name == "" && f.Anonymous && t.Kind() == reflect.Struct {
		return "", jsonField{typ: t}, true
	}
	if name == "" {
		name = f.Name
	}
	scalar := t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64 || t.Kind() == reflect.String
	field.quoted = scalar && slices.Contains(strings.Split(options, ","), "string")
	return name, field, false
}

func validTag(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	}) < 0
}

func (in *jsonType) field(name string) (f jsonField, ok bool) {
	if f, ok = in.fields[name]; !ok {
		f, ok = in.folded[fold(name)]
	}
	return f, ok
}

// fold makes names equal that differ by case only.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}
