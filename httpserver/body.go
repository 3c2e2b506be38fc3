package httpserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// maxAhead is how much of a request's body is kept for a handler that has not read it.
	maxAhead = 256 << 10
	// slowest is how many bytes of a body a second are fast enough: so many give a client a
	// second more, up to the server's StallTimeout.
	slowest = 1 << 10
)

// requestBody is the body of a request as its handler gets it: under the limits of a
// Server, and read ahead where a handler wants to know of the client's end (net/http sees
// that of an HTTP/1 client only behind the body).
type requestBody struct {
	src    io.ReadCloser
	of, to *http.Request // net/http's and the handler's
	rc     *http.ResponseController
	h1     bool
	expect bool // reading asks the client to send it (RFC 9110, section 10.1.1)

	// Of whoever is in next.
	max, left int64 // bytes at most, and those of them that may still come; max below 0: any
	stall     time.Duration
	patience  time.Duration // what is left of stall
	guard     watchdog      // on HTTP/2

	mu      sync.Mutex
	turn    sync.Cond
	reading bool   // somebody is in next
	begun   bool   // somebody was
	ahead   bool   // reading ahead is wanted
	filling bool   // the goroutine for that runs
	ended   bool   // the handler has returned
	buf     []byte // read ahead
	err     error  // behind buf
}

// newRequestBody makes the body of a request, nil where net/http's will do.
func newRequestBody(w http.ResponseWriter, r *http.Request, s *Server) *requestBody {
	h1 := r.ProtoMajor == 1
	if r.Body == nil || r.Body == http.NoBody || s == nil && !h1 {
		return nil
	}
	b := &requestBody{src: r.Body, of: r, rc: http.NewResponseController(w), h1: h1, expect: r.Header.Get("Expect") != "", max: -1}
	if s != nil {
		b.max, b.left = s.cfg.MaxBodySize, s.cfg.MaxBodySize
		b.stall = max(0, s.cfg.StallTimeout)
		b.patience = b.stall
	}
	b.turn.L = &b.mu
	b.guard.fire = func() { b.rc.SetReadDeadline(longAgo) }
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	for b.reading && len(b.buf) == 0 {
		b.turn.Wait()
	}
	switch {
	case b.ended:
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	case len(b.buf) > 0 || b.err != nil:
		n := copy(p, b.buf)
		b.buf = b.buf[n:]
		err := b.err
		if len(b.buf) > 0 {
			err = nil
		}
		b.fill()
		b.mu.Unlock()
		b.atEnd(err)
		return n, err
	}
	b.reading, b.begun = true, true
	b.mu.Unlock()
	n, err := b.next(p)
	b.mu.Lock()
	b.reading, b.err = false, err
	b.turn.Broadcast()
	b.fill()
	ended := b.ended
	b.mu.Unlock()
	if !ended {
		b.atEnd(err)
	}
	return n, err
}

// atEnd passes trailers on that were not announced, which net/http puts into its request.
func (b *requestBody) atEnd(err error) {
	if err == io.EOF && b.to.Trailer == nil {
		b.to.Trailer = b.of.Trailer
	}
}

// Close is net/http's to do when the handler has returned.
func (b *requestBody) Close() error { return nil }

// next reads from the client.
func (b *requestBody) next(p []byte) (int, error) {
	if b.max >= 0 && int64(len(p))-1 > b.left { // left+1 may be beyond an int64
		p = p[:b.left+1]
	}
	n, err := b.wait(p)
	if b.max < 0 || int64(n) <= b.left {
		b.left -= int64(n)
		return n, err
	}
	return int(b.left), &http.MaxBytesError{Limit: b.max}
}

// errSlowBody is a body that came too slowly.
var errSlowBody = fmt.Errorf("httpserver: the request's body comes too slowly: %w", os.ErrDeadlineExceeded)

// wait reads as soon as there is something to read, as long as there is patience.
func (b *requestBody) wait(p []byte) (int, error) {
	if b.stall == 0 {
		return b.src.Read(p)
	}
	began := time.Now()
	b.mu.Lock()
	switch {
	case b.ended:
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	case b.h1:
		b.rc.SetReadDeadline(began.Add(b.patience))
	default:
		b.guard.start(b.patience)
	}
	b.mu.Unlock()
	n, err := b.src.Read(p)
	b.guard.stop()
	b.patience = min(b.stall, b.patience-time.Since(began)+time.Duration(n)*time.Second/slowest)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSlowBody
	}
	return n, err
}

// readAhead reads the body from now on before the handler does, up to maxAhead. The
// caller holds what orders the use of the response.
func (b *requestBody) readAhead() {
	b.mu.Lock()
	defer b.mu.Unlock()
	// What is not asked for is left where it is, and what net/http would read itself
	// before it writes the head is not read by two.
	if b.ahead || b.ended || b.err != nil || !b.h1 || b.expect && !b.begun || b.rc.EnableFullDuplex() != nil {
		return
	}
	b.ahead = true
	b.fill()
}

// fill starts the goroutine that reads ahead where that is wanted and possible; it ends
// with the body, with maxAhead, or with the exchange. The caller holds mu.
func (b *requestBody) fill() {
	if b.ahead && b.mayFill() && !b.filling && !b.reading {
		b.filling, b.reading, b.begun = true, true, true
		go b.filler()
	}
}

func (b *requestBody) mayFill() bool { return b.err == nil && !b.ended && len(b.buf) < maxAhead }

func (b *requestBody) filler() {
	piece := buffers.Get().(*[]byte)
	defer buffers.Put(piece)
	for more := true; more; {
		n, err := b.next(*piece)
		b.mu.Lock()
		b.buf = append(b.buf, (*piece)[:n]...)
		b.err = err
		if more = b.mayFill(); !more {
			b.filling, b.reading = false, false
		}
		b.turn.Broadcast()
		b.mu.Unlock()
	}
}

// commit is called before the head of the answer is final, and reports whether the
// connection cannot be used again.
func (b *requestBody) commit() (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err == io.EOF:
		return false
	case b.err != nil || b.ahead || b.expect && b.begun: // the last net/http closes while the client sends
		return true
	}
	b.bound()
	return false
}

// bound ends net/http's own reading of the rest, which it does before it writes a head or
// takes the next request: early enough for the head to leave.
func (b *requestBody) bound() {
	if b.h1 && b.stall > 0 && !b.reading {
		b.rc.SetReadDeadline(time.Now().Add(b.stall / 2))
	}
}

// end takes the body from whoever reads it. The handler has returned. A Read under a writer
// without SetReadDeadline, such as http.TimeoutHandler's, is not waited for: it would last
// until the client sends something, and net/http has its own lock against it.
func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.reading && b.rc.SetReadDeadline(longAgo) == nil {
		for b.reading {
			b.turn.Wait()
		}
	}
}

// atEOF tells whether all of the body has come.
func (b *requestBody) atEOF() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// tooSlow tells whether the body ended for that reason.
func (b *requestBody) tooSlow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == errSlowBody
}

// closePolitely has net/http close the connection behind the answer, and give the client
// time to read it before: it does so where a http.MaxBytesReader has met its limit.
func closePolitely(w http.ResponseWriter) {
	for {
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = inner.Unwrap()
	}
	http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}
