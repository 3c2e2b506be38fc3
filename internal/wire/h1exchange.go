package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/internal/reqctx"
)

// h1Exchange is one request and its response on an h1Conn, and the body of that response.
//
// Its owner is the goroutine of RoundTrip, and then the one that reads the body, or Close if
// none does. The owner finishes the exchange, once.
type h1Exchange struct {
	h     *h1Conn
	x     *Exchange
	ctx   context.Context
	trace *httptrace.ClientTrace
	stop  func() bool // ends watching the context; nil if that cannot end, or for watched
	// watched is the context if it calls ContextEnded itself, else nil
	watched *reqctx.Context

	body     io.ReadCloser // of the request; nil for none
	bodyOnce sync.Once
	upload   *h1Upload // nil if the body is sent together with the head
	sent     atomic.Int64

	// used by the owner
	buf      *h1Buffers
	received int64
	readErr  error          // the error that has ended reading from the connection
	closes   bool           // the client or the server closes the connection
	returned bool           // roundTrip has returned
	left     int64          // bytes of a body of known length still to be read
	resp     *http.Response // whose trailers are at the end of a chunked body

	head  parsedHead
	clean bool // nothing refers to the exchange after its end; see Exchange.Spare

	mu       sync.Mutex
	reading  bool // Read runs
	closed   bool // Close was called
	finished bool
	end      error // of every Read after the last one
	cause    error // why the connection was interrupted: an error of the request body
}

func (h *h1Conn) newExchange(req *http.Request, x *Exchange) *h1Exchange {
	e := x.h1 // of Spare: only its head is set
	if e == nil {
		e = new(h1Exchange)
	}
	e.h, e.x, e.ctx = h, x, req.Context()
	e.buf = borrowBuffers(h.headLimit, req.Method, h.lenient)
	e.trace = httptrace.ContextClientTrace(e.ctx)
	if req.Body != http.NoBody {
		e.body = req.Body
	}
	x.h1 = e
	h.begin()
	return e
}

// watch makes the end of the context call ContextEnded.
func (e *h1Exchange) watch() {
	if c, ok := e.ctx.(*reqctx.Context); ok && c.Watch(e) {
		e.watched = c
	} else if e.ctx.Done() != nil {
		e.stop = context.AfterFunc(e.ctx, e.ContextEnded)
	}
}

// unwatch ends watch. It returns false if the context has ended.
func (e *h1Exchange) unwatch() bool {
	switch {
	case e.watched != nil:
		return e.watched.Unwatch(e)
	case e.stop != nil:
		return e.stop()
	}
	return true
}

// ContextEnded is called when the context has ended. It does not block, as closing the request
// body may.
func (e *h1Exchange) ContextEnded() {
	e.h.interrupt()
	if e.body != nil {
		go e.closeBody()
	}
}

// closeBody closes the request body, once.
func (e *h1Exchange) closeBody() {
	if e.body != nil {
		e.bodyOnce.Do(func() { e.body.Close() })
	}
}

// request sends the request, and waits for the first bytes of the response. A request without a
// body does not go through send: a small stack is enough for it.
func (e *h1Exchange) request(req *http.Request) (err error) {
	e.watch()
	if e.body != nil {
		err = e.send(req)
	} else if err = e.makeHead(req, &noFraming); err == nil {
		e.wrote(e.written(e.h.stream.Write(e.buf.out.out)))
	}
	if err == nil {
		e.awaitHead() // its error is the result of fillHead
	}
	return err
}

// response returns the response, of which a first head has come.
func (e *h1Exchange) response(req *http.Request) (*http.Response, error) {
	resp, err := e.readHead(req)
	if err == nil {
		resp, err = e.receive(req, resp)
	}
	if err != nil {
		return nil, err
	}
	e.closes = resp.Close || req.Close || httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close")
	return resp, e.setBody(resp)
}

// setBody gives a response its body. Without one the exchange ends here.
func (e *h1Exchange) setBody(resp *http.Response) error {
	tap := &e.buf.tap
	switch tap.framing {
	case tunnel:
		return e.becomeTunnel(resp)
	case byLength:
		e.left = tap.left
		tap.left = 0
		resp.Body = e
	case byChunks:
		e.resp, resp.Body = resp, e
	case byClose:
		resp.Body = e
	default:
		resp.Body = http.NoBody
		e.mu.Lock()
		e.finished, e.end = true, io.EOF
		e.mu.Unlock()
		e.finish(true)
	}
	return nil
}

// finish ends the exchange. ok means that the response was received as a whole. It is called
// once, by the owner.
func (e *h1Exchange) finish(ok bool) {
	unwatched := e.unwatch()
	if !unwatched {
		ok = false // the context has ended: the connection is being interrupted
	}
	e.clean = unwatched && e.upload == nil
	tap := &e.buf.tap
	ok = ok && tap.fault == nil && tap.stage == over && !tap.noReuse && !e.closes && !e.trailing()
	if e.upload != nil {
		ok = e.upload.finish(ok)
	}
	hint, limited := tap.keepAlive, tap.limitsKeep
	e.buf.giveBack()
	e.buf = nil
	if kept := ok && e.h.keepFor(hint, limited); kept {
		if e.trace != nil && e.trace.PutIdleConn != nil {
			e.trace.PutIdleConn(nil)
		}
	} else if e.upload != nil {
		e.h.interrupt() // a running write ends
	}
	e.closeBody()
}

// trailing reports whether bytes follow the response. Empty lines do not count.
func (e *h1Exchange) trailing() bool {
	b := e.buf
	if b.hi-b.lo > maxBlank {
		return true
	}
	for _, c := range b.unread() {
		if c != '\r' && c != '\n' {
			return true
		}
	}
	return false
}

// becomeTunnel makes the connection one for another protocol, after the request was sent as
// a whole.
func (e *h1Exchange) becomeTunnel(resp *http.Response) error {
	if u := e.upload; u != nil {
		select {
		case <-u.done:
		case <-e.ctx.Done():
			return context.Cause(e.ctx)
		}
		if u.err != nil {
			e.readErr = e.h.failedWrite() // nil for an error of the source
			return u.err
		}
	}
	if !e.unwatch() {
		return context.Cause(e.ctx)
	}
	b := e.buf
	resp.Body = &h1Tunnel{e.h.stream, bytes.Clone(b.unread())}
	b.giveBack()
	e.buf = nil
	return nil
}

// h1Tunnel reads what follows a 101 response.
type h1Tunnel struct {
	net.Conn
	rest []byte // that has come with the head
}

func (t *h1Tunnel) Read(p []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// readStream reads from the connection.
func (e *h1Exchange) readStream(p []byte) (int, error) {
	n, err := e.h.stream.Read(p)
	return n, e.afterRead(n, err)
}

// afterRead updates the exchange after a read, and returns the error that has ended reading.
func (e *h1Exchange) afterRead(n int, err error) error {
	if n > 0 {
		if e.received == 0 && e.trace != nil && e.trace.GotFirstResponseByte != nil {
			e.trace.GotFirstResponseByte()
		}
		e.received += int64(n)
		e.x.Observer.Activity()
	}
	if err != nil {
		if err == io.EOF {
			if e.upload != nil && e.buf.tap.framing == byClose {
				e.h.endWrite() // it may be failing
			}
			if failed := e.h.failedWrite(); failed != nil {
				err = failed // that has consumed the socket's error: this is no clean end
			}
		}
		e.readErr = err
		if !e.h.isInterrupted() {
			e.h.readEnded()
		}
	}
	return err
}

// errBodyClosed is the error of a Read after Close.
var errBodyClosed = fmt.Errorf("read on closed response body: %w", net.ErrClosed)

// Read reads the body of the response.
func (e *h1Exchange) Read(p []byte) (int, error) {
	e.mu.Lock()
	switch {
	case e.closed && e.end != io.EOF:
		e.mu.Unlock()
		return 0, errBodyClosed
	case e.finished:
		defer e.mu.Unlock()
		return 0, e.end
	}
	e.reading = true
	e.mu.Unlock()
	n, err := e.readBody(p)
	if closed := e.readDone(err); closed {
		n, err = 0, errBodyClosed
	}
	if err != nil {
		e.finish(err == io.EOF)
	}
	return n, err
}

// readDone ends a Read. closed reports that Close was called meanwhile.
func (e *h1Exchange) readDone(err error) (closed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	if e.closed {
		err = errBodyClosed
	}
	if err != nil {
		e.finished, e.end = true, err
	}
	return e.closed
}

// readBody reads the body according to its framing.
func (e *h1Exchange) readBody(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	tap := &e.buf.tap
	switch tap.framing {
	case byLength:
		n, err := e.readBytes(p[:min(int64(len(p)), e.left)])
		if e.left -= int64(n); e.left == 0 {
			tap.stage = over
			return n, io.EOF
		}
		return n, noEOF(err)
	case byChunks:
		return e.readChunks(p)
	default:
		return e.readBytes(p)
	}
}

// readChunks reads and decodes a chunked body. A large Read reads from the connection into p,
// where the data is decoded in place.
func (e *h1Exchange) readChunks(p []byte) (n int, err error) {
	b := e.buf
	s := &b.tap.chunks
	for n == 0 && err == nil {
		var used int
		switch {
		case b.lo < b.hi:
			n, used, err = s.decode(p, b.unread())
			b.lo += used
		case e.readErr != nil:
			return 0, noEOF(e.readErr)
		case len(p) < readBuffer:
			b.hi, _ = e.readStream(b.space())
			continue // an error is the result of the next round
		default:
			var m int
			m, _ = e.readStream(p)
			n, used, err = s.decode(p, p[:m])
			if err == nil && used < m {
				b.hi = copy(b.space(), p[used:m]) // behind the response: its length does not matter
			}
		}
		if err != nil {
			b.tap.fault = err
			return n, e.malformedBody()
		}
		if s.done() {
			b.tap.stage = over
			return n, e.readTrailer()
		}
	}
	return n, err
}

// readTrailer parses the trailers of a chunked body, and returns io.EOF.
func (e *h1Exchange) readTrailer() error {
	s := &e.buf.tap.chunks
	if len(s.trailer) == len("\r\n") {
		return io.EOF
	}
	fields, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(s.trailer))).ReadMIMEHeader()
	if err != nil {
		e.buf.tap.fault = err
		return e.malformedBody()
	}
	if e.resp.Trailer == nil {
		e.resp.Trailer = http.Header{}
	}
	maps.Copy(e.resp.Trailer, http.Header(fields))
	return io.EOF
}

// noEOF is the error of a connection that ended too early.
func noEOF(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readBytes reads what follows the head.
func (e *h1Exchange) readBytes(p []byte) (int, error) {
	b := e.buf
	if b.lo < b.hi {
		n := copy(p, b.unread())
		b.lo += n
		return n, nil
	}
	if e.readErr != nil {
		return 0, e.readErr
	}
	return e.readStream(p)
}

// rest reports, at Close, whether the rest of the body has arrived, so that the connection
// can be reused without it.
func (e *h1Exchange) rest() bool {
	b := e.buf
	if b.tap.framing == byLength && int64(b.hi-b.lo) >= e.left {
		b.lo += int(e.left)
		b.tap.stage = over
	}
	return b.tap.stage == over
}

// Close ends the exchange. It does not wait for a running Read, which then fails.
func (e *h1Exchange) Close() error {
	e.mu.Lock()
	if e.closed || e.finished {
		e.closed = true
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	if e.reading {
		e.mu.Unlock()
		e.h.interrupt()
		return nil
	}
	e.finished, e.end = true, errBodyClosed
	e.mu.Unlock()
	e.finish(e.rest())
	return nil
}

// sourceFailed ends the exchange because of an error of the request body: the server would
// wait for the rest forever.
func (e *h1Exchange) sourceFailed(err error) {
	e.mu.Lock()
	e.cause = err
	e.mu.Unlock()
	e.h.interrupt()
}

// fault classifies an error of the exchange. It is called by the owner, before finish in
// the case of RoundTrip.
func (e *h1Exchange) fault(err error, phase Phase) error {
	var known *Error
	if errors.As(err, &known) {
		return known // made below, or by a hook for interim responses
	}
	f := &Error{Phase: phase, Reused: e.x.Conn.Reused, Began: phase == Body || e.received > 0, Sent: e.sent.Load(), Err: err}
	e.mu.Lock()
	cause := e.cause
	e.mu.Unlock()
	if cause != nil && (e.readErr == nil || isTimeout(e.readErr)) {
		var source *SourceError
		if errors.As(cause, &source) {
			cause = source.Err
		}
		f.Phase, f.Fault, f.Err = Send, Source, cause
		return f
	}
	failed := e.h.failedWrite()
	if e.readErr != nil && isTimeout(e.readErr) && failed != nil { // no response came after it
		err, e.readErr = failed, failed
		f.Err = failed
	}
	switch {
	case e.readErr == nil:
		f.Fault = Malformed
	case isAlert(e.readErr):
		f.Fault, f.Err = Alert, e.readErr
		if !f.Began {
			f.Phase = TLS
		}
	case peerClosed(e.readErr):
		f.Fault, f.Err = Closed, endError(err, e.readErr)
	default:
		f.Fault, f.Err = Other, e.readErr
	}
	return f
}
