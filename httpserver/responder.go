// Package httpserver answers HTTP requests the way QHttpServerResponder does, on
// top of net/http: a [Responder] in any http.Handler, and a small [Server] around
// http.ServeMux for those who look for QHttpServer.
package httpserver

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/headers"
)

// Headers is a list of header fields in order, the same type as netreply.Headers.
// net/http sends them sorted by name; equal names keep their order.
type Headers = headers.Headers

// Responder answers one request, once: with one of the Write calls, with
// SendResponse, or in chunks between WriteBeginChunked and WriteEndChunked. What
// cannot be sent is refused with an error before anything is, so that another answer
// can be given. It is used by one goroutine at a time, until the handler returns.
type Responder struct {
	w      http.ResponseWriter
	r      *http.Request
	state  state
	broken bool // what was sent is not whole and cannot become so
	// of a chunked answer
	trailers []string

	prepare func(*http.Request, *Response) // the server's after-request hooks
}

type state uint8

const (
	fresh state = iota
	chunked
	responded
)

// New makes a Responder for a request that a handler has got. The handler must not
// use w by itself until it has answered.
func New(w http.ResponseWriter, r *http.Request) *Responder { return &Responder{w: w, r: r} }

// HandlerFunc makes a handler of a function. A function that returns without an
// answer has none: the client gets 500. A chunked answer that was not ended, or a
// source that broke off, cuts the connection, so that nobody takes it for whole.
func HandlerFunc(f func(*http.Request, *Responder)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := New(w, r)
		f(r, s)
		s.finish()
	})
}

// finish is what becomes of a request whose handler has returned.
func (s *Responder) finish() {
	switch {
	case s.broken, s.state == chunked:
		panic(http.ErrAbortHandler) // net/http's way to cut a response without a word
	case s.state == fresh:
		s.WriteStatus(InternalServerError)
	}
}

// statusOf is the optional last argument of most calls.
func statusOf(status []StatusCode) StatusCode {
	if len(status) == 0 {
		return Ok
	}
	return status[0]
}

// begin checks an answer before anything of it is sent. length is that of its body,
// -1 when it is not known.
func (s *Responder) begin(status StatusCode, h Headers, length int64) error {
	if s.state != fresh {
		return ErrAlreadyResponded
	}
	if !status.final() {
		return &StatusError{status}
	}
	if length != 0 && !status.hasBody() {
		return ErrBodyNotAllowed
	}
	if f, badName, found := h.Invalid(); found {
		if badName {
			return &HeaderError{f.Name, "not a field name"}
		}
		return &HeaderError{f.Name, "the value has characters that no value may have"}
	}
	lengths := 0
	for name, value := range h.All() {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Transfer-Encoding", "Trailer":
			return &HeaderError{name, "the framing of the message is not the caller's"}
		case "Content-Length":
			n, err := strconv.ParseInt(value, 10, 64)
			switch lengths++; {
			case lengths > 1:
				return &HeaderError{name, "there is more than one"}
			case err != nil || strings.Trim(value, "0123456789") != "": // RFC 9110, section 8.6
				return &HeaderError{name, "not a length"}
			case length == 0 && (s.r.Method == http.MethodHead || status == NotModified):
				// that of the content which is not sent
			case n != length:
				return &HeaderError{name, "not the length of the body"}
			}
		}
	}
	return nil
}

// head puts fields where net/http takes them from. They take the place of those
// that something around the handler has set, but for lists that everybody adds to.
func (s *Responder) head(h Headers) {
	to := s.w.Header()
	if len(to) > 0 {
		for name := range h.All() {
			switch key := textproto.CanonicalMIMEHeaderKey(name); key {
			case "Set-Cookie", "Vary", "Link":
			default:
				delete(to, key)
			}
		}
	}
	for name, value := range h.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		switch key {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
			if s.r.ProtoMajor > 1 { // RFC 9113, section 8.2.2
				continue
			}
		}
		to[key] = append(to[key], value)
	}
}

// autoLength is up to which length net/http finds the Content-Length out by itself.
const autoLength = 2 << 10

// data sends an answer that is in memory.
func (s *Responder) data(body []byte, mime string, h Headers, status StatusCode) error {
	if err := s.begin(status, h, int64(len(body))); err != nil {
		return err
	}
	s.head(h)
	s.state = responded
	to := s.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	}
	isHead := s.r.Method == http.MethodHead
	if status.hasBody() && (len(body) > autoLength || isHead && len(body) > 0) && len(to["Content-Length"]) == 0 {
		to["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if status != Ok {
		s.w.WriteHeader(int(status))
	}
	if len(body) == 0 || isHead {
		if status == Ok {
			s.w.WriteHeader(int(status))
		}
		return nil
	}
	_, err := s.w.Write(body)
	return err
}

// validMIME refuses a MIME type that cannot stand in a header.
func validMIME(mime string) error {
	if mime == "" || !httpguts.ValidHeaderFieldValue(mime) {
		return &HeaderError{"Content-Type", "not a MIME type"}
	}
	return nil
}

// WriteStatus answers with a status, Ok by default, and nothing else.
func (s *Responder) WriteStatus(status ...StatusCode) error {
	return s.data(nil, "application/x-empty", Headers{}, statusOf(status))
}

// WriteHeaders answers with header fields and no body.
func (s *Responder) WriteHeaders(h Headers, status ...StatusCode) error {
	return s.data(nil, "", h, statusOf(status))
}

// WriteJSON answers with a value as JSON. One that cannot be JSON is refused before
// anything is sent.
func (s *Responder) WriteJSON(v any, status ...StatusCode) error {
	return s.WriteJSONWith(v, Headers{}, status...)
}

// WriteJSONWith is WriteJSON with header fields. Its Content-Type is
// application/json unless they have one.
func (s *Responder) WriteJSONWith(v any, h Headers, status ...StatusCode) error {
	if s.state != fresh {
		return ErrAlreadyResponded
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	mime := "application/json"
	if h.Has("Content-Type") {
		mime = ""
	}
	return s.data(body, mime, h, statusOf(status))
}

// WriteData answers with bytes of a MIME type.
func (s *Responder) WriteData(body []byte, mime string, status ...StatusCode) error {
	if err := validMIME(mime); err != nil {
		return err
	}
	return s.data(body, mime, Headers{}, statusOf(status))
}

// WriteDataWith answers with bytes and header fields. Without a Content-Type among
// them the type is found by looking at the bytes.
func (s *Responder) WriteDataWith(body []byte, h Headers, status ...StatusCode) error {
	return s.data(body, "", h, statusOf(status))
}

// WriteReader answers with what src gives, of a MIME type. A source whose size can be
// known is sent with its Content-Length: an io.Seeker from where it stands, an
// fs.File, anything with Len. Every other one is sent in chunks as it comes, each at
// once. A source that is an io.Closer is closed, in any case.
func (s *Responder) WriteReader(src io.Reader, mime string, status ...StatusCode) error {
	if err := validMIME(mime); err != nil {
		closeSource(src)
		return err
	}
	return s.reader(src, mime, Headers{}, statusOf(status))
}

// WriteReaderWith is WriteReader with header fields.
func (s *Responder) WriteReaderWith(src io.Reader, h Headers, status ...StatusCode) error {
	return s.reader(src, "", h, statusOf(status))
}

func closeSource(src io.Reader) {
	if c, ok := src.(io.Closer); ok {
		c.Close()
	}
}

// sizeOf is how much a source has left, -1 when only reading tells.
func sizeOf(src io.Reader) int64 {
	switch src := src.(type) {
	case interface{ Len() int }:
		return int64(src.Len())
	case io.Seeker:
		at, err := src.Seek(0, io.SeekCurrent)
		if err != nil {
			return -1 // a pipe is an *os.File, too
		}
		end, err := src.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = src.Seek(at, io.SeekStart)
		}
		if err != nil {
			return -1
		}
		return max(0, end-at)
	case fs.File:
		if st, err := src.Stat(); err == nil && st.Mode().IsRegular() {
			return st.Size()
		}
	}
	return -1
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (s *Responder) reader(src io.Reader, mime string, h Headers, status StatusCode) error {
	if src == nil {
		return io.ErrUnexpectedEOF
	}
	defer closeSource(src)
	if s.state != fresh { // before a byte is read that somebody else may want
		return ErrAlreadyResponded
	}
	size := sizeOf(src)
	if size < 0 {
		return s.stream(src, mime, h, status)
	}
	if err := s.begin(status, h, size); err != nil {
		return err
	}
	s.head(h)
	s.state = responded
	to := s.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	}
	if status.hasBody() && len(to["Content-Length"]) == 0 {
		to["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	s.w.WriteHeader(int(status))
	if size == 0 || s.r.Method == http.MethodHead {
		return nil
	}
	n, err := io.CopyN(s.w, src, size) // net/http uses sendfile for a file
	if err == io.EOF && n < size {
		err = ErrShort
	}
	if err != nil {
		s.broken = true
	}
	return err
}

// stream sends a source of unknown size in chunks.
func (s *Responder) stream(src io.Reader, mime string, h Headers, status StatusCode) error {
	if err := s.begin(status, h, -1); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	// A source that fails at once has sent nothing yet.
	n, err := src.Read(*buf)
	if err != nil && err != io.EOF && n == 0 {
		return err
	}
	if beginErr := s.open(mime, h, nil, status); beginErr != nil {
		return beginErr
	}
	for empty := 0; ; {
		if n > 0 {
			empty = 0
			if werr := s.WriteChunk((*buf)[:n]); werr != nil {
				s.broken = true
				return werr
			}
		} else if empty++; empty == 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err == io.EOF {
			return s.WriteEndChunked(nil)
		}
		if err != nil {
			s.broken = true
			return err
		}
		n, err = src.Read(*buf)
	}
}

// WriteContent answers with a file or anything else that can seek, and honours
// ranges and conditions of the request, see http.ServeContent. name gives the MIME
// type when h has no Content-Type; modified may be zero. content is not closed.
func (s *Responder) WriteContent(name string, modified time.Time, content io.ReadSeeker, h Headers) error {
	if err := s.begin(Ok, h, -1); err != nil {
		return err
	}
	if h.Has("Content-Length") {
		return &HeaderError{"Content-Length", "the framing of the message is not the caller's"}
	}
	s.head(h)
	s.state = responded
	http.ServeContent(s.w, s.r, name, modified, content)
	return nil
}

// WriteInformational sends an interim response, early hints (103) for instance,
// before the answer. HTTP/1.0 knows none: nothing is sent there.
func (s *Responder) WriteInformational(status StatusCode, h Headers) error {
	if s.state != fresh {
		return ErrAlreadyResponded
	}
	if status < 100 || status > 199 || status == SwitchingProtocols {
		return &StatusError{status}
	}
	if f, _, found := h.Invalid(); found {
		return &HeaderError{f.Name, "not a valid field"}
	}
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		if h.Has(name) {
			return &HeaderError{name, "an interim response has no content"}
		}
	}
	if !s.r.ProtoAtLeast(1, 1) {
		return nil
	}
	to := s.w.Header()
	kept := to.Clone()
	s.head(h)
	s.w.WriteHeader(int(status))
	clear(to)
	for name, values := range kept {
		to[name] = values
	}
	return nil
}

// SetWriteDeadline bounds the time that writing may take from now on, see
// http.ResponseController.
func (s *Responder) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(s.w).SetWriteDeadline(t)
}

// Responded tells whether an answer was given, or begun.
func (s *Responder) Responded() bool { return s.state != fresh }

// IsResponseCanceled tells whether the client has gone, or nobody waits for the answer
// any more.
func (s *Responder) IsResponseCanceled() bool { return s.r.Context().Err() != nil }

// Context ends when the client has gone.
func (s *Responder) Context() context.Context { return s.r.Context() }

// Swap exchanges two responders, which answer each other's request from then on.
func (s *Responder) Swap(o *Responder) { *s, *o = *o, *s }

// RemoteAddr is the address of the client, nil when it is not known.
func (s *Responder) RemoteAddr() net.Addr {
	if a, err := netip.ParseAddrPort(s.r.RemoteAddr); err == nil {
		return net.TCPAddrFromAddrPort(a)
	}
	return nil
}

// LocalAddr is the address the client has connected to, nil when it is not known.
func (s *Responder) LocalAddr() net.Addr {
	a, _ := s.r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return a
}

// Unwrap is the writer beneath, for http.NewResponseController. Writing to it goes
// behind the Responder's back.
func (s *Responder) Unwrap() http.ResponseWriter { return s.w }
