//go:build !windows && !plan9

package oserr

import "syscall"

func kindOf(err error) Kind {
	errno, ok := err.(syscall.Errno)
	if !ok {
		return Other
	}
	switch errno {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENETRESET:
		return Reset
	case syscall.ECONNREFUSED:
		return Refused
	case syscall.ENETDOWN, syscall.ENETUNREACH:
		return Unreachable
	case syscall.EADDRNOTAVAIL:
		return NoAddress
	case syscall.ETIMEDOUT:
		return TimedOut
	}
	return Other
}
