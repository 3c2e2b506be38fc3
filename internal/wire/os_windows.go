package wire

import (
	"errors"
	"syscall"
)

const wsaECONNABORTED = syscall.Errno(10053)

func isReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaECONNABORTED)
}
