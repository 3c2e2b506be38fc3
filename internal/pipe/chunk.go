package pipe

import "sync"

// Sizes of chunks. A small body gets a chunk of exactly its length, which the reader may
// keep, and so does a larger one that nobody reads before its end.
const (
	firstChunk = 8 << 10   // for a body of unknown length
	midChunk   = 32 << 10  // pooled
	largeChunk = 512 << 10 // pooled; larger ones are not faster
	keepChunk  = 64 << 10  // bodies up to this length get an exact chunk
	wholeChunk = 1 << 20   // likewise, for bodies that are read at their end
)

var (
	midChunks   = sync.Pool{New: func() any { return new([midChunk]byte) }}
	largeChunks = sync.Pool{New: func() any { return new([largeChunk]byte) }}
)

// growing are the sizes of the chunks of a body of unknown length; the last one is that of all others.
var growing = [...]int64{firstChunk, midChunk, largeChunk}

// chunk is a piece of the body: data[r:w] is unread, and data[w:] is free.
type chunk struct {
	data []byte // nil if the chunk is not in use
	next *chunk
	r, w int32
}

// isPooled reports whether memory of a size is from a pool.
func isPooled(size int) bool { return size == midChunk || size == largeChunk }

// spare is w of a chunk whose memory is for the next body, and not in use.
const spare = -1

func (c *chunk) isSpare() bool { return c.w == spare }

func (c *chunk) alloc(size int) {
	switch size {
	case midChunk:
		*c = chunk{data: midChunks.Get().(*[midChunk]byte)[:]}
	case largeChunk:
		*c = chunk{data: largeChunks.Get().(*[largeChunk]byte)[:]}
	default:
		*c = chunk{data: make([]byte, size)}
	}
}

func (c *chunk) free() {
	switch len(c.data) {
	case midChunk:
		midChunks.Put((*[midChunk]byte)(c.data))
	case largeChunk:
		largeChunks.Put((*[largeChunk]byte)(c.data))
	}
	c.data = nil
}

// The caller of the following functions holds the lock.

// full reports whether the producer has to wait for the reader.
func (p *Pipe) full() bool { return p.limit > 0 && p.unread >= p.limit }

// mustDrain reports whether All has to take bytes before the end of the body, to make room.
func (p *Pipe) mustDrain() bool {
	switch {
	case p.limit == 0 || p.unread == 0:
		return false
	case p.full():
		return !p.whole || int(p.tail.w) < len(p.tail.data) // otherwise nothing more comes
	}
	return p.unread >= p.limit/2 && !p.whole
}

// space returns free space for the producer's next bytes. left is the number of bytes to
// come, -1 if unknown.
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
		size := int(p.chunkSize(left))
		switch c = &p.first; {
		case c.isSpare() && size <= cap(c.data) && !isPooled(size):
			*c = chunk{data: c.data[:size]}
		case c.data != nil && !c.isSpare():
			c = new(chunk)
			fallthrough
		default:
			c.alloc(size)
		}
		p.add(c)
	}
	p.filling = true
	space := c.data[c.w:]
	p.whole = left >= 0 && int64(len(space)) >= left
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

// chunkSize returns the size of the next chunk. For a body of unknown length the sizes
// grow.
func (p *Pipe) chunkSize(left int64) int64 {
	switch {
	case left > keepChunk && (left > wholeChunk || !p.readAtEnd() || p.limit > 0 && left > p.limit-p.unread):
		return largeChunk
	case left > 0:
		return left
	}
	size := growing[p.grown]
	p.grown = min(p.grown+1, uint8(len(growing)-1))
	return size
}

// readAtEnd reports whether the body seems to be read at its end only.
func (p *Pipe) readAtEnd() bool { return p.draining > 0 || p.limit == 0 && !p.readerWaits }

// putBack adds bytes to the empty queue that a WriteTo has read directly from the body.
func (p *Pipe) putBack(b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	c := new(chunk)
	c.alloc(len(b))
	c.w = int32(copy(c.data, b))
	p.add(c)
	p.unread += int64(len(b))
	p.whole = false
}

// next returns the unread bytes of the first chunk that has any. The reader must not be
// writing.
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
		p.free(c)
	}
	return nil
}

// consume removes the first n bytes that next has returned.
func (p *Pipe) consume(n int) {
	if !p.closed {
		full := p.full()
		p.head.r += int32(n)
		p.unread -= int64(n)
		if full && !p.full() {
			p.wake()
		}
	}
	p.release()
}

// take returns all unread bytes, nil if there are none. It does not copy them if they are
// in one chunk that can be given away and would not waste most of its memory.
func (p *Pipe) take() []byte {
	if p.unread == 0 || p.writing {
		return nil
	}
	p.next()
	c := p.head
	if c == p.tail && !isPooled(len(c.data)) && c.r == 0 && int(c.w) > cap(c.data)/2 && (p.stopped || int(c.w) == len(c.data)) {
		all := c.data[:c.w:c.w]
		c.data = nil
		p.head, p.tail = nil, nil
		full := p.full()
		p.unread = 0
		if full {
			p.wake()
		}
		return all
	}
	return p.takeInto(make([]byte, 0, p.unread))
}

// takeInto appends all unread bytes.
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

// release frees the chunks after the end of the body, when all bytes were read or dropped
// and neither side is using a chunk without the lock.
func (p *Pipe) release() {
	if !p.stopped || p.unread > 0 || p.filling || p.writing {
		return
	}
	for c := p.head; c != nil; {
		next := c.next
		p.free(c)
		c = next
	}
	p.head, p.tail = nil, nil
}

// free frees a chunk. The first one of a pipe that is renewed is kept for the next body.
func (p *Pipe) free(c *chunk) {
	if p.renews && c == &p.first && !isPooled(len(c.data)) && c.data != nil && cap(c.data) <= keepChunk {
		*c = chunk{data: c.data, w: spare}
		return
	}
	c.free()
}
