package httpserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// serverWriter is the http.ResponseWriter that a Server gives to whatever answers: handlers
// of net/http and Responders, behind middleware or not. It holds the client to the Server's
// limits, lets the hooks see the head, and counts.
type serverWriter struct {
	http.ResponseWriter
	server *Server
	r      *http.Request
	body   *requestBody // nil without one
	began  time.Time

	// Used by one goroutine at a time, as every http.ResponseWriter.
	status   StatusCode // of the head, 0 before it
	bytes    int64      // of the body
	taken    bool       // the connection is the handler's own
	hooked   bool       // the hooks have been called
	prepared StatusCode // of the Response that they have seen before, else 0
	deadline time.Time  // the handler's own
	stall    watchdog   // of writes on HTTP/2

	mu      sync.Mutex
	err     error         // the first reason why the answer is not what it should be
	pattern string        // of the route, "" before it and without one
	inner   *http.Request // a copy of what is behind the middleware; nil where that is r

	handlesError bool // the ErrorHandler has been asked
}

type serverWriterKey struct{}

// serverWriterOf is the one of a request, found behind any middleware; nil outside a Server.
func serverWriterOf(r *http.Request) *serverWriter {
	w, _ := r.Context().Value(serverWriterKey{}).(*serverWriter)
	return w
}

func newServerWriter(w http.ResponseWriter, r *http.Request, s *Server) *serverWriter {
	sw := &serverWriter{ResponseWriter: w, server: s, began: time.Now(), body: newRequestBody(w, r, s)}
	sw.r = r.WithContext(context.WithValue(r.Context(), serverWriterKey{}, sw))
	if sw.body != nil {
		sw.r.Body, sw.body.to = sw.body, sw.r
	}
	return sw
}

// routed notes the request that is behind the middleware. A copy of it, because middleware
// may answer while its handler still runs, as http.TimeoutHandler does.
func (w *serverWriter) routed(r *http.Request, pattern string) {
	var inner *http.Request
	if r != w.r && (len(w.server.after)+len(w.server.done) > 0 || w.server.cfg.ErrorHandler != nil) {
		inner = r.WithContext(r.Context())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pattern, w.inner = pattern, inner
}

// request is what the hooks get, with the pattern of its route.
func (w *serverWriter) request() (r *http.Request, pattern string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inner != nil {
		return w.inner, w.pattern
	}
	return w.r, w.pattern
}

// serve runs a handler and ends its answer.
func (w *serverWriter) serve(h http.Handler) {
	done := false
	defer func() {
		if !done {
			w.panicked(recover())
		}
	}()
	if w.r.ProtoMajor == 1 {
		w.arm() // for what is written beside w: that a body may come (Expect)
	}
	h.ServeHTTP(w, w.r)
	w.end()
	done = true
	w.server.finished(w)
}

// panicked ends an answer whose handler has panicked with v: as HandlerFunc does.
func (w *serverWriter) panicked(v any) {
	switch {
	case v == nil: // runtime.Goexit: net/http closes the connection
		w.fail(ErrNoAnswer)
	case v == http.ErrAbortHandler:
		w.fail(http.ErrAbortHandler)
	default:
		p := &PanicError{v, debug.Stack()}
		w.fail(p)
		if w.status == 0 && !w.taken {
			clear(w.Header())
			if w.answerPanic(p) {
				v = nil
			}
		}
	}
	w.end()
	w.server.finished(w)
	if v != nil {
		panic(http.ErrAbortHandler) // v itself has been told
	}
}

// end takes the request from the handler, and bounds the time for what net/http still holds
// of the answer.
func (w *serverWriter) end() {
	if w.failure() == nil {
		w.head() // net/http would send it, and the hooks would not see it
	}
	if w.body != nil {
		w.body.end()
		if w.r.MultipartForm != nil {
			w.r.MultipartForm.RemoveAll() // net/http knows its own request's only
		}
	}
	if w.r.ProtoMajor == 1 {
		w.arm()
	}
}

// fail notes why the answer is not what it should be.
func (w *serverWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, panicked := err.(*PanicError); panicked || w.err == nil {
		w.err = err
	}
}

func (w *serverWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// wrote notes an error of writing.
func (w *serverWriter) wrote(err error) {
	switch {
	case err == nil, errors.Is(err, http.ErrNotSupported), errors.Is(err, http.ErrHijacked):
	case ofWriter(err):
		w.fail(err)
	default:
		w.fail(fmt.Errorf("%w: %w", ErrClientGone, err))
	}
}

// Unwrap is for http.ResponseController.
func (w *serverWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *serverWriter) WriteHeader(status int) {
	if !w.taken && (status >= 200 || status == int(SwitchingProtocols)) {
		if w.status == 0 {
			w.begin(StatusCode(status))
		}
		status = int(w.status)
	}
	w.arm()
	w.ResponseWriter.WriteHeader(status)
	w.disarm()
}

// head begins an answer that has not begun, with the status that net/http would take.
func (w *serverWriter) head() {
	if w.status != 0 || w.taken {
		return
	}
	if w.begin(Ok); w.status != Ok {
		w.ResponseWriter.WriteHeader(int(w.status))
	}
}

// begin is done before the head is final.
func (w *serverWriter) begin(status StatusCode) {
	if len(w.server.after) > 0 && w.prepared != status && !w.hooked {
		w.hooked = true // also when one of them panics, which is answered, too
		status = w.prepare(status)
	}
	w.status = status
	if w.body != nil && w.r.ProtoMajor == 1 && status != SwitchingProtocols && w.body.commit() {
		w.Header()["Connection"] = []string{"close"}
		closePolitely(w.ResponseWriter)
	}
}

// prepare lets the hooks change a head.
func (w *serverWriter) prepare(status StatusCode) StatusCode {
	to := w.Header()
	p := &Response{Status: status}
	for name, values := range to {
		for _, v := range values {
			if !strings.Contains(name, ":") { // net/http's sign for trailers
				p.Headers.Add(name, v)
			}
		}
	}
	w.server.prepare(w, p)
	for name, values := range to {
		if len(values) > 0 && !strings.Contains(name, ":") && !isFraming(name) { // no value keeps net/http's own away
			delete(to, name)
		}
	}
	spelled := spelledFor(w.r)
	for name, value := range p.Headers.All() {
		switch {
		case isFraming(name), w.r.ProtoMajor > 1 && isOfConnection(name):
		case !httpguts.ValidHeaderFieldName(name), !httpguts.ValidHeaderFieldValue(value):
			w.fail(&HeaderError{name, "not a valid field, in AfterRequest"})
		default:
			key := fieldKey(name, spelled)
			to[key] = append(to[key], value)
		}
	}
	if s := p.status(); s.final() && s.hasBody() == status.hasBody() {
		return s
	}
	return status
}

func (w *serverWriter) count(n int64) {
	if w.r.Method != http.MethodHead {
		w.bytes += n
	}
}

// writePiece is how much of an answer has to leave within a server's StallTimeout.
const writePiece = 64 << 10

// limited tells whether a client must read on to be sent more.
func (w *serverWriter) limited() bool { return w.server.cfg.StallTimeout > 0 && !w.taken }

func (w *serverWriter) Write(p []byte) (n int, err error) {
	w.head()
	for {
		piece := p[n:]
		if w.limited() {
			piece = piece[:min(len(piece), writePiece)]
		}
		w.arm()
		m, err := w.ResponseWriter.Write(piece)
		w.disarm()
		n += m
		w.count(int64(m))
		if err != nil || n == len(p) {
			w.wrote(err)
			return n, err
		}
	}
}

// ReadFrom lets net/http use sendfile. The time that other sources take is not the client's.
func (w *serverWriter) ReadFrom(src io.Reader) (n int64, err error) {
	l, ok := src.(*io.LimitedReader)
	if !ok {
		l = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	if f, ok := l.R.(*os.File); !ok || !isRegular(f) {
		block := buffers.Get().(*[]byte)
		defer buffers.Put(block)
		return io.CopyBuffer(struct{ io.Writer }{w}, src, *block)
	}
	w.head()
	for {
		piece := l.N
		if w.limited() {
			piece = min(piece, writePiece)
		}
		w.arm()
		m, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: l.R, N: piece})
		w.disarm()
		n += m
		l.N -= m
		w.count(m)
		var file *fs.PathError
		if errors.As(err, &file) {
			return n, err
		}
		if w.wrote(err); err != nil || m < piece || l.N == 0 {
			return n, err
		}
	}
}

func isRegular(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode().IsRegular()
}

// Flush is FlushError for those who ask for an http.Flusher.
func (w *serverWriter) Flush() { w.FlushError() }

func (w *serverWriter) FlushError() error {
	w.head()
	w.arm()
	err := http.NewResponseController(w.ResponseWriter).Flush()
	w.disarm()
	w.wrote(err)
	return err
}

// Hijack gives the connection away, and with it the limits.
func (w *serverWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.taken = true
		c.SetDeadline(time.Time{})
	}
	return c, rw, err
}

// SetWriteDeadline keeps the handler's own deadline besides the server's.
func (w *serverWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// arm bounds the write that follows. HTTP/1 has a deadline, which counts only while
// something is written; that of HTTP/2 resets the stream whenever it passes, and a timer
// takes its place.
func (w *serverWriter) arm() {
	if !w.limited() {
		return
	}
	wait := w.server.cfg.StallTimeout
	if w.r.ProtoMajor == 1 {
		until := time.Now().Add(wait)
		if !w.deadline.IsZero() && w.deadline.Before(until) {
			until = w.deadline
		}
		http.NewResponseController(w.ResponseWriter).SetWriteDeadline(until)
		return
	}
	if w.stall.fire == nil {
		w.stall.fire = func() { http.NewResponseController(w.ResponseWriter).SetWriteDeadline(longAgo) }
	}
	w.stall.start(wait)
}

func (w *serverWriter) disarm() { w.stall.stop() }
