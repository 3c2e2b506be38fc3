package netreply

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// attributeValues are the attributes that a Backend has set, before they are shown.
type attributeValues struct {
	status         int // 0 for none
	reason         string
	target         *url.URL // of a redirect; nil for none
	originalLength *int64
	secure, http2  *bool
	user           map[any]any // by the key of a UserAttribute
}

// isSet reports whether an attribute was set that the head shows.
func (v *attributeValues) isSet() bool {
	return v.status != 0 || v.reason != "" || v.target != nil || v.originalLength != nil || v.secure != nil || v.http2 != nil
}

// setStatus sets HTTPStatusCode. Interim statuses have a signal of their own.
func (v *attributeValues) setStatus(code int) (reason string) {
	if code < 200 || code > 999 {
		return strconv.Itoa(code) + " is not the status of a final response"
	}
	v.status = code
	return ""
}

func (v *attributeValues) setReason(phrase string) (reason string) {
	if strings.IndexFunc(phrase, unicode.IsControl) >= 0 {
		return "a reason phrase has no control characters"
	}
	v.reason = phrase
	return ""
}

func (v *attributeValues) setTarget(target *url.URL) (reason string) {
	if target == nil {
		return "a nil URL"
	}
	to := *target // a copy: the program may change it
	v.target = &to
	return ""
}
