//go:build !linux

package wire

import "syscall"

func untaken(syscall.Conn) int { return -1 }
