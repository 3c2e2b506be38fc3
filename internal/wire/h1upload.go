package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// h1Upload sends a request body on its own goroutine, which the exchange starts after it has
// written the head. The goroutine ends with the source, with a write error, or when the
// exchange has ended, which interrupts the connection and closes the source; nobody waits
// for a Read of the source. Of the request it uses only the body and the trailers.
type h1Upload struct {
	e       *h1Exchange
	source  io.Reader // the body of e
	f       requestFraming
	trailer http.Header   // filled in by the source
	proceed chan bool     // capacity 1: whether to send the body; nil if it is sent at once
	done    chan struct{} // closed at the end
	err     error         // set before done is closed
}

// continueTimeout is how long a body waits for 100 Continue: a server need not support it
// (RFC 9110, section 10.1.1).
const continueTimeout = time.Second

// makeHead writes the head of the request to e.buf.out.
func (e *h1Exchange) makeHead(req *http.Request, f *requestFraming) error {
	err := e.buf.out.write(req, f, e.x.Order, e.trace)
	if err != nil {
		return e.unsendable(err)
	}
	return nil
}

// unsendable is the error of a request of which nothing was sent.
//
//go:noinline
func (e *h1Exchange) unsendable(err error) error {
	return &Error{Phase: Send, Fault: Malformed, Reused: e.x.Conn.Reused, Err: err}
}

// written takes note of the result of writing e.buf.out, and returns its error.
func (e *h1Exchange) written(n int, err error) error {
	e.sent.Add(int64(n))
	if err != nil {
		e.h.writeFailed(err)
	}
	return err
}

// send writes the head, together with a body in memory, and starts the upload of others. There is a
// body.
func (e *h1Exchange) send(req *http.Request) error {
	f, err := framingOf(req)
	var source io.Reader = e.body
	inline := false
	if err == nil && f.chunked && usuallyLacksBody(req.Method) {
		p := e.peekBody()
		if source = p; p.empty() {
			f, inline = requestFraming{}, true
		}
	}
	if err != nil {
		return e.unsendable(err)
	}
	if err := e.makeHead(req, &f); err != nil {
		return err
	}
	wait := !inline && httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue")
	out := &e.buf.out
	if memory := e.x.Memory; !inline && !wait && 0 < f.length && f.length <= inlineLimit && memory != nil {
		inline = true
		out.out = append(out.out, (*memory)[:f.length]...)
	}
	err = e.written(e.h.stream.Write(out.out))
	if inline {
		e.wrote(err)
		e.closeBody()
		return nil
	}
	u := &h1Upload{e: e, source: source, f: f, trailer: req.Trailer, done: make(chan struct{})}
	if e.upload = u; err != nil {
		u.end(err)
		return nil
	}
	if wait {
		u.proceed = make(chan bool, 1)
		if e.trace != nil && e.trace.Wait100Continue != nil {
			e.trace.Wait100Continue()
		}
	}
	go u.run()
	return nil
}

// wrote calls the hook for the end of the request.
func (e *h1Exchange) wrote(err error) {
	if e.trace != nil && e.trace.WroteRequest != nil {
		e.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// awaits100 reports whether the body is sent only after 100 Continue.
func (u *h1Upload) awaits100() bool { return u != nil && u.proceed != nil }

// permit decides whether a body that waits is sent. Only the first call counts.
func (u *h1Upload) permit(send bool) {
	select {
	case u.proceed <- send:
	default:
	}
}

// finish is called at the end of the exchange. It reports whether the body was sent as a
// whole and delimited, for which it waits for a short time if ok is set.
func (u *h1Upload) finish(ok bool) bool {
	if u.awaits100() {
		u.permit(false)
	}
	return ok && u.f.length >= 0 && u.wait() && u.err == nil
}

// uploadGrace is how long the end of a response waits for the end of the request.
const uploadGrace = 50 * time.Millisecond

// wait waits for the end of the upload, and reports whether it has come.
func (u *h1Upload) wait() bool {
	select {
	case <-u.done:
		return true
	default:
	}
	timer := time.NewTimer(uploadGrace)
	defer timer.Stop()
	select {
	case <-u.done:
		return true
	case <-timer.C:
		return false
	}
}

func (u *h1Upload) run() {
	err := errUnfinished
	defer func() {
		if err == errUnfinished {
			u.e.sourceFailed(err)
		}
		u.end(err)
	}()
	if !u.allowed() {
		err = errNotAllowed
	} else {
		err = u.copyBody()
	}
}

// end ends the upload.
func (u *h1Upload) end(err error) {
	defer close(u.done)
	if u.err = err; err == errNotAllowed {
		err = nil
	}
	u.e.wrote(err)
	u.e.closeBody()
}

// errNotAllowed is the end of an upload that the server has refused.
var errNotAllowed = errors.New("the server has refused the request body")

// errUnfinished is the error of a source whose Read calls runtime.Goexit.
var errUnfinished = errors.New("reading the request body has ended its goroutine")

// allowed waits until the body may be sent, and reports whether it may.
func (u *h1Upload) allowed() bool {
	if u.proceed == nil {
		return true
	}
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case ok := <-u.proceed:
		return ok
	case <-timer.C:
		return true
	}
}

// chunkRoom is the room for the size of a chunk, and for the line end behind it.
const chunkRoom = 16 + 2

// uploadBuffers are for bodies of which little comes at a time, copyBuffers for others: many
// uploads may wait for their sources, for a long time.
var uploadBuffers = sync.Pool{New: func() any { b := make([]byte, chunkRoom+16<<10+2); return &b }}

// copyBody sends the body in the pieces that its Read returns.
func (u *h1Upload) copyBody() error {
	pool := &uploadBuffers
	bp := pool.Get().(*[]byte)
	defer func() { pool.Put(bp) }()
	left := u.f.length
	known := !u.f.chunked && left >= 0
	for {
		buf := *bp
		room := buf[chunkRoom : len(buf)-2]
		n, err := u.source.Read(room)
		if known && int64(n) > left {
			err = fmt.Errorf("the request body is longer than its length of %d bytes", u.f.length)
			n = int(left)
		}
		left -= int64(n)
		if n > 0 {
			if err := u.write(u.frame(buf, n)); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && known && left > 0:
			err = fmt.Errorf("the request body is %d bytes shorter than its length of %d bytes", left, u.f.length)
			fallthrough
		case err != nil && err != io.EOF:
			u.e.sourceFailed(err)
			return err
		case err == io.EOF:
			return u.writeEnd(buf[:0])
		case n == len(room) && pool != &copyBuffers:
			pool.Put(bp)
			pool = &copyBuffers
			bp = pool.Get().(*[]byte)
		}
	}
}

// frame returns the bytes to send for a piece of n bytes, which begins at chunkRoom.
func (u *h1Upload) frame(buf []byte, n int) []byte {
	if !u.f.chunked {
		return buf[chunkRoom : chunkRoom+n]
	}
	var digits [16]byte
	size := strconv.AppendInt(digits[:0], int64(n), 16)
	start := chunkRoom - 2 - len(size)
	copy(buf[start:], size)
	copy(buf[chunkRoom-2:], "\r\n")
	copy(buf[chunkRoom+n:], "\r\n")
	return buf[start : chunkRoom+n+2]
}

// writeEnd sends the end of the body, with its trailers.
func (u *h1Upload) writeEnd(buf []byte) error {
	if !u.f.chunked {
		return nil
	}
	buf = append(buf, "0\r\n"...)
	for _, name := range u.f.trailer {
		for _, v := range u.trailer[name] {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				err := fmt.Errorf("invalid trailer %.40q", name)
				u.e.sourceFailed(err)
				return err
			}
			buf = append(buf, name+": "+v+"\r\n"...)
		}
	}
	return u.write(append(buf, "\r\n"...))
}

// write writes to the connection.
func (u *h1Upload) write(p []byte) error {
	n, err := u.e.h.write(p)
	u.e.sent.Add(int64(n))
	return err
}
