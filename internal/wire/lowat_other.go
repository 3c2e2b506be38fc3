//go:build !linux

package wire

import "net"

// lowat does nothing: only Linux has SO_RCVLOWAT with the needed meaning.
type lowat struct{}

func newLowat(net.Conn, int64) *lowat { return nil }
func (*lowat) read(int, int64)        {}
func (*lowat) end()                   {}
