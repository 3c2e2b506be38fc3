package coding

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// defaultMaxHeader is the default of Limits.Header.
const defaultMaxHeader = 256 << 10

// gzipReader decodes gzip (RFC 1952): a series of members, possibly followed by zeros, as
// tape archivers pad their files. Package gzip refuses names and comments of more than 511
// bytes, and cannot report what follows the last member.
type gzipReader struct {
	src       *bufio.Reader
	maxHeader int
	flate     io.ReadCloser
	header    gzipHeader
	ended     bool // at the end of a member's data, before its trailer
	sum, size uint32
}

// reset reads the header of the first member.
func (z *gzipReader) reset(src *bufio.Reader, maxHeader int) error {
	z.src, z.maxHeader = src, maxHeader
	return z.member()
}

func (z *gzipReader) Read(p []byte) (int, error) {
	for {
		if z.ended {
			if err := z.trailer(); err != nil {
				return 0, err
			}
			if err := z.follows(); err != nil {
				return 0, err
			}
			if err := z.member(); err != nil {
				return 0, err
			}
		}
		n, err := z.flate.Read(p)
		z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:n])
		z.size += uint32(n)
		if err == io.EOF {
			z.ended, err = true, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// member reads a header and prepares for the data after it.
func (z *gzipReader) member() error {
	z.header = gzipHeader{src: z.src, left: z.maxHeader}
	if err := z.header.read(); err != nil {
		if errors.Is(err, errHeaderTooLong) {
			return fmt.Errorf("%w than %d bytes", err, z.maxHeader)
		}
		return unexpectedEOF(err)
	}
	z.ended, z.sum, z.size = false, 0, 0
	if z.flate == nil {
		z.flate = flate.NewReader(z.src)
		return nil
	}
	return z.flate.(flate.Resetter).Reset(z.src, nil)
}

func (z *gzipReader) trailer() error {
	b, err := z.src.Peek(8)
	if err != nil {
		return unexpectedEOF(err)
	}
	if le32(b[:4]) != z.sum || le32(b[4:]) != z.size {
		return errChecksum
	}
	z.src.Discard(8)
	return nil
}

// follows returns nil if there is another member, and io.EOF if only zeros are left.
func (z *gzipReader) follows() error {
	padded := false
	for {
		head, err := z.src.Peek(2)
		switch {
		case len(head) == 0:
			return err
		case head[0] == 0:
			padded = true
			z.src.Discard(1)
		case padded || head[0] != 0x1f:
			return ErrTrailing
		case len(head) < 2:
			return unexpectedEOF(err)
		case head[1] != 0x8b:
			return ErrTrailing
		default:
			return nil
		}
	}
}

// gzipHeader parses and skips a header.
type gzipHeader struct {
	src  *bufio.Reader
	left int
	sum  uint32
	last [1]byte // the last byte, for sum
}

func (h *gzipHeader) read() error {
	var fixed [10]byte
	for i := range fixed {
		var err error
		if fixed[i], err = h.next(); err != nil {
			return err
		}
	}
	const checksum, extra, name, comment, reserved = 2, 4, 8, 16, 0xe0
	flags := fixed[3]
	if fixed[2] != 8 || flags&reserved != 0 {
		return ErrFormat
	}
	if flags&extra != 0 {
		low, err := h.next()
		if err != nil {
			return err
		}
		high, err := h.next()
		if err != nil {
			return err
		}
		for range int(low) | int(high)<<8 {
			if _, err := h.next(); err != nil {
				return err
			}
		}
	}
	for _, flag := range [...]byte{name, comment} {
		for text := flags&flag != 0; text; {
			b, err := h.next()
			if err != nil {
				return err
			}
			text = b != 0
		}
	}
	if flags&checksum != 0 {
		want := uint16(h.sum)
		low, err := h.next()
		if err != nil {
			return err
		}
		high, err := h.next()
		if err != nil {
			return err
		}
		if uint16(low)|uint16(high)<<8 != want {
			return errChecksum
		}
	}
	return nil
}

func (h *gzipHeader) next() (byte, error) {
	if h.left == 0 {
		return 0, errHeaderTooLong
	}
	h.left--
	b, err := h.src.ReadByte()
	if err == nil {
		h.last[0] = b
		h.sum = crc32.Update(h.sum, crc32.IEEETable, h.last[:])
	}
	return b, err
}

// unexpectedEOF converts io.EOF in the middle of the data to io.ErrUnexpectedEOF.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
