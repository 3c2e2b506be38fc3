package netreplytest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Stream is a request and its response. As an http.ResponseWriter it belongs to its
// handler.
type h2Stream struct {
	c      *h2Conn
	id     uint32
	req    *http.Request
	cancel context.CancelFunc

	header      http.Header
	status      int // 0 before the head is sent
	announced   []string
	ended       bool // END_STREAM or RST_STREAM was sent
	expectation bool // the client waits for 100 before it sends the body

	// guarded by h2Conn.mu
	body    bytes.Buffer // of the request, not yet read
	unread  bool         // more of it will come
	left    bool         // the client has reset the stream
	window  int64
	trailer http.Header
}

// serve runs the handler.
func (s *h2Stream) serve() {
	defer s.cancel()
	defer s.c.locked(func() { delete(s.c.streams, s.id) })
	returned := false
	defer func() {
		recover()      // http.ErrAbortHandler
		if !returned { // also after runtime.Goexit, by FailNow of a test
			s.resetStream(uint32(http2.ErrCodeInternal))
		}
	}()
	s.c.e.serve(s, s.req)
	s.finish()
	returned = true
}

// h2Body is the body of a request.
type h2Body struct{ s *h2Stream }

func (s *h2Stream) reader() io.ReadCloser {
	if !s.unread {
		return http.NoBody
	}
	return h2Body{s}
}

func (b h2Body) Read(p []byte) (int, error) {
	s, c := b.s, b.s.c
	if s.expectation && s.status == 0 {
		s.expectation = false
		s.block(http.StatusContinue, http.Header{}, false)
	}
	n, err := s.take(p)
	if n > 0 && err == nil {
		c.frame(func() error { return c.fr.WriteWindowUpdate(s.id, uint32(n)) })
	}
	return n, err
}

// take waits for bytes of the body.
func (s *h2Stream) take(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case s.left || c.over:
			return 0, io.ErrUnexpectedEOF
		case s.body.Len() > 0:
			return s.body.Read(p)
		case !s.unread:
			for name, values := range s.trailer {
				s.req.Trailer[name] = values
			}
			return 0, io.EOF
		}
		c.changed.Wait()
	}
}

func (h2Body) Close() error { return nil }

// Header is the response head to be, or after WriteHeader the trailers.
func (s *h2Stream) Header() http.Header { return s.header }

// WriteHeader sends a head, of an interim response or the final one.
func (s *h2Stream) WriteHeader(status int) {
	if s.status != 0 || s.ended {
		return
	}
	if status >= 100 && status < 200 {
		s.block(status, s.header, false)
		return
	}
	s.status = status
	if s.header.Get("Connection") == "close" { // no other request on this connection
		s.c.frame(func() error { return s.c.fr.WriteGoAway(s.id, http2.ErrCodeNo, nil) })
	}
	for _, names := range s.header["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			s.announced = append(s.announced, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	s.block(status, s.header, !s.mayHaveBody())
}

func (s *h2Stream) mayHaveBody() bool {
	return s.req.Method != http.MethodHead && s.status != http.StatusNoContent && s.status != http.StatusNotModified
}

// block sends a field section: a head with a status, or trailers with 0.
func (s *h2Stream) block(status int, fields http.Header, end bool) error {
	c := s.c
	c.mu.Lock()
	size := c.maxFrame
	c.mu.Unlock()
	s.ended = s.ended || end
	return c.frame(func() error {
		c.block.Reset()
		if status != 0 {
			c.enc.WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(status)})
		}
		for name, values := range fields {
			switch name = strings.ToLower(name); name {
			case "connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection":
				continue // RFC 9113, section 8.2.2
			}
			if strings.HasPrefix(name, strings.ToLower(http.TrailerPrefix)) {
				continue
			}
			for _, v := range values {
				c.enc.WriteField(hpack.HeaderField{Name: name, Value: v})
			}
		}
		rest := c.block.Bytes()
		part := rest[:min(size, len(rest))]
		rest = rest[len(part):]
		err := c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: part, EndStream: end, EndHeaders: len(rest) == 0})
		for err == nil && len(rest) > 0 {
			part = rest[:min(size, len(rest))]
			rest = rest[len(part):]
			err = c.fr.WriteContinuation(s.id, len(rest) == 0, part)
		}
		return err
	})
}

// Write sends a part of the body.
func (s *h2Stream) Write(p []byte) (n int, err error) {
	if s.status == 0 {
		if _, ok := s.header["Content-Type"]; !ok && len(p) > 0 {
			s.header.Set("Content-Type", http.DetectContentType(p))
		}
		s.WriteHeader(http.StatusOK)
	}
	if !s.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	for n < len(p) {
		room, err := s.room(len(p) - n)
		if err == nil {
			err = s.c.frame(func() error { return s.c.fr.WriteData(s.id, false, p[n:n+room]) })
		}
		if err != nil {
			return n, err
		}
		n += room
	}
	return n, nil
}

// room waits until the client accepts bytes of the body, and says how many, at most want.
func (s *h2Stream) room(want int) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s.left || s.ended || c.over {
			return 0, net.ErrClosed
		}
		if n := min(int64(want), int64(c.maxFrame), c.window, s.window); n > 0 {
			c.window -= n
			s.window -= n
			return int(n), nil
		}
		c.changed.Wait()
	}
}

// FlushError sends the head; the body has been sent.
func (s *h2Stream) FlushError() error {
	if s.status == 0 {
		s.WriteHeader(http.StatusOK)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.left || s.c.over {
		return net.ErrClosed
	}
	return nil
}

// Flush is FlushError, for http.Flusher.
func (s *h2Stream) Flush() { s.FlushError() }

// finish ends the response.
func (s *h2Stream) finish() {
	if s.status == 0 {
		s.WriteHeader(http.StatusOK)
	}
	if !s.ended {
		trailers := http.Header{}
		for name, values := range s.header {
			if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
				trailers[after] = values
			}
		}
		for _, name := range s.announced {
			if values := s.header[name]; len(values) > 0 {
				trailers[name] = values
			}
		}
		if len(trailers) > 0 {
			s.block(0, trailers, true)
		} else {
			s.ended = true
			s.c.frame(func() error { return s.c.fr.WriteData(s.id, true, nil) })
		}
	}
	s.c.mu.Lock()
	unread := s.unread && !s.left
	s.c.mu.Unlock()
	if unread { // RFC 9113, section 8.1: the rest of the request is not wanted
		s.c.frame(func() error { return s.c.fr.WriteRSTStream(s.id, http2.ErrCodeNo) })
	}
}

func (*h2Stream) write(string) {}

// garble sends a head that cannot be decoded, and lets the client close the connection.
func (s *h2Stream) garble() {
	s.ended = true
	s.c.frame(func() error {
		return s.c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: []byte{0x80}, EndHeaders: true})
	})
	<-s.req.Context().Done()
}

func (s *h2Stream) closeConn() {
	s.ended = true
	s.c.conn.Close()
}

func (s *h2Stream) resetConn() {
	s.ended = true
	resetConn(s.c.conn)
}

func (s *h2Stream) hold() {
	s.ended = true
	<-s.req.Context().Done()
}

func (s *h2Stream) resetStream(code uint32) bool {
	if !s.ended {
		s.ended = true
		s.c.frame(func() error { return s.c.fr.WriteRSTStream(s.id, http2.ErrCode(code)) })
	}
	return true
}

func (s *h2Stream) goAway(code uint32) bool {
	s.ended = true
	last := s.id
	if http2.ErrCode(code) == http2.ErrCodeNo {
		last -= min(last, 2)
	}
	s.c.frame(func() error { return s.c.fr.WriteGoAway(last, http2.ErrCode(code), nil) })
	s.closeConn()
	return true
}
