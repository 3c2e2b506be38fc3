package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/wire"
)

// Payload is a request body that is ready to be sent.
type Payload struct {
	// Size is how much of it is sent, -1 when that is not known.
	Size int64
	// Open starts a reading from the beginning. It fails with ErrNotRewindable where the
	// source has been read from and cannot start again.
	Open func() (io.Reader, error)
	// Memory is the whole body where it is in memory anyway.
	Memory []byte
	// MIME is the Content-Type of the body, for requests that have none.
	MIME string
	// Rewindable: Open works again and again.
	Rewindable bool
	// Blocks: a Read of the source may wait for something that no context ends.
	Blocks bool
	// Owned: what Open returns is closed after use.
	Owned bool

	// last is the reading of a source that blocks and is rewound for the next one, which has
	// to wait for it.
	last *blockingSource
}

// open starts a reading, when one before that a source has to be rewound for is over.
func (p *Payload) open(ctx context.Context) (r reading, err error) {
	if p.last != nil && !p.Owned {
		if err = p.last.idle(ctx); err != nil {
			return r, err
		}
	}
	src, err := p.Open()
	if err != nil {
		return r, err
	}
	r.ctx, r.src = ctx, src
	if p.Owned {
		r.closer, _ = src.(io.Closer)
	}
	if p.Blocks {
		r.slow = newBlockingSource(src)
		p.last = r.slow
	}
	return r, nil
}

// reading is one reading of a Payload. It ends with its context.
type reading struct {
	ctx    context.Context
	src    io.Reader
	slow   *blockingSource // src, where it may block; nil otherwise
	closer io.Closer       // nil where the source is not ours to close
	// peer is closed when the connection has ended, whose net/http waits for a Read to
	// return. It is set before the first one, nil for none.
	peer <-chan struct{}
}

func (r *reading) Read(p []byte) (int, error) {
	switch {
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case r.slow != nil:
		return r.slow.read(r.ctx, r.peer, p)
	}
	return r.src.Read(p)
}

// stop ends a Read that waits for a source that blocks.
func (r *reading) stop() {
	if r.slow != nil {
		r.slow.stop()
	}
}

// close closes what is ours.
func (r *reading) close() {
	if r.closer != nil {
		r.closer.Close()
	}
}

// ErrNotRewindable is why a body cannot be sent again.
var ErrNotRewindable = errors.New("the body cannot be read a second time: bytes, files and SourceBody can, and others without DoNotBufferUploadData")

// ShortSourceError is the failure of a body that ended before its length.
type ShortSourceError struct{ Got, Want int64 }

func (e *ShortSourceError) Error() string {
	return fmt.Sprintf("the body's source ended after %d of the %d bytes that its size or a Content-Length promised", e.Got, e.Want)
}

func (e *ShortSourceError) Unwrap() error { return io.ErrUnexpectedEOF }

// errUploadStopped ends a reading that nobody needs any more.
var errUploadStopped = errors.New("upload stopped")

// errPeerEnded ends it because the connection has ended: it is the connection's error, and
// none of the source.
var errPeerEnded = fmt.Errorf("upload stopped: the connection has ended: %w", io.ErrUnexpectedEOF)

// upload is the body of one sending, as net/http reads it: it counts, ends with
// the transfer, and closes only what is ours.
type upload struct {
	reading
	meter *uploadMeter
	left  int64     // -1: to the end of the source
	piece int       // how much the next Read gives
	given time.Time // when the one before returned

	done    atomic.Bool
	waiting atomic.Bool // for the source, with the clock paused
	mu      sync.Mutex  // held by a Read
	once    sync.Once
}

// newUpload starts a reading of p.
func newUpload(ctx context.Context, p *Payload, meter *uploadMeter) (*upload, error) {
	clock := meter.clock
	clock.Pause() // opening is the caller's, too
	defer clock.Resume()
	r, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	return &upload{reading: r, meter: meter, left: p.Size, piece: minPiece}, nil
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ctx.Err() != nil:
		return 0, context.Cause(u.ctx)
	case u.done.Load():
		return 0, errUploadStopped
	case u.left == 0:
		u.meter.end()
		return 0, io.EOF
	case u.left > 0 && int64(len(p)) > u.left:
		p = p[:u.left]
	}
	if !u.given.IsZero() {
		u.piece = nextPiece(u.piece, time.Since(u.given))
	}
	n, err := u.readSource(p[:min(len(p), u.piece)])
	u.given = time.Now()
	if u.done.Load() || u.ctx.Err() != nil {
		return 0, errUploadStopped
	}
	if u.left > 0 {
		u.left -= int64(n)
	}
	u.meter.add(n)
	switch {
	case err == io.EOF && u.left > 0:
		return n, &wire.SourceError{Err: &ShortSourceError{u.meter.sent.Load(), u.meter.total}}
	case err == io.EOF:
		u.meter.end()
	case err != nil && err != errUploadStopped && err != errPeerEnded:
		err = &wire.SourceError{Err: err}
	}
	return n, err
}

// The pieces that net/http gets to send. Whoever waits for an upload sees between them
// that it goes on, so that they must be small for a slow peer; for a fast one each costs a
// system call.
const (
	minPiece  = 16 << 10
	maxPiece  = 128 << 10
	fastPiece = 2 * time.Millisecond  // a piece that took no longer may be larger
	slowPiece = 10 * time.Millisecond // one that took longer is too large
)

// nextPiece is the size of the piece behind one of a size whose sending took so long.
func nextPiece(size int, took time.Duration) int {
	switch {
	case took <= fastPiece:
		return min(2*size, maxPiece)
	case took >= slowPiece:
		return minPiece
	}
	return size
}

// readSource reads from the caller's source, while the transfer's clock stands still:
// it is not the peer that is waited for (rule N32).
func (u *upload) readSource(p []byte) (int, error) {
	u.meter.clock.Pause()
	u.waiting.Store(true)
	if u.done.Load() {
		u.letGo()
		return 0, errUploadStopped
	}
	defer u.letGo()
	return u.reading.Read(p)
}

// letGo ends the pause of a readSource: its own end does, or that of the reading, which
// a source that never returns must not keep from being timed any more.
func (u *upload) letGo() {
	if u.waiting.CompareAndSwap(true, false) {
		u.meter.clock.Resume()
	}
}

// Close ends the reading. For a source that does not block it returns when no Read is going
// on any more; one that blocks is closed, when it is ours, and left to itself. net/http
// calls it too, from any goroutine.
func (u *upload) Close() error {
	u.done.Store(true)
	u.letGo()
	u.stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.once.Do(u.close)
	return nil
}

// blockingSource reads a source whose Read may wait for something that no context ends, a
// pipe for instance. Each Read runs on a goroutine of its own and into memory of its own, so
// that whoever waits for the bytes can leave: net/http waits for the Read of a request body
// before it lets go of an exchange, and over HTTP/2 the stream could not be reset without the
// connection. The goroutine ends when the source's Read returns.
type blockingSource struct {
	src     io.Reader
	stopped chan struct{}
	once    sync.Once
	came    chan sourceRead // of the Read under way; capacity 1

	// of the one that reads
	buf     []byte
	reading bool
	data    []byte // what came and was not taken
	err     error
}

type sourceRead struct {
	n   int
	err error
}

// sourceBuffer is how much is read from a source that may block at once.
const sourceBuffer = 64 << 10

func newBlockingSource(src io.Reader) *blockingSource {
	return &blockingSource{src: src, stopped: make(chan struct{}), came: make(chan sourceRead, 1)}
}

// read waits for bytes, until the context ends, the connection has, or stop is called.
func (b *blockingSource) read(ctx context.Context, peer <-chan struct{}, p []byte) (int, error) {
	if len(b.data) == 0 && b.err == nil {
		if !b.reading {
			if b.buf == nil {
				b.buf = make([]byte, sourceBuffer)
			}
			b.reading = true
			go func() {
				n, err := b.src.Read(b.buf)
				b.came <- sourceRead{n, err}
			}()
		}
		select {
		case r := <-b.came:
			b.reading = false
			b.data, b.err = b.buf[:r.n], r.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-b.stopped:
			return 0, errUploadStopped
		case <-peer:
			return 0, errPeerEnded
		}
	}
	n := copy(p, b.data)
	if b.data = b.data[n:]; len(b.data) > 0 {
		return n, nil
	}
	return n, b.err
}

// stop ends a read that waits.
func (b *blockingSource) stop() { b.once.Do(func() { close(b.stopped) }) }

// idle waits until the source is not being read, so that it can be rewound. It is called when
// nobody reads any more.
func (b *blockingSource) idle(ctx context.Context) error {
	if !b.reading {
		return nil
	}
	select {
	case <-b.came:
		b.reading = false
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// uploadMeter counts one sending of a request body, from the goroutine that
// reads it.
type uploadMeter struct {
	w     Watcher
	clock *Clock
	sent  atomic.Int64
	total int64 // -1 when not known
	// announce: requestSent is still to be said, after the first bytes (rule S36)
	announce atomic.Bool
	ended    func() // called at the end of the source, when set
	over     bool
}

// add counts bytes that were handed to the connection.
func (u *uploadMeter) add(n int) {
	if n == 0 {
		return
	}
	sent := u.sent.Add(int64(n))
	u.clock.Touch()
	u.w.Uploaded(sent, u.total)
	u.sentOnce()
}

// end is called when the source is at its end.
func (u *uploadMeter) end() {
	if u.over {
		return
	}
	u.over = true
	if u.total < 0 {
		u.total = u.sent.Load()
		if u.total > 0 {
			u.w.Uploaded(u.total, u.total)
		}
	}
	u.sentOnce()
	if u.ended != nil {
		u.ended()
	}
}

func (u *uploadMeter) sentOnce() {
	if u.announce.CompareAndSwap(true, false) {
		u.w.Sent()
	}
}
