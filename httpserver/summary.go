package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Why an answer is not what it should be, as a Summary tells it.
var (
	// ErrNoAnswer: the handler has returned without one; its client has got 500. If answers of
	// the handler were refused, the error of the last is wrapped, too.
	ErrNoAnswer = errors.New("httpserver: the handler gave no answer")
	// ErrUnfinished: the handler has returned before the end of an answer in chunks, which is
	// cut.
	ErrUnfinished = errors.New("httpserver: the handler returned before WriteEndChunked")
	// ErrClientGone: the client did not wait for the answer, or takes it too slowly, see
	// Config.StallTimeout. The errors of a Responder's calls say the same, and wrap what
	// net/http says.
	ErrClientGone = errors.New("httpserver: the client has gone")
)

// PanicError is the panic of a handler. Its client has got 500 if nothing was sent before,
// or else sees that the answer is cut.
type PanicError struct {
	Value any
	Stack []byte // as runtime/debug.Stack gives it
}

func (e *PanicError) Error() string { return fmt.Sprintf("httpserver: panic: %v", e.Value) }

// Unwrap is the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Summary is what has become of a request; see Server.Finished.
type Summary struct {
	// Status is that of the answer, 0 when there was none: the handler has taken the
	// connection over, or it was closed.
	Status StatusCode
	// Pattern is that of the Server's route, as it was given to Route, Handle or HandleHTTP;
	// "" for a request that no route has got: none takes it, middleware has answered, or it is
	// beyond a limit.
	Pattern string
	// Bytes is the length of the body, without coding of the transfer. It may not have
	// left yet.
	Bytes int64
	// Duration is the time that the request has taken, from its head to the return of
	// the handler.
	Duration time.Duration
	// Err is why the answer is not what it should be: ErrNoAnswer, ErrUnfinished,
	// ErrClientGone, a *PanicError, a *SourceError that has cut it, http.ErrServerClosed
	// for one that Shutdown has ended, or http.ErrAbortHandler; for errors.Is and errors.As.
	Err error
}

// Finished lets f know of every request whose handler has returned, those refused for a
// limit among them, in the order of the calls. What is lost, cut and panicked stands in the
// Summary's Err. f runs on the request's goroutine, before the end of its answer is sent. A
// panic of f is logged, and disturbs neither the others nor the answer; but for
// http.ErrAbortHandler, which cuts that.
//
// The request is what has come out of the middleware: with the values in its Context, its
// Pattern and path values, and a URL that middleware may have changed (RequestURI is the
// client's). If it has not come so far, it is the one that the middleware got. What a handler
// does to a copy of its own, Handle's and Route's to theirs, is not seen.
func (s *Server) Finished(f func(*http.Request, Summary)) {
	mustBeSet(f != nil, "Finished", "")
	s.done = append(s.done, f)
}

func (s *Server) finished(w *serverWriter) {
	r, pattern := w.request()
	sum := Summary{Status: w.status, Pattern: pattern, Bytes: w.bytes, Duration: time.Since(w.began), Err: w.failure()}
	if sum.Err != nil {
		s.report(w.r, sum)
	}
	s.tell(s.done, r, sum)
}

// tell calls hooks, each whatever becomes of those before it.
func (s *Server) tell(hooks []func(*http.Request, Summary), r *http.Request, sum Summary) {
	if len(hooks) == 0 {
		return
	}
	defer s.tell(hooks[1:], r, sum)
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			sum.Err = &PanicError{v, debug.Stack()}
			s.report(r, sum)
		}
	}()
	hooks[0](r, sum)
}

// blame is how bad an error is: a client that has gone is not the program's business, what
// the program itself has cut is its will.
func blame(err error) slog.Level {
	switch {
	case errors.Is(err, ErrClientGone):
		return slog.LevelDebug
	case err == http.ErrServerClosed, err == http.ErrAbortHandler:
		return slog.LevelInfo
	}
	return slog.LevelError
}

// maxLogged is how many bytes of a method and of a path are logged: what is refused for its
// length may have a MiB.
const maxLogged = 1 << 10

// report logs what has gone wrong with an answer.
func (s *Server) report(r *http.Request, sum Summary) {
	level := blame(sum.Err)
	var p *PanicError
	panicked := errors.As(sum.Err, &p)
	method, path := shorten(r.Method, maxLogged), shorten(r.URL.Path, maxLogged)
	if l := s.cfg.Logger; l != nil {
		attrs := []slog.Attr{slog.String("method", method), slog.String("path", path), slog.String("pattern", sum.Pattern), slog.String("remote", r.RemoteAddr),
			slog.Int("status", int(sum.Status)), slog.Int64("bytes", sum.Bytes), slog.Duration("duration", sum.Duration), slog.Any("error", sum.Err)}
		if panicked {
			attrs = append(attrs, slog.String("stack", string(p.Stack)))
		}
		l.LogAttrs(context.WithoutCancel(r.Context()), level, "request failed", attrs...)
		return
	}
	printf := func(format string, args ...any) { logf(r, format, args...) }
	if s.cfg.ErrorLog != nil {
		printf = s.cfg.ErrorLog.Printf
	}
	switch {
	case panicked:
		printf("http: panic serving %v: %v\n%s", r.RemoteAddr, p.Value, p.Stack)
	case level >= slog.LevelError:
		printf("%s %q for %v: %v", method, path, r.RemoteAddr, sum.Err)
	}
}

// logf logs where net/http does for a request.
func logf(r *http.Request, format string, args ...any) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
