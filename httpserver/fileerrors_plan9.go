package httpserver

import "syscall"

// systemError is the type of the operating system's errors.
type systemError = syscall.ErrorString

// noSuchName is empty: such errors have no numbers here, and most of them are fs.ErrNotExist.
var noSuchName []error
