//go:build !windows && !plan9

package httpserver

import "syscall"

// systemError is the type of the operating system's errors.
type systemError = syscall.Errno

// noSuchName is what the system says of names that no file can have.
var noSuchName = []error{syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP}
