//go:build !unix

package wire

import "syscall"

// Elsewhere the reader in the background has to notice.
func (*pendingCheck) open(syscall.Conn) {}
