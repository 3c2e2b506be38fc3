package wire

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// h1Conn is an HTTP/1 connection of this package. It has no goroutine: RoundTrip writes and
// reads on the goroutine of its caller, and the reader of the body on its own; only a
// request body that is not sent together with the head has a goroutine while it is sent.
// While idle the connection has no buffers, and nothing reads it: it is checked before each
// use, and probed by the pool.
//
// Only the pool closes it. Others interrupt it, which makes all reads and writes fail; a
// connection that was interrupted is never reused.
type h1Conn struct {
	giveUp    func()   // ends the exchange with the pool
	stream    net.Conn // the socket, or TLS on it
	socket    *socket
	headLimit int64
	lenient   bool          // see headTap; it is false only in comparisons with net/http
	end       chan struct{} // closed when reading has ended

	mu          sync.Mutex // held for changes of the deadline, too, which do not block
	interrupted bool
	headDone    bool  // the final head of the current exchange has arrived
	holding     bool  // the read deadline is set; see writeFailed
	writeErr    error // the error of a write; reading goes on
	running     runningWrite
	endClosed   bool
	keep        bool          // the next exchange can begin
	keepUntil   time.Time     // end of the server's Keep-Alive timeout; zero for none
	hint        time.Duration // how long the server keeps it idle
}

func newH1Conn(c *conn, headLimit int64) *h1Conn {
	return &h1Conn{stream: c.stream, socket: c.socket, headLimit: headLimit, lenient: true, end: make(chan struct{}), keep: true}
}

// begin begins an exchange.
func (h *h1Conn) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep, h.headDone, h.hint, h.keepUntil = false, false, 0, time.Time{}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// interrupt makes all reads and writes fail, those that are running, too. It does not
// block.
func (h *h1Conn) interrupt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.interrupted {
		h.interrupted = true
		h.stream.SetDeadline(past)
	}
}

// writeFailed keeps the error of a write: the server may have sent its response and then
// have closed the connection, and the response is more important. Without a head reading
// ends after holdLimit.
func (h *h1Conn) writeFailed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writeErr != nil || h.interrupted || h.running.cut && isTimeout(err) {
		return
	}
	if h.writeErr = err; !h.headDone {
		h.holding = true
		h.stream.SetReadDeadline(time.Now().Add(holdLimit))
	}
}

// finalHead is called when the final head has arrived.
func (h *h1Conn) finalHead() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.headDone = true
	if h.holding && !h.interrupted {
		h.stream.SetReadDeadline(time.Time{})
	}
	h.holding = false
}

// failedWrite returns the error of writeFailed, nil for none.
func (h *h1Conn) failedWrite() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writeErr
}

// isInterrupted reports whether interrupt was called.
func (h *h1Conn) isInterrupted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.interrupted
}

// keepFor makes the connection reusable, unless it was interrupted. hint, if limited is set,
// is how long the server keeps it idle.
func (h *h1Conn) keepFor(hint time.Duration, limited bool) (kept bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.interrupted || h.writeErr != nil || h.endClosed {
		return false
	}
	h.keep = true
	if limited {
		h.hint = keepMargin(hint)
		h.keepUntil = time.Now().Add(h.hint)
	}
	return true
}

// readEnded closes h.end.
func (h *h1Conn) readEnded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.endClosed {
		h.endClosed = true
		close(h.end)
	}
}

func (h *h1Conn) roundTrip(req *http.Request, x *Exchange) (*http.Response, error) {
	e := h.newExchange(req, x)
	defer e.abandon()
	// one after the other, and not each in the one before: a small stack is enough
	err := e.request(req)
	if err == nil {
		err = e.fillHead()
	}
	var resp *http.Response
	if err == nil {
		resp, err = e.response(req)
	}
	if err != nil {
		resp, err = nil, e.failed(err)
	}
	e.returned = true
	return resp, err
}

// failed ends an exchange without a response, and classifies its error.
//
//go:noinline
func (e *h1Exchange) failed(err error) error {
	err = e.fault(err, Headers)
	e.finish(false)
	return err
}

// abandon ends an exchange of which a hook of httptrace has panicked or called
// runtime.Goexit: roundTrip has not returned.
func (e *h1Exchange) abandon() {
	if e.returned {
		return
	}
	if e.buf != nil { // not finished
		e.finish(false)
	}
	e.h.giveUp()
}

func (h *h1Conn) fault(err error, phase Phase, x *Exchange) error {
	return x.h1.fault(err, phase)
}

func (h *h1Conn) room() (n int, open bool) { return 1, true }

func (h *h1Conn) reusable() (ok bool, hint time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keep && !h.interrupted && (h.keepUntil.IsZero() || time.Now().Before(h.keepUntil)), h.hint
}

func (h *h1Conn) stillIdle() bool { return h.socket.idle(h.stream) }

func (h *h1Conn) ended() <-chan struct{} { return h.end }

func (h *h1Conn) exchangeDone() {}

func (h *h1Conn) close() {
	h.readEnded()
	if h.isInterrupted() {
		h.socket.Conn.Close() // TLS would wait to write its close_notify
	}
	h.stream.Close()
}
