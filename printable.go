package netreply

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Lengths in bytes of what errors show of a peer's words.
const (
	maxReason  = 256
	maxMessage = 4 << 10
)

// printable makes text fit for an error or a log, whoever has written it: what is not
// printable, such as control characters, which move a terminal's cursor or begin a line of
// a log, and those that turn the direction of writing, becomes an escape as in Go's
// strings. Text beyond the limit, which is about as many bytes, is cut. Printable text is
// returned as it is.
func printable(text string, limit int) string {
	if len(text) <= limit && isPrintable(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if b.Len() > limit-len("…") {
			return b.String() + "…"
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || !strconv.IsPrint(r) {
			quoted := strconv.Quote(text[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

func isPrintable(text string) bool {
	for _, r := range text {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// printableError is an error with a text that was not fit to be shown.
type printableError struct {
	text string
	err  error
}

func (e *printableError) Error() string { return e.text }
func (e *printableError) Unwrap() error { return e.err }
