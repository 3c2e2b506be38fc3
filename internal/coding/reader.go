package coding

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// Reader decodes a body. It takes no decoder from the pools before the first encoded byte.
// Read must be called by one goroutine at a time; Close and WireBytes are safe for
// concurrent use.
type Reader struct {
	src    io.ReadCloser
	limits Limits
	hooks  Hooks
	wire   atomic.Int64
	srcErr error // error of the source, except io.EOF

	closing sync.Once
	closed  chan struct{}

	mu     sync.Mutex // held by a Read
	layers []layer    // the first decodes the coding applied last
	err    error      // the error that has ended reading
}

// Hooks are callbacks of Read; each may be nil.
type Hooks struct {
	Read func()             // bytes were read from the source
	Wait func(waiting bool) // a wait for memory begins or ends
	Done <-chan struct{}    // closed to end a wait for memory
}

// NewReader decodes src; codings is the result of Parse.
func NewReader(src io.ReadCloser, codings []string, limits Limits, hooks Hooks) *Reader {
	r := &Reader{src: src, limits: limits, hooks: hooks, layers: make([]layer, len(codings)), closed: make(chan struct{})}
	r.limits.Memory = cmp.Or(limits.Memory, unlimited)
	for i := range codings {
		l := &r.layers[i]
		l.name, l.r, l.mem.r = codings[len(codings)-1-i], r, r
		l.src = source{r}
		if i > 0 {
			l.src = &r.layers[i-1]
		}
	}
	return r
}

// WireBytes is the number of encoded bytes read so far.
func (r *Reader) WireBytes() int64 { return r.wire.Load() }

// Read returns decoded bytes. Errors of the source are returned as they are, others are of
// type *Error.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	last := &r.layers[len(r.layers)-1]
	n, err := last.Read(p)
	if err == nil && last.beyond(r.WireBytes(), r.maxRatio()) {
		n, err = 0, &Error{last.name, ErrBomb}
	}
	if err != nil {
		r.err = r.cause(err)
		r.release()
	}
	return n, r.err
}

// maxRatio is the maximum ratio of the whole stack, since several codings, each below its
// own ratio, may together exceed it.
func (r *Reader) maxRatio() int64 {
	m := int64(0)
	for i := range r.layers {
		m = max(m, ratio(r.layers[i].name))
	}
	return m
}

// cause returns the original error: an upper layer returns an error of a lower one as its
// own, and treats a closed connection as the end of the data.
func (r *Reader) cause(err error) error {
	if r.srcErr != nil {
		return r.srcErr
	}
	for i := range r.layers {
		if e := r.layers[i].err; e != nil && e != io.EOF {
			return e
		}
	}
	return err
}

// wait waits for memory, and takes it.
func (r *Reader) wait(a amount) bool {
	if r.hooks.Wait != nil {
		r.hooks.Wait(true)
		defer r.hooks.Wait(false)
	}
	return r.limits.Memory.await(a, r.closed, r.hooks.Done)
}

// Close releases the decoders and closes the source, which ends a waiting Read.
func (r *Reader) Close() error {
	r.closing.Do(func() { close(r.closed) })
	err := r.src.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = errClosed
	}
	r.release()
	return err
}

var errClosed = errors.New("coding: read after Close")

func (r *Reader) release() {
	for i := range r.layers {
		r.layers[i].release()
	}
}

// source counts the bytes of the source.
type source struct{ r *Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.src.Read(p)
	if n > 0 {
		s.r.wire.Add(int64(n))
		if s.r.hooks.Read != nil {
			s.r.hooks.Read()
		}
	}
	if err != nil && err != io.EOF {
		s.r.srcErr = err
	}
	return n, err
}

// layer decodes one coding.
type layer struct {
	r       *Reader
	name    string
	src     io.Reader
	buf     *bufio.Reader
	dec     decoder
	mem     memory
	started bool
	in      int64 // bytes read from src
	out     int64
	err     error // io.EOF or the error
}

// beyond implements rule Z7.
func (l *layer) beyond(in, ratio int64) bool {
	t := l.r.limits.Threshold
	return t >= 0 && l.out > t && l.out > in*ratio
}

const maxEmptyReads = 100

func (l *layer) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if !l.started {
		if err := l.begin(); err != nil {
			l.fail(err)
			return 0, l.err
		}
	}
	for range maxEmptyReads {
		n, err := l.dec.Read(p)
		l.out += int64(n)
		switch limit := l.r.limits.Max; {
		case l.beyond(l.in, ratio(l.name)):
			n, err = 0, ErrBomb
		case limit > 0 && l.out > limit:
			n, err = 0, ErrTooLarge
		case err == io.EOF:
			if err = l.end(); err == nil {
				err = io.EOF
			}
		}
		if err != nil {
			l.fail(err)
		}
		if n > 0 || l.err != nil {
			return n, l.err
		}
	}
	l.fail(io.ErrNoProgress)
	return 0, l.err
}

// begin waits for the first byte and takes a decoder. An empty body is valid in every
// coding (rule Z9).
func (l *layer) begin() error {
	l.started = true
	l.buf = buffers.Get().(*bufio.Reader)
	l.buf.Reset(counted{l})
	if _, err := l.buf.Peek(1); err != nil {
		return err
	}
	var err error
	l.dec, err = newDecoder(l)
	return unexpectedEOF(err)
}

// end checks that no data follows the end of the coding.
func (l *layer) end() error {
	for range maxEmptyReads {
		_, err := l.buf.ReadByte()
		switch err {
		case nil:
			return ErrTrailing
		case io.EOF:
			return nil
		case io.ErrNoProgress:
		default:
			return err
		}
	}
	return io.ErrNoProgress
}

func (l *layer) fail(err error) {
	switch {
	case err == io.EOF:
		l.err = io.EOF
		return
	case l.mem.err != nil:
		err = l.mem.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = ErrTruncated
	}
	l.err = &Error{l.name, err}
}

func (l *layer) release() {
	if l.dec != nil {
		l.dec.release()
		l.dec = nil
		l.mem.release()
	}
	if l.buf != nil {
		l.buf.Reset(nil)
		buffers.Put(l.buf)
		l.buf = nil
	}
	if l.err == nil {
		l.err = errClosed
	}
}

// counted counts the bytes that a layer reads.
type counted struct{ l *layer }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.l.src.Read(p)
	c.l.in += int64(n)
	return n, err
}

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}
