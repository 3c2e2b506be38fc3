package netreply

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// backendBody is the request body for a Backend. It is opened by the first Read.
type backendBody struct {
	w *replyWriter

	mu     sync.Mutex
	src    io.ReadCloser
	err    error
	opened atomic.Bool
}

func (b *backendBody) Read(p []byte) (int, error) {
	src, err := b.open()
	if err != nil {
		return 0, err
	}
	n, err := src.Read(p)
	b.w.resumeHead()
	var source *wire.SourceError
	if errors.As(err, &source) {
		err = bodyFailure("reading the body", source.Err)
	}
	return n, err
}

// open returns the source. The wait for its bytes does not count for HeadTimeout.
func (b *backendBody) open() (io.Reader, error) {
	w := b.w
	if err := w.lock("Read of the body", moved); err != nil {
		return nil, err
	}
	w.stopHeadTimer()
	w.mu.Unlock()
	b.mu.Lock()
	src, err := b.src, b.err
	b.mu.Unlock()
	if src != nil || err != nil {
		return src, err
	}
	b.opened.Store(true)
	src, err = flow.OpenBody(w.r.ctx, w.payload, w.r.clock, (*watch)(w.r))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.err = bodyFailure("opening the body", err)
	case b.err != nil: // closed meanwhile
		src.Close()
	default:
		b.src = src
	}
	return b.src, b.err
}

// close ends a running Read, and closes the source.
func (b *backendBody) close() {
	b.mu.Lock()
	src := b.src
	b.src, b.err = nil, &UsageError{"Read of the body", afterEnd}
	b.mu.Unlock()
	if src != nil {
		src.Close()
	}
}

// used reports whether something may have been read.
func (b *backendBody) used() bool { return b != nil && b.opened.Load() }
