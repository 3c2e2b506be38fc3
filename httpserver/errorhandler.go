package httpserver

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
)

// HTTPError is an error with the status of its answer. A Config's ErrorHandler gets one for
// every answer that the Server has to give by itself; a program can make its own for
// Responder.WriteError.
type HTTPError struct {
	Status StatusCode // 0 means InternalServerError
	// Allow has, with MethodNotAllowed, the methods that the path can be asked with.
	Allow []string
	// Err is what else is known, or nil: ErrNoAnswer, a *PanicError, an *http.MaxBytesError,
	// the error of a file, os.ErrDeadlineExceeded of a body that came too slowly. It is not for
	// clients.
	Err error
}

func (e *HTTPError) Error() string {
	text := "httpserver: " + e.status().String()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *HTTPError) Unwrap() error { return e.Err }

func (e *HTTPError) status() StatusCode {
	if e.Status == 0 {
		return InternalServerError
	}
	return e.Status
}

// WriteError answers with what an error is to the client: by the ErrorHandler of a Server
// that has one, and otherwise with ProblemOf(err), as WriteProblem does. An ErrorHandler that
// calls it gets the latter, too.
func (s *Responder) WriteError(err error) error {
	x := s.exchange()
	if taken := x.check(); taken != nil {
		return taken
	}
	if x.handleError(err) {
		return nil
	}
	return s.WriteProblem(ProblemOf(err))
}

// writeHTTPError is WriteError for what the program has no answer for: without an
// ErrorHandler it is the status alone.
func (s *Responder) writeHTTPError(e *HTTPError) error {
	x := s.exchange()
	if taken := x.check(); taken != nil {
		return taken
	}
	if x.handleError(e) {
		return nil
	}
	return s.WriteStatus(e.status())
}

// handleError lets the Server's ErrorHandler answer, and reports whether it has. Its panic is
// noted as that of a handler, and leaves the answer to others.
func (x *exchange) handleError(err error) (answered bool) {
	if x.writer == nil {
		return false
	}
	f := x.writer.errorHandler()
	if f == nil {
		return false
	}
	x.mu.Lock()
	lent := x.lent
	x.lent = false
	if e := (*HTTPError)(nil); errors.As(err, &e) && len(e.Allow) > 0 {
		x.w.Header()["Allow"] = []string{strings.Join(e.Allow, ", ")}
	}
	x.mu.Unlock()
	defer func() {
		v := recover()
		x.mu.Lock()
		defer x.mu.Unlock()
		switch v {
		case nil:
		case http.ErrAbortHandler:
			x.writer.fail(http.ErrAbortHandler)
			x.broken, x.state = true, responded
		default:
			x.writer.fail(&PanicError{v, debug.Stack()})
		}
		answered = x.state != fresh || x.lent && x.mayBeWritten()
		x.lent = lent || x.lent && answered
	}()
	f(x.r, &Responder{x}, err) // x's own Responder may have been swapped
	return false
}

// mayBeWritten tells whether a writer that was lent may have been given an answer. Only of the
// Server's own it is known that it was not: others may hold one back.
func (x *exchange) mayBeWritten() bool {
	w, ok := x.w.(*serverWriter)
	return !ok || w.status != 0 || w.taken
}

// errorHandler is that of the Server, once: what it does not answer it is not asked again.
func (w *serverWriter) errorHandler() func(*http.Request, *Responder, error) {
	f := w.server.cfg.ErrorHandler
	if f == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handlesError {
		return nil
	}
	w.handlesError = true
	return f
}

// answerPanic answers a panic that no Responder has seen, and reports whether it could.
func (w *serverWriter) answerPanic(p *PanicError) (answered bool) {
	defer func() {
		if recover() != nil { // a hook's, or an ErrorHandler's will to cut the answer
			answered = false
		}
	}()
	r, _ := w.request()
	r = r.WithContext(context.WithoutCancel(r.Context())) // middleware ends its own when a panic passes
	answerWith(&HTTPError{Status: InternalServerError, Err: p}).ServeHTTP(w, r)
	return true
}

// answerWith makes a handler of an error.
func answerWith(e *HTTPError) http.Handler {
	return HandlerFunc(func(_ *http.Request, w *Responder) { w.writeHTTPError(e) })
}

// Methods are those with which a route would take a request that none takes because of its
// method, sorted, as the field Allow has them; nil for every other request. A function of
// SetMissingHandler tells 405 from 404 by it.
func (s *Server) Methods(r *http.Request) []string {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		return nil
	}
	_, allow := missing(h, r)
	return allow
}

// missing is what ServeMux says of a request that no route takes: 404, or 405 and the methods
// for it; another status if it says something else.
func missing(h http.Handler, r *http.Request) (status StatusCode, allow []string) {
	w := headWriter{header: http.Header{}}
	h.ServeHTTP(&w, r)
	if w.status == MethodNotAllowed {
		allow = strings.Split(w.header.Get("Allow"), ", ")
	}
	return w.status, allow
}

// headWriter keeps the head of an answer.
type headWriter struct {
	header http.Header
	status StatusCode
}

func (w *headWriter) Header() http.Header         { return w.header }
func (w *headWriter) WriteHeader(status int)      { w.status = StatusCode(status) }
func (w *headWriter) Write(p []byte) (int, error) { return len(p), nil }
