package netreply

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Maximum lengths in bytes of text from a peer in errors.
const (
	maxReason  = 256
	maxMessage = 4 << 10
)

// printable makes untrusted text safe for an error or a log: characters that are not
// printable, such as control characters, which move a terminal's cursor or start a line of
// a log, and those that change the writing direction, are escaped as in Go strings. Text is
// cut at about limit bytes. Printable text is returned unchanged.
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

// printableError replaces the text of an error by its printable form.
type printableError struct {
	text string
	err  error
}

func (e *printableError) Error() string { return e.text }
func (e *printableError) Unwrap() error { return e.err }
