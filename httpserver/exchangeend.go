package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
)

// returned ends an exchange whose handler has returned.
func (x *exchange) returned() {
	if !x.end(true, nil) {
		x.reset()
		panic(http.ErrAbortHandler) // net/http's way to cut a response without a word
	}
}

// panicked ends an exchange whose handler has panicked with v. The panic goes on where the
// answer cannot be 500.
func (x *exchange) panicked(v any) {
	answer := v != http.ErrAbortHandler && !x.begun()
	var p *PanicError
	switch {
	case x.writer != nil && v != http.ErrAbortHandler:
		p = &PanicError{v, debug.Stack()}
		x.writer.fail(p)
	case x.writer != nil:
		x.writer.fail(http.ErrAbortHandler)
	case answer:
		logf(x.r, "http: panic serving %v: %v\n%s", x.r.RemoteAddr, v, debug.Stack())
	}
	if whole := x.end(answer, p); !answer || !whole {
		x.reset()
		if answer && x.writer != nil {
			v = http.ErrAbortHandler // v has been told
		}
		panic(v)
	}
}

// begun tells whether the answer is no longer the exchange's alone.
func (x *exchange) begun() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.unanswered()
}

// unanswered tells whether there is nothing of an answer, as far as that is known. The caller
// holds mu.
func (x *exchange) unanswered() bool { return x.state == fresh && !x.lent && !x.written() }

// written tells whether the Server's writer has got an answer past the Responder, as a handler
// with one of New can give it. It is not looked for behind a writer that has no Unwrap: that
// may use the Server's at the same time, as http.TimeoutHandler's does.
func (x *exchange) written() bool {
	if x.writer == nil {
		return false
	}
	for w := x.w; ; {
		if s, ok := w.(*serverWriter); ok {
			return s.status != 0 || s.taken
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}

// end takes the answer from its Responder, and reports whether it is whole. An exchange
// without one gets the answer for that, if answer is true; of a handler that has panicked p
// says so.
func (x *exchange) end(answer bool, p *PanicError) (whole bool) {
	if x.body != nil && x.writer == nil {
		x.body.end() // not under mu: whoever reads it may be waiting
	}
	defer x.release()
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() { // also when a hook panics
		x.state = returned
		x.late.stop()
	}()
	unanswered := x.unanswered()
	if answer && unanswered {
		x.answer(p)
	}
	if x.late.waiting && x.state == sending && !x.broken { // its source has panicked
		x.flush()
	}
	whole = !x.broken && x.state != sending && (x.state != chunked || x.isHead)
	switch {
	case x.body != nil && x.body.tooSlow() && (unanswered || !whole):
		x.fail(fmt.Errorf("%w: %w", ErrClientGone, errSlowBody))
	case !whole:
		x.fail(ErrUnfinished)
	case unanswered:
		x.fail(x.noAnswer())
	}
	return whole
}

// answer gives the answer that a handler has not given. The caller holds mu.
func (x *exchange) answer(p *PanicError) {
	status := InternalServerError
	slow := x.body != nil && x.body.tooSlow()
	if slow {
		status = RequestTimeout
	}
	if x.writer != nil && x.writer.server.cfg.ErrorHandler != nil {
		e := &HTTPError{Status: status, Err: x.noAnswer()}
		switch {
		case p != nil:
			e.Err = p
		case slow:
			e.Err = errSlowBody
		}
		if x.askErrorHandler(e) {
			return
		}
	}
	x.data(nil, "application/x-empty", Headers{}, status)
}

// askErrorHandler is handleError for a caller that holds mu, and does so again afterwards.
func (x *exchange) askErrorHandler(e *HTTPError) (answered bool) {
	x.mu.Unlock()
	defer x.mu.Lock()
	return x.handleError(e)
}

// noAnswer says that a handler has given none, and why none that it tried.
func (x *exchange) noAnswer() error {
	if x.refused != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, x.refused)
	}
	return ErrNoAnswer
}

// refuse notes an error of an answer, and returns it: if there is none in the end, that is why.
// That the client has gone is noted at once: what is answered after that is nobody's.
func (x *exchange) refuse(err error) error {
	if err != nil {
		if x.writer != nil && errors.Is(err, ErrClientGone) && errors.Is(x.ended(), ErrClientGone) {
			x.writer.fail(err)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.refused = err
	}
	return err
}

// release gives back what an exchange holds.
func (x *exchange) release() {
	if x.unwatch != nil {
		x.unwatch()
	}
	if x.cancel != nil {
		x.cancel(ErrHandlerReturned)
	}
	if !x.bare && x.r.MultipartForm != nil {
		x.r.MultipartForm.RemoveAll() // net/http knows its own request's only
	}
}

// fail notes why an answer is not what it should be: if the Context has ended, that is why.
func (x *exchange) fail(err error) {
	if x.writer == nil {
		return
	}
	switch cause := x.ended(); {
	case cause == nil, cause == ErrBodyNotAllowed, errors.Is(err, cause):
	case cause == http.ErrServerClosed, errors.Is(cause, ErrClientGone):
		err = cause
	default: // middleware's, or what is around the Server
		err = fmt.Errorf("%w: %w", err, cause)
	}
	x.writer.fail(err)
}

// ended is why the Context has ended, nil while it has not. net/http says of a client that
// has gone no more than that the request is canceled.
func (x *exchange) ended() error {
	cause := context.Cause(x.ctx)
	if cause == context.Canceled && (x.writer == nil || x.writer.r.Context().Err() != nil) {
		return fmt.Errorf("%w: %w", ErrClientGone, cause)
	}
	return cause
}

// gone is an error of writing: that the client has gone, but for what net/http itself or
// middleware says.
func (x *exchange) gone(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrClientGone), ofWriter(err):
		return err
	case x.writer != nil && !errors.Is(x.writer.failure(), ErrClientGone):
		return err
	}
	return fmt.Errorf("%w: %w", ErrClientGone, err)
}

// ofWriter tells whether an error of writing says nothing about the client.
func ofWriter(err error) bool {
	for _, e := range [...]error{http.ErrNotSupported, http.ErrHijacked, http.ErrBodyNotAllowed, http.ErrContentLength, http.ErrHandlerTimeout} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// cut ends an answer that is not whole at once, for a Responder that need not hear of the
// end of its handler.
func (x *exchange) cut() {
	if x.r.ProtoMajor > 1 {
		http.NewResponseController(x.w).SetWriteDeadline(longAgo)
		return
	}
	x.close()
}

// reset cuts an answer whose end is that of the connection. HTTP/1.0 knows no other where
// the length was not given: closed in good order it would look whole.
func (x *exchange) reset() {
	if !x.r.ProtoAtLeast(1, 1) {
		x.close()
	}
}

// close ends an HTTP/1 connection so that what was sent does not look whole: one of HTTP/1.0 by
// a reset.
func (x *exchange) close() {
	c, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return
	}
	inner := c
	for {
		t, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = t.NetConn()
	}
	if t, ok := inner.(interface{ SetLinger(int) error }); ok && !x.r.ProtoAtLeast(1, 1) {
		t.SetLinger(0) // else what was sent need not be lost
	}
	if _, ok := c.(*tls.Conn); ok {
		c = inner // no close_notify, which would say that all is well
	}
	c.Close()
}
