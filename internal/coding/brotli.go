package coding

import (
	"bufio"
	"io"
	"math/bits"
	"reflect"
	"strings"

	"github.com/andybalholm/brotli"
)

// brotliDecoder decodes br. The window size is at the start of a stream, but the decoder's
// memory also depends on the headers of later blocks: their length, up to 16 MiB, and their
// number of codes. Therefore the memory is measured after every Read, and before every wait
// for the peer.
type brotliDecoder struct {
	*brotli.Reader
	src *bufio.Reader
	mem *memory
}

func newBrotli(src *bufio.Reader, mem *memory) (decoder, error) {
	head, _ := src.Peek(min(src.Buffered(), 8))
	need := brotliHeader(head)
	d, _ := mem.r.limits.Memory.brotlis.of(max(need, uncounted)).Get().(*brotliDecoder)
	if d == nil {
		d = &brotliDecoder{Reader: brotli.NewReader(nil)}
	}
	d.src, d.mem = src, mem
	if err := mem.atLeast(max(need, brotliMemory(d.Reader))); err != nil {
		return d, err
	}
	return d, d.Reset(brotliSource{d})
}

func (d *brotliDecoder) release() {
	mem := d.mem
	d.Reset(nil)
	d.src, d.mem = nil, nil
	if mem.err == nil { // otherwise it has exceeded its memory
		mem.r.limits.Memory.brotlis.of(max(brotliMemory(d.Reader), uncounted)).Put(d)
	}
}

func (d *brotliDecoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err == nil {
		err = d.measure()
	}
	// trailing data is reported only by text
	if err != nil && strings.HasSuffix(err.Error(), "excessive input") {
		err = ErrTrailing
	}
	return n, err
}

func (d *brotliDecoder) measure() error { return d.mem.atLeast(brotliMemory(d.Reader)) }

// brotliSource measures the memory before it waits for the peer.
type brotliSource struct{ d *brotliDecoder }

func (s brotliSource) Read(p []byte) (int, error) {
	if err := s.d.measure(); err != nil {
		return 0, err
	}
	return s.d.src.Read(p)
}

// brotliHeader returns what the decoder allocates for the first block of a stream (RFC
// 7932, sections 9.1 and 9.2): the length of the block, up to the window. It is 0 if head
// is too short.
func brotliHeader(head []byte) int64 {
	if len(head) < 5 {
		return 0
	}
	var all uint64
	for i, b := range head {
		all |= uint64(b) << (8 * i)
	}
	take := func(n int) int {
		v := int(all & (1<<n - 1))
		all >>= n
		return v
	}
	wbits := 16
	if take(1) != 0 {
		if n := take(3); n != 0 {
			wbits = 17 + n
		} else if n = take(3); n != 0 {
			wbits = 8 + n
		} else {
			wbits = 17
		}
	}
	if last := take(1) != 0; last && take(1) != 0 {
		return 0
	}
	nibbles := take(2)
	if nibbles == 3 { // a metadata block
		return 0
	}
	length := take(16+4*nibbles) + 1
	return int64(1) << min(wbits, bits.Len(uint(length-1)))
}

// brotliSlices are the slices in the decoder's state, with their element sizes. The package
// does not report what it allocates.
var brotliSlices = slicesOf(reflect.TypeFor[brotli.Reader](), nil)

type sliceField struct {
	index []int
	size  int64
}

func slicesOf(t reflect.Type, at []int) []sliceField {
	var list []sliceField
	for i := range t.NumField() {
		index := append(at[:len(at):len(at)], i)
		switch f := t.Field(i).Type; f.Kind() {
		case reflect.Struct:
			list = append(list, slicesOf(f, index)...)
		case reflect.Slice:
			list = append(list, sliceField{index, int64(f.Elem().Size())})
		}
	}
	return list
}

// brotliMemory returns the memory in the decoder's slices. Several of them share an array
// and its end: it is counted once, with the longest slice.
func brotliMemory(r *brotli.Reader) int64 {
	var ends [64]uintptr
	var sizes [64]int64
	n := 0
	v := reflect.ValueOf(r).Elem()
next:
	for _, f := range brotliSlices {
		s := v.FieldByIndex(f.index)
		size := int64(s.Cap()) * f.size
		if size == 0 {
			continue
		}
		end := s.Pointer() + uintptr(size)
		for i := range n {
			if ends[i] == end {
				sizes[i] = max(sizes[i], size)
				continue next
			}
		}
		if n < len(ends) {
			ends[n], sizes[n] = end, size
			n++
		}
	}
	total := int64(0)
	for _, size := range sizes[:n] {
		total += size
	}
	return total
}

var _ io.Reader = brotliSource{}
