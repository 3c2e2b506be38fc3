package cacheentry

import (
	"encoding/binary"
	"hash/crc32"
)

// WithSum replaces the last four bytes by the checksum of those before.
func WithSum(b []byte) []byte {
	b = b[:max(0, len(b)-4)]
	return binary.BigEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, castagnoli))
}
