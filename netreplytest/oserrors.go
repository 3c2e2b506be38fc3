//go:build !plan9

package netreplytest

import "syscall"

// Errors of an operating system, as a connection reports them.
const (
	errRefused     = syscall.ECONNREFUSED
	errReset       = syscall.ECONNRESET
	errBrokenPipe  = syscall.EPIPE
	errUnreachable = syscall.ENETUNREACH
	errNoAddress   = syscall.EADDRNOTAVAIL
	errTimedOut    = syscall.ETIMEDOUT
	errNotAllowed  = syscall.EACCES
)
