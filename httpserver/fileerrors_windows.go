package httpserver

import "syscall"

// systemError is the type of the operating system's errors.
type systemError = syscall.Errno

// noSuchName is what the system says of names that no file can have.
var noSuchName = []error{
	syscall.ENOTDIR,
	syscall.Errno(123), // ERROR_INVALID_NAME
	syscall.Errno(161), // ERROR_BAD_PATHNAME
	syscall.Errno(206), // ERROR_FILENAME_EXCED_RANGE
}
