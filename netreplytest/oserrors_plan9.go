package netreplytest

import "syscall"

// Errors of Plan 9, which has texts for them.
var (
	errRefused     = syscall.NewError("connection refused")
	errReset       = syscall.NewError("connection reset")
	errBrokenPipe  = syscall.NewError("i/o on hungup channel")
	errUnreachable = syscall.NewError("network unreachable")
	errNoAddress   = syscall.NewError("cannot assign requested address")
	errTimedOut    = syscall.NewError("connection timed out")
	errNotAllowed  = syscall.NewError("permission denied")
)
