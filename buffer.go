package netreply

import (
	"bytes"
	"sync"
)

// Sizes of the chunks that carry a body from the connection to the reader.
// Small bodies get a chunk of exactly their length, which ReadAll may keep.
const (
	firstChunk = 8 << 10   // for a body of unknown length
	midChunk   = 32 << 10  // pooled
	largeChunk = 512 << 10 // pooled; larger ones gain nothing
	keepChunk  = 64 << 10  // bodies up to this length get a chunk of their own
)

var (
	midChunks   = sync.Pool{New: func() any { b := make([]byte, midChunk); return &b }}
	largeChunks = sync.Pool{New: func() any { b := make([]byte, largeChunk); return &b }}
)

// chunk is a piece of the body: data[r:w] is unread. The transfer appends
// behind w while it owns the last chunk.
type chunk struct {
	data   []byte
	pooled *[]byte
	r, w   int
}

func (c *chunk) alloc(size int) {
	*c = chunk{}
	switch {
	case size > keepChunk:
		c.pooled = largeChunks.Get().(*[]byte)
	case size == midChunk:
		c.pooled = midChunks.Get().(*[]byte)
	default:
		c.data = make([]byte, size)
		return
	}
	c.data = *c.pooled
}

func (c *chunk) free() {
	switch {
	case c.pooled == nil:
	case len(c.data) == largeChunk:
		largeChunks.Put(c.pooled)
	default:
		midChunks.Put(c.pooled)
	}
	c.pooled, c.data = nil, nil
}

// buffer is the queue of chunks between the transfer, which fills the last
// one, and the reader, who empties the first. The reply's lock guards it.
type buffer struct {
	chunks  []*chunk
	inline  [2]*chunk
	first   chunk // the one that most bodies do with
	used    bool
	unread  int64
	limit   int64 // 0: none
	filling bool  // the transfer writes into the last chunk now
	lent    bool  // the reader uses the first chunk now, without the lock
	dropped bool  // abandoned: nothing is kept any more
	next    int   // size of the next chunk
}

// full tells whether the transfer has to wait for the reader (rule B2).
func (b *buffer) full() bool { return b.limit > 0 && b.unread >= b.limit }

// space lends room for the next read. left is what is missing of the body, -1
// when that is not known.
func (b *buffer) space(left int64) []byte {
	var c *chunk
	if n := len(b.chunks); n > 0 {
		c = b.chunks[n-1]
		if room := len(c.data) - c.w; room == 0 || room < len(c.data)/4 && int64(room) < left {
			c = nil
		}
	}
	if c == nil {
		if len(b.chunks) == 0 {
			b.chunks = b.inline[:0]
		}
		if c = &b.first; b.used {
			c = new(chunk)
		}
		b.used = true
		c.alloc(b.size(left))
		b.chunks = append(b.chunks, c)
	}
	b.filling = true
	room := c.data[c.w:]
	if b.limit > 0 && int64(len(room)) > b.limit-b.unread {
		room = room[:b.limit-b.unread]
	}
	return room
}

func (b *buffer) size(left int64) int {
	switch {
	case left > keepChunk:
		return largeChunk
	case left > 0:
		return int(left)
	case b.next == 0:
		b.next = firstChunk
	case b.next < midChunk:
		b.next = midChunk
	default:
		b.next = largeChunk
	}
	return b.next
}

// filled takes n bytes that were read into the space.
func (b *buffer) filled(n int) {
	b.filling = false
	if b.dropped {
		b.chunks = nil
		return
	}
	b.chunks[len(b.chunks)-1].w += n
	b.unread += int64(n)
}

// giveBack keeps a copy of bytes that were read past the queue, which is empty
// then.
func (b *buffer) giveBack(p []byte) {
	if b.dropped || len(p) == 0 {
		return
	}
	b.chunks = append(b.chunks, &chunk{data: bytes.Clone(p), w: len(p)})
	b.unread += int64(len(p))
}

// head is the unread part of the first chunk that has one.
func (b *buffer) head() []byte {
	for len(b.chunks) > 0 {
		c := b.chunks[0]
		if c.r < c.w {
			return c.data[c.r:c.w]
		}
		if len(b.chunks) == 1 && (b.filling || c.w < len(c.data)) {
			return nil
		}
		c.free()
		b.chunks = b.chunks[1:]
	}
	return nil
}

// consumed takes n bytes off the head.
func (b *buffer) consumed(n int) {
	if b.dropped {
		return
	}
	b.chunks[0].r += n
	b.unread -= int64(n)
}

// whole gives everything that is unread as one slice, without a copy when one
// unpooled chunk holds it all.
func (b *buffer) whole() []byte {
	if len(b.chunks) == 1 && b.chunks[0].pooled == nil && b.chunks[0].r == 0 && !b.filling {
		c := b.chunks[0]
		b.chunks, b.unread = nil, 0
		return c.data[:c.w:c.w]
	}
	all := make([]byte, 0, b.unread)
	for {
		p := b.head()
		if len(p) == 0 {
			b.drain()
			return all
		}
		all = append(all, p...)
		b.consumed(len(p))
	}
}

// drain gives the memory back when all is read.
func (b *buffer) drain() {
	if b.unread > 0 || b.filling || b.lent {
		return
	}
	for _, c := range b.chunks {
		c.free()
	}
	b.chunks = nil
}

// drop abandons everything. Chunks that somebody works on without the lock are
// left to the collector.
func (b *buffer) drop() {
	b.dropped = true
	b.unread = 0
	if !b.filling && !b.lent {
		for _, c := range b.chunks {
			c.free()
		}
	}
	b.chunks = nil
}
