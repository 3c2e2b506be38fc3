//go:build unix

package scheme

import "syscall"

// withoutBlocking opens without waiting for the other end of a pipe, and without making a
// terminal that of the process.
const withoutBlocking = syscall.O_NONBLOCK | syscall.O_NOCTTY
