package httpserver

import (
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/textproto"
	"path/filepath"
	"sync"
	"time"
)

// WriteContent answers with a file or anything else that can seek, and honours
// ranges and conditions of the request, see http.ServeContent. name gives the MIME
// type when h has no Content-Type; modified may be zero. content is not closed.
//
// What cannot be sent is a *SourceError, as with WriteReader: before anything is sent, or
// later, which cuts the answer.
func (s *Responder) WriteContent(name string, modified time.Time, content io.ReadSeeker, h Headers) error {
	x := s.exchange()
	if content == nil {
		return x.refuse(&SourceError{errNoSource})
	}
	return x.refuse(s.content(x.r, name, modified, content, h))
}

// content answers a request, which is the Responder's but for header fields.
func (s *Responder) content(r *http.Request, name string, modified time.Time, content io.ReadSeeker, h Headers) error {
	x := s.exchange()
	x.mu.Lock()
	err := x.begin(Ok, h, -1)
	x.mu.Unlock()
	if err != nil {
		return err
	}
	block := buffers.Get().(*[]byte)
	defer buffers.Put(block)
	in, err := lookAt(content, *block)
	if err != nil {
		return err
	}
	x.mu.Lock()
	c := &contentWriter{x: x, fields: h, header: x.w.Header().Clone()}
	x.mu.Unlock()
	if c.header == nil {
		c.header = http.Header{}
	}
	replaceFields(c.header, h)
	if !h.Has("Content-Type") {
		kind := mime.TypeByExtension(filepath.Ext(name))
		if kind == "" {
			kind = http.DetectContentType(in.first)
		}
		c.header["Content-Type"] = []string{kind}
	}
	http.ServeContent(c, r, name, modified, in)
	in.stop()
	if c.noRange {
		x.mu.Lock()
		x.w.Header()["Content-Range"] = c.header["Content-Range"]
		x.mu.Unlock()
		return s.writeHTTPError(&HTTPError{Status: RequestRangeNotSatisfiable})
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == sending {
		x.state = responded
	}
	return c.err
}

// replaceFields puts fields under their canonical names, in place of others.
func replaceFields(to http.Header, h Headers) {
	seen := map[string]bool{}
	for name, value := range h.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		if !seen[key] && !isList(key) {
			delete(to, key)
		}
		seen[key] = true
		to[key] = append(to[key], value)
	}
}

// lookedAt is content of which the first block has been read, and is not read again.
type lookedAt struct {
	src     io.ReadSeeker
	file    bool
	stopped bool
	size    int64
	// http.ServeContent reads several ranges by a goroutine that it does not wait for. mu is
	// held while that reads.
	mu    sync.Mutex
	first []byte
	at    int64 // where the next Read begins
	srcAt int64 // where src stands
}

// lookAt reads the first block of content into buf.
func lookAt(src io.ReadSeeker, buf []byte) (*lookedAt, error) {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, &SourceError{err}
	}
	in, err := newSource(src)
	if err != nil {
		return nil, err
	}
	if in.size < 0 {
		return nil, &SourceError{errNoSeek}
	}
	n, err := in.first(buf)
	if err != nil {
		return nil, err
	}
	if in.size < 0 {
		return nil, &SourceError{ErrLong}
	}
	return &lookedAt{src: src, file: in.file, size: in.size, first: buf[:n], srcAt: int64(n)}, nil
}

// stop waits for a Read that is under way: neither src nor first is used afterwards.
func (c *lookedAt) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

func (c *lookedAt) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	c.at = offset
	return offset, nil
}

func (c *lookedAt) Read(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return 0, fs.ErrClosed
	}
	if c.at < int64(len(c.first)) {
		n = copy(p, c.first[c.at:])
	} else if err = c.reach(); err == nil {
		n, err = c.src.Read(p)
		c.srcAt += int64(n)
	}
	c.at += int64(n)
	return n, err
}

// reach has src stand where the next Read begins.
func (c *lookedAt) reach() (err error) {
	if c.srcAt != c.at {
		if _, err = c.src.Seek(c.at, io.SeekStart); err == nil {
			c.srcAt = c.at
		}
	}
	return err
}

// contentWriter is what http.ServeContent writes to. It keeps what ServeContent does not
// tell: that the content has failed.
type contentWriter struct {
	x      *exchange
	fields Headers // as the caller spells them
	header http.Header
	err    error
	// noRange: ServeContent has refused the range, with a text that a Server with an
	// ErrorHandler has no use for.
	noRange bool
}

func (c *contentWriter) Header() http.Header { return c.header }

func (c *contentWriter) WriteHeader(status int) {
	x := c.x
	if status == int(RequestRangeNotSatisfiable) && x.writer != nil && x.writer.server.cfg.ErrorHandler != nil {
		c.noRange = true
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.err = x.taken(); c.err != nil {
		return
	}
	x.state = sending
	to := x.w.Header()
	clear(to)
	for name, values := range c.header {
		to[name] = values
	}
	for name := range c.fields.All() {
		key, spelled := textproto.CanonicalMIMEHeaderKey(name), x.fieldKey(name)
		if values, kept := to[key]; kept && spelled != key { // ServeContent takes some away
			delete(to, key)
			to[spelled] = values
		}
	}
	x.commit()
	x.w.WriteHeader(status)
	if x.isHead || !StatusCode(status).hasBody() {
		x.state = responded
	}
}

// Write takes what ServeContent itself has to say.
func (c *contentWriter) Write(p []byte) (int, error) {
	if c.err == nil && !c.x.isHead && !c.noRange {
		c.err = c.x.writeMore(p)
	}
	if c.err != nil {
		return 0, c.err
	}
	return len(p), nil
}

// ReadFrom sends the content, or the parts of it that were asked for.
func (c *contentWriter) ReadFrom(src io.Reader) (int64, error) {
	if c.err != nil {
		return 0, c.err
	}
	part, ok := src.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	c.err = c.send(part)
	if c.err != nil {
		return 0, c.err
	}
	return part.N, nil
}

func (c *contentWriter) send(part *io.LimitedReader) error {
	n, src := part.N, &source{Reader: part.R}
	if in, ok := part.R.(*lookedAt); ok { // else it is several parts
		if in.at < int64(len(in.first)) {
			p := in.first[in.at:min(in.at+n, int64(len(in.first)))]
			if err := c.x.writeMore(p); err != nil {
				return err
			}
			in.at += int64(len(p))
			n -= int64(len(p))
		}
		if n == 0 {
			return nil
		}
		if err := in.reach(); err != nil {
			return c.x.breakOff(err)
		}
		src = &source{Reader: in.src, file: in.file} // a file goes by sendfile
	}
	block := buffers.Get().(*[]byte)
	defer buffers.Put(block)
	return c.x.copy(src, n, *block)
}
