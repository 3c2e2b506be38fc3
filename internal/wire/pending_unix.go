//go:build unix

package wire

import "syscall"

func (p *pendingCheck) open(sc syscall.Conn) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	var b [1]byte
	p.raw = raw
	p.look = func(fd uintptr) {
		// the socket does not block: EAGAIN says that nothing is there
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		p.any = err != syscall.EAGAIN && err != syscall.EINTR
	}
}
