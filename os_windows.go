package netreply

import (
	"errors"
	"syscall"
)

// wsaECONNREFUSED is what Windows reports; syscall.ECONNREFUSED is a number of
// Go's own there.
const wsaECONNREFUSED = syscall.Errno(10061)

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaECONNREFUSED)
}
