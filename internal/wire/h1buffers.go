package wire

import (
	"bufio"
	"sync"
)

// h1Buffers is what an HTTP/1 connection needs during an exchange. An idle connection has
// none.
type h1Buffers struct {
	tap headTap // checks what arrives
	out headWriter

	in       [readBuffer]byte // what was read beyond a head
	lo, hi   int              // in[lo:hi] is unread
	head     int              // how much of tap.head net/http was given
	br       bufio.Reader     // for net/http's parser; its source is the exchange
	borrowed bool
}

var h1BufferPool = sync.Pool{New: func() any {
	b := new(h1Buffers)
	b.br = *bufio.NewReaderSize(nil, readBuffer)
	return b
}}

// borrowBuffers returns buffers for an exchange; headLimit is the limit of all heads.
func borrowBuffers(headLimit int64, method string) *h1Buffers {
	b := h1BufferPool.Get().(*h1Buffers)
	b.borrowed = true
	b.tap.limit = int(headLimit)
	b.tap.reset(method)
	b.tap.pauses = true
	b.lo, b.hi, b.head = 0, 0, 0
	return b
}

// giveBack ends the use of the buffers.
func (b *h1Buffers) giveBack() {
	if !b.borrowed {
		panic("wire: buffers given back twice")
	}
	b.borrowed = false
	b.br.Reset(nil)
	b.out.reset()
	h1BufferPool.Put(b)
}
