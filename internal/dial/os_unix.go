//go:build !windows && !plan9

package dial

import (
	"errors"
	"syscall"
)

// isRefused tells that a server has refused a connection.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
