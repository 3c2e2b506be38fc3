//go:build !linux

package wire

import "net"

// lowat needs SO_RCVLOWAT with the meaning Linux gives it.
type lowat struct{}

func newLowat(net.Conn, int64) *lowat { return nil }
func (*lowat) read(int, int64)        {}
func (*lowat) end()                   {}
