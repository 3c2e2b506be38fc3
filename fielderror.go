package netreply

import (
	"fmt"
	"reflect"
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// FieldError names the field of a Config or a Request that is invalid.
type FieldError struct {
	Field  string // name of the field
	Value  string // its value; empty if it may be a secret
	Reason string // why it is invalid; may be empty
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

// Reasons that several checks share.
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

// wrongType says which type a value must have.
func wrongType[T any](value any) string {
	return fmt.Sprintf("the value must be of type %v, not %T", reflect.TypeFor[T](), value)
}
