package server

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/netreply/netreply/internal/conformance/scenario"
)

// encode makes the compressed body of e. br and zstd use stored blocks only,
// which every decoder must accept.
func encode(e *scenario.Enc) ([]byte, error) {
	data := scenario.Gen(e.Size)
	if e.Zeros {
		data = make([]byte, e.Size)
	}
	if e.Text != "" {
		data = []byte(e.Text)
	}
	var buf bytes.Buffer
	switch strings.ToLower(e.Coding) {
	case "gzip", "x-gzip":
		w := gzip.NewWriter(&buf)
		w.Write(data)
		w.Close()
	case "deflate":
		w := zlib.NewWriter(&buf)
		w.Write(data)
		w.Close()
	case "rawdeflate":
		w, _ := flate.NewWriter(&buf, flate.BestCompression)
		w.Write(data)
		w.Close()
	case "br":
		return brotliStored(data), nil
	case "zstd":
		return zstdStored(data), nil
	case "identity", "":
		return data, nil
	default:
		return nil, fmt.Errorf("unknown coding %q", e.Coding)
	}
	return buf.Bytes(), nil
}

// brotliStored: window bits 16 (one 0 bit), then uncompressed meta-blocks of
// up to 64 KiB, then an empty last one (RFC 7932, 9.2).
func brotliStored(data []byte) []byte {
	var out []byte
	var acc uint64
	var n uint
	put := func(v uint64, bits uint) {
		acc |= v << n
		n += bits
		for n >= 8 {
			out = append(out, byte(acc))
			acc >>= 8
			n -= 8
		}
	}
	align := func() {
		if n > 0 {
			put(0, 8-n)
		}
	}
	put(0, 1)
	for len(data) > 0 {
		k := min(len(data), 1<<16)
		put(0, 1)            // not last
		put(0, 2)            // four length nibbles
		put(uint64(k-1), 16) // length - 1
		put(1, 1)            // uncompressed
		align()
		out = append(out, data[:k]...)
		data = data[k:]
	}
	put(3, 2) // last, empty
	align()
	return out
}

// zstdStored: one frame of raw blocks (RFC 8878, 3.1).
func zstdStored(data []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	out = append(out, 0, 7<<3) // no content size, window 2^17
	for {
		k := min(len(data), 1<<16)
		last := uint32(0)
		if k == len(data) {
			last = 1
		}
		h := last | uint32(k)<<3
		out = append(out, byte(h), byte(h>>8), byte(h>>16))
		out = append(out, data[:k]...)
		data = data[k:]
		if last == 1 {
			return out
		}
	}
}
