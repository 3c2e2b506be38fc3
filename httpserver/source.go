package httpserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// blockSize is how much of a source is read at once, and looked at before the head of the
// answer goes out.
const blockSize = 32 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}

// source is what an answer is read from.
type source struct {
	io.Reader
	size int64 // what it says it has, -1 when only reading tells
	file bool  // a regular file: reading does not wait
}

// newSource finds out what a source is without reading it.
func newSource(src io.Reader) (s source, err error) {
	s = source{Reader: src, size: -1}
	if f, ok := src.(interface{ Stat() (fs.FileInfo, error) }); ok {
		st, err := f.Stat()
		if err != nil {
			return s, &SourceError{err}
		}
		switch mode := st.Mode(); {
		case mode.IsDir():
			return s, &SourceError{errDirectory}
		case mode&fs.ModeDevice != 0:
			return s, &SourceError{errDevice}
		case !mode.IsRegular():
			return s, nil // a pipe or a socket
		}
		s.file, s.size = true, st.Size()
	}
	switch src := src.(type) {
	case interface{ Len() int }:
		s.size = int64(src.Len())
	case io.Seeker:
		at, err := src.Seek(0, io.SeekCurrent)
		if err != nil {
			return s, nil
		}
		if !s.file {
			if s.size, err = src.Seek(0, io.SeekEnd); err != nil {
				s.size = -1
			}
			if _, err = src.Seek(at, io.SeekStart); err != nil {
				return s, &SourceError{err}
			}
		}
		if s.size >= 0 {
			s.size = max(0, s.size-at)
		}
	}
	return s, nil
}

func closeSource(src io.Reader) {
	if c, ok := src.(io.Closer); ok {
		c.Close()
	}
}

// mayWait tells whether reading can be ended by closing, and need be.
func (s *source) mayWait() bool {
	_, ok := s.Reader.(io.Closer)
	return ok && !s.file
}

// closeWith closes a source when ctx ends. The function that it returns closes it now.
func closeWith(ctx context.Context, src io.Reader) (closeNow func()) {
	closeOnce := sync.OnceFunc(func() { closeSource(src) })
	stop := context.AfterFunc(ctx, closeOnce)
	return func() {
		stop()
		closeOnce()
	}
}

// read reads at least a byte, unless there is an error.
func (s *source) read(p []byte) (n int, err error) {
	for range 100 {
		if n, err = s.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// first reads the first block of a source that gives its size, and compares both: as far
// as buf reaches, size is right afterwards, or -1.
func (s *source) first(buf []byte) (n int, err error) {
	want := len(buf)
	if s.size < int64(want) {
		want = int(s.size) + 1 // the byte behind its end, which should not be
		switch s.Reader.(type) {
		case *bytes.Reader, *bytes.Buffer, *strings.Reader:
			want--
		}
	}
	for n < want && err == nil {
		var m int
		m, err = s.read(buf[n:want])
		n += m
		if s.size >= int64(len(buf)) {
			break
		}
		if n == want && int64(n) > s.size && s.file {
			want = len(buf)
		}
	}
	have := int64(n)
	switch {
	case err != nil && err != io.EOF:
		return n, &SourceError{err}
	case err == io.EOF && have < s.size:
		if !s.file || n == 0 {
			return n, &SourceError{ErrShort}
		}
		s.size = have
	case have > s.size && !s.file:
		return n, &SourceError{ErrLong}
	case have > s.size && err == nil:
		s.size = -1
	case have > s.size:
		s.size = have
	}
	return n, nil
}

func (s *Responder) reader(src io.Reader, mime string, h Headers, status StatusCode) error {
	x := s.exchange()
	return x.refuse(x.reader(src, mime, h, status))
}

func (x *exchange) reader(src io.Reader, mime string, h Headers, status StatusCode) error {
	if src == nil {
		return &SourceError{errNoSource}
	}
	if err := x.check(); err != nil { // before a byte is read that somebody else may want
		closeSource(src)
		return err
	}
	in, err := newSource(src)
	if err != nil {
		closeSource(src)
		return err
	}
	if in.mayWait() {
		defer closeWith(x.watched(), src)()
	} else {
		defer closeSource(src)
	}
	if in.size < 0 && x.isHead {
		return x.stream(&in, nil, 0, io.EOF, mime, h, status)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return x.send(&in, *buf, mime, h, status)
}

// reason is why a source has failed: what it says about being closed is not the reason.
func (x *exchange) reason(failed *SourceError) error {
	if cause := x.ended(); cause != nil {
		return cause
	}
	return failed
}

func (x *exchange) send(in *source, buf []byte, mime string, h Headers, status StatusCode) error {
	if in.size < 0 {
		n, err := in.read(buf)
		if n == 0 && err != nil && err != io.EOF { // nothing is sent yet
			return x.reason(&SourceError{err})
		}
		return x.stream(in, buf, n, err, mime, h, status)
	}
	n, err := in.first(buf)
	if failed, ok := err.(*SourceError); ok {
		return x.reason(failed)
	}
	if in.size < 0 {
		return x.stream(in, buf, n, nil, mime, h, status)
	}
	return x.sized(in, buf, n, mime, h, status)
}

// sized sends a source with its length, the first n bytes of it from buf.
func (x *exchange) sized(in *source, buf []byte, n int, mime string, h Headers, status StatusCode) error {
	more, err := x.sizedHead(in.size, buf[:n], mime, h, status)
	if err != nil || !more {
		return err
	}
	if err = x.copy(in, in.size-int64(n), buf); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == returned {
		return ErrHandlerReturned
	}
	x.state = responded
	return nil
}

// sizedHead sends the head, and the first bytes of the body behind it.
func (x *exchange) sizedHead(size int64, first []byte, mime string, h Headers, status StatusCode) (more bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.begin(status, h, size); err != nil {
		return false, err
	}
	x.head(h)
	to := x.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	}
	if status.hasBody() && len(to["Content-Length"]) == 0 {
		to["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	if x.isHead {
		sniff(to, first)
	}
	x.state = responded
	x.commit()
	x.w.WriteHeader(int(status))
	if size == 0 || x.isHead {
		return false, nil
	}
	if err := x.write(first); err != nil {
		return false, err
	}
	if more = size > int64(len(first)); more {
		x.state = sending
	}
	return more, nil
}

// copy sends n bytes of a source behind what was sent before. What fails is broken.
func (x *exchange) copy(in *source, n int64, buf []byte) error {
	for n > 0 {
		var sent int64
		var err error
		if f, ok := in.Reader.(*os.File); ok && in.file {
			sent, err = x.copyFile(f, n)
		} else {
			var m int
			m, err = in.read(buf[:min(n, int64(len(buf)))])
			if sent = int64(m); m > 0 {
				if werr := x.writeMore(buf[:m]); werr != nil {
					return werr
				}
			}
		}
		if failed, ok := err.(*writeError); ok {
			return failed.error
		}
		if n -= sent; n > 0 && err != nil {
			if err == io.EOF {
				err = ErrShort
			}
			return x.breakOff(err)
		}
	}
	return nil
}

// copyFile lets net/http use sendfile for a piece of a file.
func (x *exchange) copyFile(f *os.File, n int64) (int64, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != sending {
		return 0, ErrHandlerReturned
	}
	sent, err := io.CopyN(x.w, f, n)
	var file *fs.PathError
	if err != nil && err != io.EOF && !errors.As(err, &file) {
		x.broken = true
		return sent, &writeError{x.gone(err)}
	}
	return sent, err
}

// writeError tells what is the client's from what is the source's.
type writeError struct{ error }

// writeMore sends bytes of an answer whose source is being read.
func (x *exchange) writeMore(p []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != sending {
		return ErrHandlerReturned
	}
	return x.write(p)
}

// breakOff ends an answer that cannot be whole, behind what was written of it.
func (x *exchange) breakOff(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == returned {
		return ErrHandlerReturned
	}
	if !x.broken {
		x.flush() // what net/http holds would be lost
	}
	x.broken, x.state = true, responded
	err = x.reason(&SourceError{err})
	x.fail(err)
	if x.bare {
		x.cut()
	}
	return err
}

// stream sends a source of unknown size in chunks. n and err are what reading it the first
// time has given.
func (x *exchange) stream(in *source, buf []byte, n int, err error, mime string, h Headers, status StatusCode) error {
	if openErr := x.openSource(mime, h, status); openErr != nil {
		return openErr
	}
	if x.isHead {
		n, err = 0, io.EOF
	}
	for {
		if n > 0 {
			if werr := x.writeSoon(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.breakOff(err)
		}
		n, err = in.read(buf)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == returned {
		return ErrHandlerReturned
	}
	x.state = responded
	if x.late.last.IsZero() && !x.isHead {
		return x.flush() // there was nothing; the head has not gone
	}
	return nil
}

func (x *exchange) openSource(mime string, h Headers, status StatusCode) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.open(mime, h, nil, status)
	if err == nil {
		x.state = sending
	}
	return err
}

// flushPause is how long what a source has given can wait for more: flushing every block
// of a fast source costs more than sending it.
const flushPause = 2 * time.Millisecond

// lateFlush sends what was written less than flushPause after the last flush.
type lateFlush struct {
	last    time.Time
	timer   *time.Timer
	waiting bool
}

func (l *lateFlush) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// writeSoon sends bytes of a source at once when it was quiet, and within flushPause
// otherwise.
func (x *exchange) writeSoon(p []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != sending {
		return ErrHandlerReturned
	}
	if err := x.write(p); err != nil {
		return err
	}
	l := &x.late
	if now := time.Now(); now.Sub(l.last) >= flushPause {
		l.last = now
		return x.flush()
	}
	if !l.waiting {
		l.waiting = true
		if l.timer == nil {
			l.timer = time.AfterFunc(flushPause, x.flushLate)
		} else {
			l.timer.Reset(flushPause)
		}
	}
	return nil
}

func (x *exchange) flushLate() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.late.waiting = false
	if x.state != returned && !x.broken {
		x.late.last = time.Now()
		x.flush()
	}
}
