package wire

import "sync"

// h1Buffers is what an HTTP/1 connection needs during an exchange. An idle connection has
// none.
type h1Buffers struct {
	tap headTap // checks what arrives
	out headWriter

	in       *[readBuffer]byte // bytes from the connection; nil if there are none
	lo, hi   int               // in[lo:hi] is unread
	borrowed bool
}

// unread returns the unread bytes.
func (b *h1Buffers) unread() []byte {
	if b.in == nil {
		return nil
	}
	return b.in[b.lo:b.hi]
}

// inputs are buffers for bytes from connections. Who waits for a response has none.
var inputs = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// space returns the input buffer, which has no unread bytes.
func (b *h1Buffers) space() []byte {
	if b.in == nil {
		b.in = inputs.Get().(*[readBuffer]byte)
	}
	b.lo, b.hi = 0, 0
	return b.in[:]
}

// dropInput gives the input buffer back.
func (b *h1Buffers) dropInput() {
	if b.in != nil {
		inputs.Put(b.in)
		b.in = nil
	}
	b.lo, b.hi = 0, 0
}

var h1BufferPool = sync.Pool{New: func() any { return new(h1Buffers) }}

// borrowBuffers returns buffers for an exchange; headLimit is the limit of all heads.
func borrowBuffers(headLimit int64, method string, lenient bool) *h1Buffers {
	b := h1BufferPool.Get().(*h1Buffers)
	b.borrowed = true
	b.tap.limit = int(headLimit)
	b.tap.reset(method)
	b.tap.pauses, b.tap.lenient, b.tap.chunks.lenient = true, lenient, lenient
	return b
}

// giveBack ends the use of the buffers.
func (b *h1Buffers) giveBack() {
	if !b.borrowed {
		panic("wire: buffers given back twice")
	}
	b.borrowed = false
	b.out.reset()
	b.dropInput()
	h1BufferPool.Put(b)
}
