package headers

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hidden stands for a value that is not shown, as in url.URL.Redacted.
const hidden = "xxxxx"

// secrets are the fields whose values are never printed: who has them can act for the
// user.
var secrets = [...]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Set-Cookie", "Set-Cookie2",
	"Authentication-Info", "Proxy-Authentication-Info"}

// Redacted returns a copy that can be shown to others: without the values of the fields
// that carry passwords, tokens and cookies, and of those that are named.
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

// Format writes the fields, Redacted and quoted, for every verb of package fmt.
func (h Headers) Format(s fmt.State, _ rune) { io.WriteString(s, h.text()) }

// LogValue is what log/slog writes: the same.
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
