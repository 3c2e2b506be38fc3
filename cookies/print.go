package cookies

import (
	"fmt"
	"io"
	"log/slog"
)

// Format prints no cookie: who has one can act for the user.
func (j *Jar) Format(s fmt.State, _ rune) { io.WriteString(s, "cookies.Jar") }

// LogValue is what log/slog prints: the same.
func (j *Jar) LogValue() slog.Value { return slog.StringValue("cookies.Jar") }
