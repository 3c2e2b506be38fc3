package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/wire"
)

// Payload is a prepared request body.
type Payload struct {
	// Size is the number of bytes to send, -1 if unknown.
	Size int64
	// Open returns a reader from the beginning. It fails with ErrNotRewindable if the
	// source was read from and cannot be read again.
	Open func() (io.Reader, error)
	// Memory is the whole body, if it is in memory.
	Memory []byte
	// MIME is the Content-Type for requests that have none.
	MIME string
	// Coding lists the content codings that the body has, in the order in which they were
	// applied. They follow those in the request's Content-Encoding.
	Coding string
	// Rewindable: Open can be called any number of times.
	Rewindable bool
	// Blocks: Read of the source may block regardless of the context.
	Blocks bool
	// Owned: the reader that Open returns is closed after use, also during a Read if it
	// Blocks.
	Owned bool
	// Exact: a source with more than Size bytes is an error; otherwise the first ones are
	// sent.
	Exact bool
	// Trailer are trailer fields, sent with the values that they have at the end of the
	// source.
	Trailer http.Header
	// Shared: the readers that Open returns read from a common source, so that only one may
	// be in use. Those that are not Owned always do.
	Shared bool

	// last is the previous reader of a source that blocks. Before a source is rewound, its
	// running Read must have returned.
	last *blockingSource
}

// open returns a reading from the beginning. Before it rewinds the source, it waits for the
// end of a running Read.
func (p *Payload) open(ctx context.Context) (r reading, err error) {
	if p.last != nil && (p.Shared || !p.Owned) {
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
		r.blocking = newBlockingSource(src)
		p.last = r.blocking
	}
	return r, nil
}

// Fields returns the fields that describe the body in a request with the program's fields h,
// in whose place they are to be sent (rules L12 and L15). Of h they replace only a
// Content-Encoding, whose codings they contain.
func (p *Payload) Fields(h headers.Headers) []headers.Field {
	var fields []headers.Field
	if p.MIME != "" && !h.Has("Content-Type") {
		fields = append(fields, headers.Field{Name: "Content-Type", Value: p.MIME})
		if strings.HasPrefix(p.MIME, "multipart/") && !h.Has("MIME-Version") {
			fields = append(fields, headers.Field{Name: "MIME-Version", Value: "1.0"})
		}
	}
	if p.Coding != "" {
		const name = "Content-Encoding"
		fields = append(fields, headers.Field{Name: name, Value: strings.Join(append(h.Values(name), p.Coding), ", ")})
	}
	return fields
}

// Peek reads the first bytes of a body that is Rewindable into b, and returns their number,
// which is smaller than len(b) only for a shorter body.
func (p *Payload) Peek(ctx context.Context, b []byte) (int, error) {
	r, err := p.open(ctx)
	if err != nil {
		return 0, err
	}
	defer r.close()
	if p.Size >= 0 {
		b = b[:min(int64(len(b)), p.Size)]
	}
	n, err := io.ReadFull(&r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

// reading reads a Payload once. It ends with its context.
type reading struct {
	ctx      context.Context
	src      io.Reader
	blocking *blockingSource // wraps src if that may block; otherwise nil
	closer   io.Closer       // nil if the source is not owned
	// peer is closed when the connection has ended: net/http waits for a Read of the body
	// to return even then. It is set before the first Read, nil for none.
	peer <-chan struct{}
}

func (r *reading) Read(p []byte) (int, error) {
	switch {
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case r.blocking != nil:
		return r.blocking.read(r.ctx, r.peer, p)
	}
	return r.src.Read(p)
}

// stop ends a Read that waits for a blocking source.
func (r *reading) stop() {
	if r.blocking != nil {
		r.blocking.stop()
	}
}

// close closes the source if it is owned.
func (r *reading) close() {
	if r.closer != nil {
		r.closer.Close()
	}
}

// ErrNotRewindable is the error of a body that cannot be sent again.
var ErrNotRewindable = errors.New("the body cannot be read a second time: use bytes, a file or SourceBody, do not set DoNotBufferUploadData, or set GetBody of an http.Request")

// ShortSourceError is the error of a source that ended before Payload.Size bytes.
type ShortSourceError struct{ Got, Want int64 }

func (e *ShortSourceError) Error() string {
	return fmt.Sprintf("the body's source ended after %d of the %d bytes of its size or Content-Length", e.Got, e.Want)
}

func (e *ShortSourceError) Unwrap() error { return io.ErrUnexpectedEOF }

// ErrLongSource is the error of an exact source with more than Payload.Size bytes.
var ErrLongSource = errors.New("the body's source has more bytes than its Content-Length")

// errUploadStopped ends a reading whose exchange has ended.
var errUploadStopped = errors.New("upload stopped")

// errPeerEnded ends a reading whose connection has ended. It is an error of the connection,
// not of the source.
var errPeerEnded = fmt.Errorf("upload stopped: the connection has ended: %w", io.ErrUnexpectedEOF)

// upload is the body of one exchange for net/http: it counts bytes, ends with the transfer,
// and closes only an owned source.
type upload struct {
	reading
	meter     *uploadMeter
	remaining int64     // -1 means to the end of the source
	exact     bool      // the source must end after remaining bytes
	piece     int       // size of the next Read
	returned  time.Time // time at which the previous Read returned

	stopped atomic.Bool
	waiting atomic.Bool // waiting for the source, with the clock paused
	mu      sync.Mutex  // held by a Read
	once    sync.Once
}

// newUpload starts a reading of p.
func newUpload(ctx context.Context, p *Payload, meter *uploadMeter) (*upload, error) {
	clock := meter.clock
	clock.Pause() // Open is code of the program
	defer clock.Resume()
	r, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	return &upload{reading: r, meter: meter, remaining: p.Size, exact: p.Exact, piece: minPiece}, nil
}

// OpenBody opens a request body for a reader that is not an exchange. It reports progress to
// w while it is read, and ends with ctx.
func OpenBody(ctx context.Context, p *Payload, clock *Clock, w Watcher) (io.ReadCloser, error) {
	meter := &uploadMeter{watcher: w, clock: clock, total: p.Size}
	w.Uploads(&meter.sent)
	return newUpload(ctx, p, meter)
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ctx.Err() != nil:
		return 0, context.Cause(u.ctx)
	case u.stopped.Load():
		return 0, errUploadStopped
	case u.remaining == 0:
		return 0, u.confirmEnd()
	case u.remaining > 0 && int64(len(p)) > u.remaining:
		p = p[:u.remaining]
	}
	if !u.returned.IsZero() {
		u.piece = nextPiece(u.piece, time.Since(u.returned))
	}
	n, err := u.readSource(p[:min(len(p), u.piece)])
	u.returned = time.Now()
	if u.stopped.Load() || u.ctx.Err() != nil {
		return 0, errUploadStopped
	}
	if u.remaining > 0 {
		u.remaining -= int64(n)
	}
	u.meter.add(n)
	switch {
	case err == io.EOF && u.remaining > 0:
		return n, &wire.SourceError{Err: &ShortSourceError{u.meter.sent.Load(), u.meter.total}}
	case err == io.EOF:
		u.meter.end()
	case err != nil && err != errUploadStopped && err != errPeerEnded:
		err = &wire.SourceError{Err: err}
	}
	return n, err
}

// confirmEnd returns io.EOF after the last byte, or an error if the source has more bytes
// than it may.
func (u *upload) confirmEnd() error {
	if u.exact {
		u.exact = false
		n, err := u.readSource(make([]byte, 1))
		if u.stopped.Load() || u.ctx.Err() != nil {
			return errUploadStopped
		}
		switch {
		case n > 0:
			return &wire.SourceError{Err: ErrLongSource}
		case err == errUploadStopped || err == errPeerEnded:
			return err
		case err != nil && err != io.EOF:
			return &wire.SourceError{Err: err}
		}
	}
	u.meter.end()
	return io.EOF
}

// Sizes of the pieces that Read returns to net/http. Progress is visible only between
// pieces, so they must be small for a slow peer; for a fast peer small pieces cost system
// calls.
const (
	minPiece  = 16 << 10
	maxPiece  = 128 << 10
	fastPiece = 2 * time.Millisecond  // after a piece that took at most this long the next may be larger
	slowPiece = 10 * time.Millisecond // a piece that took at least this long was too large
)

// nextPiece returns the size of the next piece after one that took a time to send.
func nextPiece(size int, took time.Duration) int {
	switch {
	case took <= fastPiece:
		return min(2*size, maxPiece)
	case took >= slowPiece:
		return minPiece
	}
	return size
}

// readSource reads from the source while the clock is paused: the time does not count as
// the peer's silence (rule N32).
func (u *upload) readSource(p []byte) (int, error) {
	u.meter.clock.Pause()
	u.waiting.Store(true)
	if u.stopped.Load() {
		u.resumeClock()
		return 0, errUploadStopped
	}
	defer u.resumeClock()
	if u.blocking != nil && u.blocking.direct.Load() {
		u.mu.Unlock()
		defer u.mu.Lock()
	}
	return u.reading.Read(p)
}

// resumeClock ends the pause of readSource. It is called at the end of readSource, and by
// Close, so that a source that never returns does not stop the clock forever.
func (u *upload) resumeClock() {
	if u.waiting.CompareAndSwap(true, false) {
		u.meter.clock.Resume()
	}
}

// Close ends the reading, of which nothing is told any more when it returns. If the source does
// not block, Close waits for a running Read; one that blocks is closed if it is owned, and not
// waited for. net/http calls Close too, from any goroutine.
func (u *upload) Close() error {
	u.stopped.Store(true)
	u.resumeClock()
	u.stop()
	u.mu.Lock() // the end of a running Read
	defer u.mu.Unlock()
	u.once.Do(u.close)
	return nil
}

// blockingSource reads a source whose Read may block regardless of the context, such as a
// pipe. Unless direct is set, each Read runs on its own goroutine and into its own buffer,
// so that the caller can stop waiting: net/http waits for a Read of the request body before
// it ends an exchange, and over HTTP/2 could not reset the stream otherwise. The goroutine
// ends when the source's Read returns.
type blockingSource struct {
	src     io.Reader
	stopped chan struct{}
	once    sync.Once
	result  chan sourceRead // result of the running Read; capacity 1
	// direct: a Read runs on the goroutine of the reader, for which nobody waits; see
	// wire.Conn.Detached. It is set before the first.
	direct atomic.Bool
	turn   chan struct{} // held by such a Read; capacity 1

	// used by the reader only
	buf     []byte
	reading bool
	unread  []byte // bytes of buf that were not returned yet
	err     error
}

type sourceRead struct {
	n   int
	err error
}

// sourceBuffer is the size of one Read of a source that may block.
const sourceBuffer = 64 << 10

func newBlockingSource(src io.Reader) *blockingSource {
	return &blockingSource{src: src, stopped: make(chan struct{}), result: make(chan sourceRead, 1), turn: make(chan struct{}, 1)}
}

// read waits for bytes, until ctx ends, peer is closed, or stop is called.
func (b *blockingSource) read(ctx context.Context, peer <-chan struct{}, p []byte) (int, error) {
	if b.direct.Load() {
		return b.readDirectly(p)
	}
	if len(b.unread) == 0 && b.err == nil {
		if !b.reading {
			if b.buf == nil {
				b.buf = make([]byte, sourceBuffer)
			}
			b.reading = true
			go func() {
				n, err := b.src.Read(b.buf)
				b.result <- sourceRead{n, err}
			}()
		}
		select {
		case r := <-b.result:
			b.reading = false
			b.unread, b.err = b.buf[:r.n], r.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-b.stopped:
			return 0, errUploadStopped
		case <-peer:
			return 0, errPeerEnded
		}
	}
	n := copy(p, b.unread)
	if b.unread = b.unread[n:]; len(b.unread) > 0 {
		return n, nil
	}
	return n, b.err
}

// readDirectly reads on the goroutine of the reader, for which nobody waits.
func (b *blockingSource) readDirectly(p []byte) (int, error) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	select {
	case <-b.stopped:
		return 0, errUploadStopped
	default:
		return b.src.Read(p)
	}
}

// stop ends a waiting read.
func (b *blockingSource) stop() { b.once.Do(func() { close(b.stopped) }) }

// idle waits for the end of a running Read of the source, so that it can be rewound. It
// must not run concurrently with read.
func (b *blockingSource) idle(ctx context.Context) error {
	if b.direct.Load() {
		select {
		case b.turn <- struct{}{}:
			<-b.turn
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !b.reading {
		return nil
	}
	select {
	case <-b.result:
		b.reading = false
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// uploadMeter counts the bytes of one request body, on the goroutine that reads it.
type uploadMeter struct {
	watcher Watcher
	clock   *Clock
	sent    atomic.Int64
	total   int64 // -1 if unknown
	// sentPending: Sent is still to be reported, after the first bytes (rule S36)
	sentPending atomic.Bool
	onEnd       func() // called at the end of the source; may be nil
	done        bool
}

// add counts bytes that were handed to the connection.
func (u *uploadMeter) add(n int) {
	if n == 0 {
		return
	}
	sent := u.sent.Add(int64(n))
	u.clock.Touch()
	u.watcher.Uploaded(sent, u.total)
	u.reportSent()
}

// end is called at the end of the source.
func (u *uploadMeter) end() {
	if u.done {
		return
	}
	u.done = true
	if u.total < 0 {
		u.total = u.sent.Load()
		if u.total > 0 {
			u.watcher.Uploaded(u.total, u.total)
		}
	}
	u.reportSent()
	if u.onEnd != nil {
		u.onEnd()
	}
}

func (u *uploadMeter) reportSent() {
	if u.sentPending.CompareAndSwap(true, false) {
		u.watcher.Sent()
	}
}
