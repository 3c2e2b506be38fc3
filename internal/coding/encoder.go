package coding

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoders has a pool of encoders for each coding.
var encoders = map[string]*sync.Pool{
	"gzip": {New: func() any {
		c := &encoder{w: gzip.NewWriter(nil)}
		c.reset()
		return c
	}},
	"zstd": {New: func() any {
		w, err := zstd.NewWriter(nil,
			zstd.WithEncoderConcurrency(1), // without goroutines
			zstd.WithWindowSize(encoderWindow), zstd.WithLowerEncoderMem(true),
			zstd.WithZeroFrames(true)) // an empty body is not a valid encoding
		if err != nil {
			panic(err) // the options are constants
		}
		c := &encoder{w: w}
		c.reset()
		return c
	}},
}

// encoderWindow is the window of zstd: about three times as much memory is used for a body
// that is sent. A receiver must accept 8 MiB (RFC 9659).
const encoderWindow = 1 << 20

// CanEncode reports whether NewEncoder and Encode have a coding.
func CanEncode(coding string) bool { return encoders[coding] != nil }

// Encoder is a reader of encoded data. Its output depends only on the data, not on how it
// is read. Read must be called by one goroutine at a time; Close may be called during a
// Read.
type Encoder struct {
	src  io.ReadCloser
	pool *sync.Pool
	err  error // error or io.EOF of src, used by Read only

	mu      sync.Mutex
	enc     *encoder // nil before the first Read and after the end
	reading bool
	closed  bool
}

// NewEncoder encodes src with a coding that CanEncode reports. It takes an encoder from a pool at
// the first Read, and returns it at Close.
func NewEncoder(src io.ReadCloser, coding string) *Encoder {
	return &Encoder{src: src, pool: encoders[coding]}
}

// Encode returns data encoded with a coding that CanEncode reports.
func Encode(data []byte, coding string) ([]byte, error) {
	e := NewEncoder(io.NopCloser(bytes.NewReader(data)), coding)
	defer e.Close()
	return io.ReadAll(e)
}

// Read returns encoded bytes. It may have to read much from the source before there are
// any. Errors of the source are returned as they are.
func (e *Encoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	enc := e.begin()
	if enc == nil {
		return 0, errClosed
	}
	defer e.pause()
	for empty := 0; enc.out.Len() == 0 && e.err == nil; {
		var n int
		n, e.err = enc.fill(e.src)
		if empty++; n > 0 {
			empty = 0
		} else if empty == maxEmptyReads && e.err == nil {
			e.err = io.ErrNoProgress
		}
	}
	if enc.out.Len() > 0 && (e.err == nil || e.err == io.EOF) {
		return enc.out.Read(p)
	}
	return 0, e.err
}

// Close closes the source, and returns the encoder to its pool, unless a Read runs, which
// then does that.
func (e *Encoder) Close() error {
	e.mu.Lock()
	e.closed = true
	if !e.reading {
		e.release()
	}
	e.mu.Unlock()
	return e.src.Close()
}

// begin returns the encoder for a Read, nil after Close.
func (e *Encoder) begin() *encoder {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	if e.enc == nil {
		e.enc = e.pool.Get().(*encoder)
	}
	e.reading = true
	return e.enc
}

// pause ends a Read.
func (e *Encoder) pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	if e.closed {
		e.release()
	}
}

// release returns the encoder. The caller holds the lock.
func (e *Encoder) release() {
	if e.enc != nil {
		e.enc.reset()
		e.pool.Put(e.enc)
		e.enc = nil
	}
}

// encoder is what the pools keep.
type encoder struct {
	w interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	in  [encoderInput]byte
	out bytes.Buffer // encoded bytes that have not been read
}

// encoderInput is how much is encoded at a time: what comes of it fits a small buffer.
const encoderInput = 32 << 10

// fill encodes what one Read of src returns.
func (c *encoder) fill(src io.Reader) (int, error) {
	n, err := src.Read(c.in[:])
	if n > 0 {
		if _, werr := c.w.Write(c.in[:n]); werr != nil {
			return n, werr
		}
	}
	if err == io.EOF {
		if cerr := c.w.Close(); cerr != nil {
			return n, cerr
		}
	}
	return n, err
}

func (c *encoder) reset() {
	c.out.Reset()
	c.w.Reset(&c.out)
}
