package netreply

import (
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/netreply/netreply/internal/flow"
)

// joinedInMemory is the largest payload whose pieces, all in memory, become one.
const joinedInMemory = 64 << 10

// joinPayloads returns a payload that consists of pieces.
func joinPayloads(pieces []*flow.Payload) *flow.Payload {
	if joined := joinMemory(pieces); joined != nil {
		return memoryPayload(joined)
	}
	out := &flow.Payload{Rewindable: true, Owned: true} // Close closes only the pieces that are owned
	for _, p := range pieces {
		out.Rewindable = out.Rewindable && p.Rewindable
		if p.Size < 0 || out.Size < 0 {
			out.Size = -1
		} else {
			out.Size += p.Size
		}
		out.Blocks = out.Blocks || p.Blocks
		out.Shared = out.Shared || p.Shared || p.Blocks && !p.Owned
	}
	out.Open = func() (io.Reader, error) { return openPieces(pieces) }
	return out
}

// joinMemory returns the pieces as one, nil if some are not in memory or they are too large.
func joinMemory(pieces []*flow.Payload) []byte {
	var size int64
	for _, p := range pieces {
		if size += p.Size; p.Memory == nil || size > joinedInMemory {
			return nil
		}
	}
	joined := make([]byte, 0, size)
	for _, p := range pieces {
		joined = append(joined, p.Memory...)
	}
	return joined
}

// pieceReader concatenates payloads. Each is opened when the previous one has ended, and
// closed if it is owned. Close may be called during a Read, which it does not wait for.
type pieceReader struct {
	// used by Read only
	rest      []*flow.Payload
	remaining int64 // bytes of current still to be read; below 0 if unknown
	total     int64 // length of current

	mu      sync.Mutex // not held while a source is opened, read or closed
	current io.Reader  // nil between pieces
	owned   bool       // current is to be closed
	closed  bool
}

func openPieces(pieces []*flow.Payload) (*pieceReader, error) {
	r := &pieceReader{rest: pieces}
	// a source that cannot be read again must fail here, not in the middle of the body
	for i, p := range pieces {
		if p.Rewindable {
			continue
		}
		src, err := p.Open()
		if err != nil {
			return nil, err
		}
		opened := *p
		opened.Open = func() (io.Reader, error) { return src, nil }
		if &r.rest[0] == &pieces[0] {
			r.rest = slices.Clone(pieces)
		}
		r.rest[i] = &opened
	}
	return r, nil
}

func (r *pieceReader) Read(p []byte) (int, error) {
	for {
		src, err := r.source()
		if err != nil {
			return 0, err
		}
		q := p
		if r.remaining >= 0 && int64(len(q)) > r.remaining {
			q = q[:r.remaining]
		}
		var n int
		if len(q) > 0 {
			n, err = src.Read(q)
		}
		if r.remaining >= 0 {
			r.remaining -= int64(n)
		}
		ended := false
		switch {
		case err == io.EOF && r.remaining > 0:
			return n, &flow.ShortSourceError{Got: r.total - r.remaining, Want: r.total}
		case err != nil && err != io.EOF:
			return n, err
		case err == io.EOF || r.remaining == 0:
			ended = true
			if err := r.end(); err != nil {
				return n, err
			}
		}
		if n > 0 || !ended {
			return n, nil
		}
	}
}

// source returns the current piece, and opens the next one if there is none.
func (r *pieceReader) source() (io.Reader, error) {
	r.mu.Lock()
	src, closed := r.current, r.closed
	r.mu.Unlock()
	switch {
	case closed:
		return nil, fs.ErrClosed
	case src != nil:
		return src, nil
	case len(r.rest) == 0:
		return nil, io.EOF
	}
	next := r.rest[0]
	src, err := next.Open()
	if err != nil {
		return nil, err
	}
	r.rest, r.remaining, r.total = r.rest[1:], next.Size, next.Size
	r.mu.Lock()
	r.current, r.owned = src, next.Owned
	closed = r.closed
	r.mu.Unlock()
	if closed {
		r.end()
		return nil, fs.ErrClosed
	}
	return src, nil
}

// end closes the current piece, if it is owned.
func (r *pieceReader) end() error {
	r.mu.Lock()
	src, owned := r.current, r.owned
	r.current = nil
	r.mu.Unlock()
	if c, ok := src.(io.Closer); ok && owned {
		return c.Close()
	}
	return nil
}

// Close closes the current piece, if it is owned, and ends the reading.
func (r *pieceReader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.end()
}
