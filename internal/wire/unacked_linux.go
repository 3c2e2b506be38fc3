package wire

import (
	"syscall"
	"unsafe"
)

// unacked returns the number of bytes that the peer has not acknowledged (SIOCOUTQ,
// tcp(7)).
func unacked(sc syscall.Conn) int {
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1
	}
	n := int32(-1)
	raw.Control(func(fd uintptr) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
			n = -1
		}
	})
	return int(n)
}
