package pipe

import (
	"bytes"
	"sync"
)

// Sizes of chunks. Small bodies get a chunk of exactly their length, which the reader may keep.
const (
	firstChunk = 8 << 10   // for a body of unknown length
	midChunk   = 32 << 10  // pooled
	largeChunk = 512 << 10 // pooled; larger ones gain nothing
	keepChunk  = 64 << 10  // bodies up to this length get a chunk of their own
)

var (
	midChunks   = sync.Pool{New: func() any { return new([midChunk]byte) }}
	largeChunks = sync.Pool{New: func() any { return new([largeChunk]byte) }}
)

// chunk is a piece of the body: data[r:w] is unread, and what follows is free.
type chunk struct {
	data   []byte // nil in a chunk that is not in use
	next   *chunk
	r, w   int32
	pooled bool
}

func (c *chunk) alloc(size int) {
	switch size {
	case midChunk:
		*c = chunk{data: midChunks.Get().(*[midChunk]byte)[:], pooled: true}
	case largeChunk:
		*c = chunk{data: largeChunks.Get().(*[largeChunk]byte)[:], pooled: true}
	default:
		*c = chunk{data: make([]byte, size)}
	}
}

func (c *chunk) free() {
	if c.pooled {
		if len(c.data) == midChunk {
			midChunks.Put((*[midChunk]byte)(c.data))
		} else {
			largeChunks.Put((*[largeChunk]byte)(c.data))
		}
	}
	c.data, c.pooled = nil, false
}

// The following need the lock.

// full tells whether the producer has to wait for the reader.
func (p *Pipe) full() bool { return p.limit > 0 && p.unread >= p.limit }

// space is the free space for the producer's next bytes, of which left are missing, -1 for
// unknown.
func (p *Pipe) space(left int64) []byte {
	c := p.tail
	if c != nil {
		if c.r == c.w && int(c.w) < len(c.data) {
			c.r, c.w = 0, 0
		}
		if free := len(c.data) - int(c.w); free == 0 || free < len(c.data)/4 && int64(free) < left {
			c = nil
		}
	}
	if c == nil {
		if c = &p.first; c.data != nil {
			c = new(chunk)
		}
		c.alloc(p.chunkSize(left))
		p.add(c)
	}
	p.filling = true
	space := c.data[c.w:]
	if p.limit > 0 && int64(len(space)) > p.limit-p.unread {
		space = space[:p.limit-p.unread]
	}
	return space
}

func (p *Pipe) add(c *chunk) {
	if p.tail == nil {
		p.head = c
	} else {
		p.tail.next = c
	}
	p.tail = c
}

// chunkSize is the size of the next chunk. Those for a body of unknown length grow.
func (p *Pipe) chunkSize(left int64) int {
	switch {
	case left > keepChunk:
		return largeChunk
	case left > 0:
		return int(left)
	case p.size == 0:
		p.size = firstChunk
	case p.size < midChunk:
		p.size = midChunk
	default:
		p.size = largeChunk
	}
	return int(p.size)
}

// putBack makes bytes readable that were read past the queue, which is empty.
func (p *Pipe) putBack(b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	p.add(&chunk{data: bytes.Clone(b), w: int32(len(b))})
	p.unread += int64(len(b))
}

// next is the unread part of the first chunk that has one, for a reader that is not writing.
func (p *Pipe) next() []byte {
	for c := p.head; c != nil; c = p.head {
		if c.r < c.w {
			return c.data[c.r:c.w]
		}
		if c == p.tail && (p.filling || int(c.w) < len(c.data)) {
			return nil
		}
		if p.head = c.next; p.head == nil {
			p.tail = nil
		}
		c.free()
	}
	return nil
}

// consume takes n bytes off what next has returned.
func (p *Pipe) consume(n int) {
	if !p.closed {
		full := p.full()
		p.head.r += int32(n)
		p.unread -= int64(n)
		if full && !p.full() {
			p.changed.Broadcast()
		}
	}
	p.drain()
}

// take takes everything that is unread, nil when that is nothing, without a copy when one
// chunk has it all and can be given away.
func (p *Pipe) take() []byte {
	if p.unread == 0 || p.writing {
		return nil
	}
	p.next()
	c := p.head
	if c == p.tail && !c.pooled && c.r == 0 && (p.stopped || int(c.w) == len(c.data)) {
		all := c.data[:c.w:c.w]
		c.data = nil
		p.head, p.tail = nil, nil
		full := p.full()
		p.unread = 0
		if full {
			p.changed.Broadcast()
		}
		return all
	}
	return p.takeInto(make([]byte, 0, p.unread))
}

// takeInto appends everything that is unread.
func (p *Pipe) takeInto(all []byte) []byte {
	if p.writing {
		return all
	}
	for data := p.next(); len(data) > 0; data = p.next() {
		all = append(all, data...)
		p.consume(len(data))
	}
	return all
}

// drain gives the memory back when all has come and was read or thrown away, and nobody works
// on it without the lock.
func (p *Pipe) drain() {
	if !p.stopped || p.unread > 0 || p.filling || p.writing {
		return
	}
	for c := p.head; c != nil; c = c.next {
		c.free()
	}
	p.head, p.tail = nil, nil
}
