package headers

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hidden replaces secret values, as in url.URL.Redacted.
const hidden = "xxxxx"

// secrets are the fields whose values are never printed, because they authenticate the
// user.
var secrets = [...]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Set-Cookie", "Set-Cookie2",
	"Authentication-Info", "Proxy-Authentication-Info"}

// Redacted returns a copy in which the values of fields with credentials and cookies, and
// of the named fields, are hidden.
func (h Headers) Redacted(names ...string) Headers {
	c := h.Clone()
	for i := range c.fields {
		f := &c.fields[i]
		for _, list := range [...][]string{secrets[:], names} {
			for _, name := range list {
				if sameName(f.Name, name) {
					f.Value = hidden
				}
			}
		}
	}
	return c
}

// Format prints the fields, redacted and quoted, for every verb of package fmt.
func (h Headers) Format(s fmt.State, _ rune) { io.WriteString(s, h.text()) }

// LogValue returns the text of Format.
func (h Headers) LogValue() slog.Value { return slog.StringValue(h.text()) }

func (h Headers) text() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, f := range h.Redacted().fields {
		if i > 0 {
			b.WriteString(", ")
		}
		name := f.Name
		if !httpguts.ValidHeaderFieldName(name) {
			name = strconv.Quote(name)
		}
		b.WriteString(name + ": " + strconv.Quote(f.Value))
	}
	b.WriteByte(']')
	return b.String()
}
