package dial

import (
	"errors"
	"syscall"
)

// wsaECONNREFUSED is what Windows reports; syscall.ECONNREFUSED is a number of Go's own
// there.
const wsaECONNREFUSED = syscall.Errno(10061)

// isRefused tells that a server has refused a connection.
func isRefused(err error) bool { return errors.Is(err, wsaECONNREFUSED) }
