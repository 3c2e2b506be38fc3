package cookies

import (
	"fmt"
	"io"
	"log/slog"
)

// Format prints no cookies, since they are secrets.
func (j *Jar) Format(s fmt.State, _ rune) { io.WriteString(s, "cookies.Jar") }

// LogValue returns the text of Format.
func (j *Jar) LogValue() slog.Value { return slog.StringValue("cookies.Jar") }
