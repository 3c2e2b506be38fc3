package oserr

import "syscall"

func kindOf(err error) Kind {
	if text, ok := err.(syscall.ErrorString); ok {
		return plan9[string(text)]
	}
	return Other
}

// plan9 are the ends of Plan 9's error texts; it has no error numbers.
var plan9 = map[string]Kind{
	"connection refused":              Refused,
	"connection reset":                Reset,
	"hungup channel":                  Reset,
	"i/o on hungup channel":           Reset,
	"network unreachable":             Unreachable,
	"no route":                        Unreachable,
	"connection timed out":            TimedOut,
	"cannot assign requested address": NoAddress,
}
