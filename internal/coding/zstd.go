package coding

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest zstd window that a client must accept (RFC 9659).
const maxWindow = 8 << 20

// zstdDecoder decodes zstd. Package zstd allocates the whole window at the start of a
// frame, so the frame headers are parsed here first.
type zstdDecoder struct {
	*zstd.Decoder
	maxUsed int64 // the maximum memory of all frames so far, which it keeps
	mem     *memory
	frames  zstdFrames
}

func newZstd(src *bufio.Reader, mem *memory) (decoder, error) {
	need := zstdNeed(src)
	d, _ := mem.r.limits.Memory.zstds.of(need).Get().(*zstdDecoder)
	if d == nil {
		// without goroutines, and with a history of little more than the window
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		d = &zstdDecoder{Decoder: z}
	}
	d.mem = mem
	d.frames = zstdFrames{src: src, mem: mem, want: 4, reserve: d.reserve}
	if err := d.reserve(need); err != nil {
		return d, err
	}
	return d, d.Reset(&d.frames)
}

func (d *zstdDecoder) reserve(need int64) error {
	need = max(need, d.maxUsed)
	if err := d.mem.atLeast(need); err != nil {
		return err
	}
	d.maxUsed = need
	return nil
}

func (d *zstdDecoder) release() {
	spare := d.mem.r.limits.Memory.zstds.of(d.maxUsed)
	d.frames, d.mem = zstdFrames{}, nil
	if d.Reset(nil) == nil {
		spare.Put(d)
	}
}

// zstdMemory returns what package zstd allocates for a window: the window, two more blocks,
// and the parts of a block.
func zstdMemory(window int64) int64 {
	window = min(window, maxWindow)
	return window + 5*min(window, 128<<10) + 64<<10
}

// zstdNeed returns the memory for the first frame, according to the buffered bytes, without
// waiting for more.
func zstdNeed(src *bufio.Reader) int64 {
	head, _ := src.Peek(min(src.Buffered(), zstd.HeaderMaxSize))
	var need int64
	f := zstdFrames{want: 4, reserve: func(n int64) error { need = n; return nil }}
	f.scan(head)
	return max(need, zstdMemory(0))
}

// zstdFrames parses the frames of a stream (RFC 8878, section 3.1) that is read through it.
// Invalid data passes: the decoder reports the error.
type zstdFrames struct {
	src     io.Reader
	mem     *memory
	reserve func(int64) error // called with the memory for the next frame, before the decoder gets its header
	state   zstdState
	head    [18]byte // the first n bytes of a frame or block header
	n, want int
	skip    int64 // bytes before the next header
	sum     int64 // length of the checksum after the frame
}

type zstdState uint8

const (
	zstdMagic zstdState = iota
	zstdSkippable
	zstdDescriptor
	zstdHeader
	zstdBlock
)

func (f *zstdFrames) Read(p []byte) (int, error) {
	n, err := f.src.Read(p)
	f.mem.received()
	if refused := f.scan(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

func (f *zstdFrames) scan(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(p)))
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.n:f.want], p)
		f.n += n
		p = p[n:]
		if f.n == f.want {
			if err := f.step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step processes the header, of which want bytes are complete.
func (f *zstdFrames) step() error {
	next := func(s zstdState, want int) { f.state, f.n, f.want = s, 0, want }
	switch h := f.head[:f.n]; f.state {
	case zstdMagic:
		switch magic := binary.LittleEndian.Uint32(h); {
		case magic == 0xfd2fb528:
			f.state, f.want = zstdDescriptor, 5
		case magic&^15 == 0x184d2a50:
			next(zstdSkippable, 4)
		default:
			f.skip = math.MaxInt64
		}
	case zstdSkippable:
		f.skip = int64(binary.LittleEndian.Uint32(h))
		next(zstdMagic, 4)
	case zstdDescriptor:
		f.state, f.want = zstdHeader, 5+zstdHeaderSize(h[4])
	case zstdHeader:
		f.sum = int64(h[4]>>2&1) * 4
		next(zstdBlock, 3)
		return f.reserve(zstdMemory(zstdWindow(h[4], h[5:])))
	case zstdBlock:
		b := uint32(h[0]) | uint32(h[1])<<8 | uint32(h[2])<<16
		f.skip = int64(b >> 3)
		if b>>1&3 == 1 { // an RLE block: one byte
			f.skip = 1
		}
		next(zstdBlock, 3)
		if b&1 != 0 {
			f.skip += f.sum
			next(zstdMagic, 4)
		}
	}
	return nil
}

// zstdHeaderSize is the size of a frame header after its descriptor.
func zstdHeaderSize(descriptor byte) int {
	single := int(descriptor >> 5 & 1)
	content := [...]int{single, 2, 4, 8}[descriptor>>6]
	dictionary := [...]int{0, 1, 2, 4}[descriptor&3]
	return 1 - single + dictionary + content
}

// zstdWindow is the window size of a frame; rest is the header after the descriptor.
func zstdWindow(descriptor byte, rest []byte) int64 {
	if descriptor>>5&1 == 0 {
		base := int64(1) << (10 + rest[0]>>3)
		return base + base/8*int64(rest[0]&7)
	}
	var b [8]byte
	n := copy(b[:], rest[[...]int{0, 1, 2, 4}[descriptor&3]:])
	size := binary.LittleEndian.Uint64(b[:])
	if n == 2 {
		size += 256
	}
	return int64(min(size, maxWindow+1))
}
