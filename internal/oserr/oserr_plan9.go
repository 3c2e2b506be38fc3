package oserr

import "syscall"

func kindOf(err error) Kind {
	if text, ok := err.(syscall.ErrorString); ok {
		return plan9[string(text)]
	}
	return Other
}
