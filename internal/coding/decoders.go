package coding

import (
	"bufio"
	"cmp"
	"io"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// decoder is a pooled decoder at work.
type decoder interface {
	io.Reader
	// release gives it back to its pool.
	release()
}

// newDecoder starts to decode src, which has at least one byte.
func newDecoder(name string, src *bufio.Reader, limits Limits) (decoder, error) {
	switch name {
	case "zstd":
		return newZstd(src)
	case "br":
		return newBrotli(src)
	}
	return newDeflate(name, src, cmp.Or(limits.Header, defaultMaxHeader))
}

// maxWindow is the largest zstd window that a client has to take (RFC 9659).
const maxWindow = 8 << 20

type zstdDecoder struct{ *zstd.Decoder }

var zstds sync.Pool

func newZstd(src io.Reader) (decoder, error) {
	d, _ := zstds.Get().(*zstd.Decoder)
	if d == nil {
		var err error
		// no goroutines, and a history of little more than the window
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow)); err != nil {
			return nil, err
		}
	}
	return zstdDecoder{d}, d.Reset(src)
}

func (d zstdDecoder) release() {
	if d.Reset(nil) == nil {
		zstds.Put(d.Decoder)
	}
}

type brotliDecoder struct{ *brotli.Reader }

var brotlis = sync.Pool{New: func() any { return brotli.NewReader(nil) }}

func newBrotli(src io.Reader) (decoder, error) {
	d := brotlis.Get().(*brotli.Reader)
	return brotliDecoder{d}, d.Reset(src)
}

func (d brotliDecoder) release() {
	d.Reset(nil)
	brotlis.Put(d.Reader)
}

// Read tells data behind the end, which the decoder knows only as a text.
func (d brotliDecoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && strings.HasSuffix(err.Error(), "excessive input") {
		err = ErrTrailing
	}
	return n, err
}

// deflateDecoder decodes what deflate made, in one of its three wrappings.
type deflateDecoder struct {
	io.Reader
	pool *sync.Pool
}

var gzips, zlibs, flates sync.Pool

// newDeflate looks at the first two bytes: servers disagree about what "deflate"
// is, a zlib stream (RFC 9110) or bare, and some send one of gzip and deflate and say
// the other (rule Z5).
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
