package netreply

import (
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// FieldError names the part of a Config or a Request that cannot be used.
type FieldError struct {
	Field  string // what was wrong
	Value  string // its value; empty for what may be a secret
	Reason string // why; may be empty
}

func (e *FieldError) Error() string {
	s := "invalid " + e.Field
	if e.Value != "" {
		s += " " + quote(e.Value)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// What is wrong with a value.
const (
	required   = "required"
	noConstant = "must be one of the constants of type "
	noQuestion = "must be a combination of the constants of type QuestionKinds"
)

// validToken reports whether s is a token of RFC 9110, section 5.6.2.
func validToken(s string) bool {
	return s != "" && httpguts.ValidHeaderFieldName(s)
}

func quote(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.Quote(s)
}
