package netreply

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// printout is the printed form of a value: its type and its fields.
type printout struct {
	name   string
	fields []printed
}

// printed is one field: text for package fmt, value for log/slog, whose handlers quote
// strings themselves and distinguish numbers.
type printed struct {
	name, text string
	value      slog.Value
}

// printoutOf returns the exported fields of a struct that are not zero. The values of
// secrets are hidden.
func printoutOf(v any, secrets ...string) printout {
	s := reflect.ValueOf(v)
	for s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	p := printout{name: s.Type().String()}
fields:
	for i := range s.NumField() {
		f := s.Type().Field(i)
		if !f.IsExported() || s.Field(i).IsZero() {
			continue
		}
		for _, name := range secrets {
			if f.Name == name {
				p.add(name, httpurl.Hidden)
				continue fields
			}
		}
		p.addField(f.Name, s.Field(i))
	}
	return p
}

func (p *printout) add(name, text string) {
	p.fields = append(p.fields, printed{name, text, slog.StringValue(text)})
}

// addString adds a string that may come from a peer.
func (p *printout) addString(name, words string) {
	p.fields = append(p.fields, printed{name, strconv.Quote(words), slog.StringValue(printable(words, maxMessage))})
}

func (p *printout) addNumber(name string, n int64) {
	p.fields = append(p.fields, printed{name, strconv.FormatInt(n, 10), slog.Int64Value(n)})
}

func (p *printout) addBool(name string, b bool) {
	p.fields = append(p.fields, printed{name, strconv.FormatBool(b), slog.BoolValue(b)})
}

func (p *printout) addField(name string, v reflect.Value) {
	_, named := v.Interface().(fmt.Stringer)
	switch {
	case v.Kind() == reflect.String && !named:
		p.addString(name, v.String())
	case v.Kind() == reflect.Bool && !named:
		p.addBool(name, v.Bool())
	case v.CanInt() && !named:
		p.addNumber(name, v.Int())
	case v.CanUint() && !named:
		p.addNumber(name, int64(v.Uint()))
	default:
		if u, ok := v.Interface().(*url.URL); ok {
			p.addString(name, httpurl.Redacted(u))
			return
		}
		p.add(name, show(v))
	}
}

func (p printout) String() string {
	var b strings.Builder
	b.WriteString(p.name + "{")
	for i, f := range p.fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.name + ": " + f.text)
	}
	b.WriteByte('}')
	return b.String()
}

func (p printout) format(s fmt.State, verb rune) { formatText(s, verb, p.String()) }

func (p printout) logValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(p.fields))
	for _, f := range p.fields {
		attrs = append(attrs, slog.Attr{Key: f.name, Value: f.value})
	}
	return slog.GroupValue(attrs...)
}

func formatText(s fmt.State, verb rune, text string) {
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	io.WriteString(s, text)
}

// show is the text of a field that is no string, number or bool. Of a type that may hold
// secrets it is only the type's name.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case net.Addr:
		return x.String()
	case fmt.Formatter:
		return fmt.Sprint(x)
	case fmt.Stringer:
		if v.CanInt() || v.CanUint() { // a constant or a duration
			return x.String()
		}
	case []byte:
		return fmt.Sprintf("%d bytes", len(x))
	case []string:
		return fmt.Sprintf("%q", x)
	}
	switch v.Kind() {
	case reflect.Struct:
		return printoutOf(v.Interface()).String()
	case reflect.Slice:
		if v.Type().Elem().Implements(reflect.TypeFor[fmt.Formatter]()) {
			return fmt.Sprint(v.Interface())
		}
		return fmt.Sprintf("%d of %s", v.Len(), v.Type().Elem())
	case reflect.Interface:
		return v.Elem().Type().String()
	}
	return v.Type().String()
}
