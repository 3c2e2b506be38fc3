//go:build !linux

package wire

import "syscall"

func unacked(syscall.Conn) int { return -1 }
