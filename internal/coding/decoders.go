package coding

import (
	"bufio"
	"cmp"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// decoder is a pooled decoder.
type decoder interface {
	io.Reader
	// release returns it to its pool.
	release()
}

// newDecoder returns a decoder for the buffered source of a layer, which has at least one
// byte.
func newDecoder(l *layer) (decoder, error) {
	switch l.name {
	case "zstd":
		return newZstd(l.buf, &l.mem)
	case "br":
		return newBrotli(l.buf, &l.mem)
	}
	return newDeflate(l.name, l.buf, cmp.Or(l.r.limits.Header, defaultMaxHeader))
}

// deflateDecoder decodes a deflate stream in one of its three formats.
type deflateDecoder struct {
	io.Reader
	pool *sync.Pool
}

var gzips, zlibs, flates sync.Pool

// newDeflate detects the format by the first two bytes: for "deflate" some servers send a
// zlib stream (RFC 9110), others bare deflate, and some confuse gzip and deflate (rule Z5).
func newDeflate(name string, src *bufio.Reader, maxHeader int) (decoder, error) {
	head, err := src.Peek(2)
	if len(head) < 2 && err != io.EOF {
		return nil, err
	}
	switch {
	case len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b:
		z, _ := gzips.Get().(*gzipReader)
		if z == nil {
			z = new(gzipReader)
		}
		return &deflateDecoder{z, &gzips}, z.reset(src, maxHeader)
	case len(head) == 2 && head[0]&15 == 8 && head[0]>>4 <= 7 && (int(head[0])<<8|int(head[1]))%31 == 0:
		z, _ := zlibs.Get().(io.ReadCloser)
		if z == nil {
			z, err = zlib.NewReader(src)
		} else {
			err = z.(zlib.Resetter).Reset(src, nil)
		}
		if z == nil {
			return nil, err
		}
		return &deflateDecoder{z, &zlibs}, err
	case name == "gzip":
		if len(head) == 1 && head[0] == 0x1f {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, ErrFormat
	}
	f, _ := flates.Get().(io.ReadCloser)
	if f == nil {
		f = flate.NewReader(src)
	} else {
		err = f.(flate.Resetter).Reset(src, nil)
	}
	return &deflateDecoder{f, &flates}, err
}

func (d *deflateDecoder) release() { d.pool.Put(d.Reader) }
