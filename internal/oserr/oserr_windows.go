package oserr

import "syscall"

func kindOf(err error) Kind {
	errno, ok := err.(syscall.Errno)
	if !ok {
		return Other
	}
	switch errno {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return Reset // from a Config.DialContext, or a test
	case syscall.ECONNREFUSED:
		return Refused
	case syscall.ENETDOWN, syscall.ENETUNREACH:
		return Unreachable
	case syscall.EADDRNOTAVAIL:
		return NoAddress
	case syscall.ETIMEDOUT:
		return TimedOut
	}
	return winsock[uintptr(errno)]
}
