//go:build !linux

package server

import "net"

// reserve finds a free port: connections are refused unless another process takes it.
func reserve() (fd, port int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1, 0, err
	}
	return -1, l.Addr().(*net.TCPAddr).Port, l.Close()
}

func release(int) {}
