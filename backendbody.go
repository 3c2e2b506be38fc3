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
	w      *replyWriter
	opened atomic.Bool
	turn   chan struct{} // of capacity 1, full during a Read

	mu  sync.Mutex
	src io.ReadCloser
	err error // of opening, or after close
}

func (b *backendBody) Read(p []byte) (n int, err error) {
	w := b.w
	if err := w.lock(readBody, moved); err != nil {
		return 0, err
	}
	w.pauseHeadTimer()
	w.mu.Unlock()
	defer w.resumeHeadTimer()
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	src, err := b.open()
	if err != nil {
		return 0, err
	}
	n, err = src.Read(p)
	w.r.clock.Touch()
	if err != nil {
		w.endUpload()
	}
	var source *wire.SourceError
	switch {
	case errors.As(err, &source):
		err = bodyFailure("reading the body", source.Err)
	case err != nil && err != io.EOF: // the end of the reply, or of the hop
		if refused := w.lock(readBody, moved); refused != nil {
			return n, refused
		}
		w.mu.Unlock()
	}
	return n, err
}

const readBody = "Read of the body"

// open returns the source. The caller has the turn.
func (b *backendBody) open() (io.Reader, error) {
	b.mu.Lock()
	src, err := b.src, b.err
	b.mu.Unlock()
	if src != nil || err != nil {
		return src, err
	}
	w := b.w
	b.opened.Store(true)
	src, err = flow.OpenBody(w.r.ctx, w.payload, w.r.clock, (*watch)(w.r))
	if err == nil {
		w.beginRate()
	}
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

// endUpload ends the measuring of Request.MinRate until there is a response.
func (w *replyWriter) endUpload() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.shown {
		w.rate.End()
	}
}

// close ends a running Read and closes the source. With wait it returns after the Read, which
// another goroutine of the Backend may have called: then the source can be opened again.
// Without, a source whose opening does not return keeps that goroutine only.
func (b *backendBody) close(wait bool) {
	b.mu.Lock()
	src := b.src
	b.src, b.err = nil, &UsageError{readBody, afterEnd}
	b.mu.Unlock()
	if src != nil {
		src.Close()
	}
	if wait {
		b.turn <- struct{}{}
		<-b.turn
	}
}

// used reports whether something may have been read.
func (b *backendBody) used() bool { return b != nil && b.opened.Load() }
