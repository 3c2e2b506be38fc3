// Package httpserver answers HTTP requests the way QHttpServerResponder does, on
// top of net/http: a [Responder] in any http.Handler, see [HandlerFunc], and a small
// [Server] around http.ServeMux for those who look for QHttpServer.
//
// docs/server.md is a guide: the Server with its limits, TLS, middleware, hooks and shutdown;
// JSON, forms, uploads, files and events.
package httpserver

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/netreply/netreply/headers"
)

// Headers is a list of header fields in order, the same type as netreply.Headers.
// net/http sends them sorted by name; equal names keep their order. HTTP/1 keeps their
// spelling, but for those that say how the message is framed.
type Headers = headers.Headers

// Responder answers one request, once: with one of the Write calls, with
// SendResponse, or in chunks between WriteBeginChunked and WriteEndChunked. What
// cannot be sent is refused with an error before anything is, so that another answer
// can be given. After an answer every other call is ErrAlreadyResponded.
//
// HandlerFunc and Server make Responders, which end with their handlers, and New does for
// handlers that say so themselves, by End. A goroutine that is left behind gets
// ErrHandlerReturned. Calls may come from several goroutines and happen one after another,
// but for Swap.
//
// The answer to HEAD is the head that the same calls send for GET; it leaves at once, and
// sources of unknown size are not read for it.
type Responder struct{ x *exchange }

// nobodys is the exchange of a Responder that nobody has made.
var nobodys = func() *exchange {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrHandlerReturned)
	return &exchange{state: returned, r: &http.Request{}, ctx: ctx}
}()

func (s *Responder) exchange() *exchange {
	if s.x == nil {
		return nobodys
	}
	return s.x
}

// statusOf is the optional last argument of most calls.
func statusOf(status []StatusCode) StatusCode {
	if len(status) == 0 {
		return Ok
	}
	return status[0]
}

func (s *Responder) data(body []byte, mime string, h Headers, status StatusCode) error {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.data(body, mime, h, status)
	if err != nil {
		x.refused = err
	}
	return err
}

// WriteStatus answers with a status, Ok by default, and no body. As in Qt its Content-Type
// is application/x-empty; WriteHeaders with no fields sends none.
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
	if err := s.exchange().check(); err != nil {
		return err
	}
	body, err := encodeJSON(v)
	if err != nil {
		return s.x.refuse(err)
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
		return s.exchange().refuse(err)
	}
	return s.data(body, mime, Headers{}, statusOf(status))
}

// WriteDataWith answers with bytes and header fields. Without a Content-Type among
// them the type is found by looking at the bytes.
func (s *Responder) WriteDataWith(body []byte, h Headers, status ...StatusCode) error {
	return s.data(body, "", h, statusOf(status))
}

// WriteReader answers with what src gives, of a MIME type, and closes src if it is an
// io.Closer, in any case.
//
// A source that gives its size is sent with it, as Content-Length: a regular file, an
// io.Seeker from where it stands, anything with Len. Every other one, such as a pipe, is
// sent in chunks, each at once; when many come in a row, some of them together. Where the
// first block shows that a file has not the size it gives, as those in /proc and /sys,
// what it has is sent.
//
// A directory, a device, a source that fails at once and one that has not what it says
// are a *SourceError, with nothing sent. A source that fails later is one, too, and cuts
// the answer.
//
// When the Context ends, src is closed, so that reading a source that has nothing to say
// ends: its Close must be allowed during Read, as it is for pipes, connections and files.
// A source without Close is waited for.
func (s *Responder) WriteReader(src io.Reader, mime string, status ...StatusCode) error {
	if err := validMIME(mime); err != nil {
		closeSource(src)
		return s.exchange().refuse(err)
	}
	return s.reader(src, mime, Headers{}, statusOf(status))
}

// WriteReaderWith is WriteReader with header fields. Without a Content-Type among them
// the type of a source that gives its size is found by looking at its first bytes; others
// have none.
func (s *Responder) WriteReaderWith(src io.Reader, h Headers, status ...StatusCode) error {
	return s.reader(src, "", h, statusOf(status))
}

// WriteInformational sends an interim response, early hints (103) for instance,
// before the answer. HTTP/1.0 knows none: nothing is sent there.
func (s *Responder) WriteInformational(status StatusCode, h Headers) error {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.taken(); err != nil {
		return err
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
	if !x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	to := x.w.Header()
	kept := to.Clone()
	x.head(h)
	x.w.WriteHeader(int(status))
	clear(to)
	for name, values := range kept {
		to[name] = values
	}
	return nil
}

// SetWriteDeadline bounds the time that writing may take from now on, see
// http.ResponseController. A Server's StallTimeout holds besides. A call that has to wait
// longer fails with an error that is ErrClientGone and os.ErrDeadlineExceeded.
func (s *Responder) SetWriteDeadline(t time.Time) error {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == returned {
		return ErrHandlerReturned
	}
	return http.NewResponseController(x.w).SetWriteDeadline(t)
}

// Responded tells whether an answer was given, or begun.
func (s *Responder) Responded() bool {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state != fresh
}

// IsResponseCanceled tells whether the Context has ended: nobody waits for the answer any
// more, or for more of it (Qt 6.11).
func (s *Responder) IsResponseCanceled() bool { return s.Context().Err() != nil }

// Context ends when the client has gone or the handler has returned; when the answer to
// HEAD is complete; and when the Server shuts down, at once if the answer is in chunks, at
// the end of DrainTimeout otherwise. context.Cause tells a shutdown by
// http.ErrServerClosed.
//
// On HTTP/1 the end of a client that has a body to send is seen behind that body only. For
// this Context, and for chunked answers, sources and events, the body is read ahead in the
// background, up to 256 KiB: what the handler leaves unread beyond that hides the client's
// end, and so does a body that the client wants to be asked for (Expect). The Context of
// the http.Request is the same, but nothing is read ahead for it.
func (s *Responder) Context() context.Context { return s.exchange().watched() }

// watched is the context of somebody who waits for something else than the client.
func (x *exchange) watched() context.Context {
	if x.body != nil {
		x.mu.Lock()
		if x.state != returned {
			x.body.readAhead()
		}
		x.mu.Unlock()
	}
	return x.ctx
}

// Swap exchanges two responders, which answer each other's request from then on. Each
// request still ends when its own handler returns. Neither may be in use elsewhere.
func (s *Responder) Swap(o *Responder) { s.x, o.x = o.x, s.x }

// RemoteAddr is the address of the client, nil when it is not known.
func (s *Responder) RemoteAddr() net.Addr {
	if a, err := netip.ParseAddrPort(s.exchange().r.RemoteAddr); err == nil {
		return net.TCPAddrFromAddrPort(a)
	}
	return nil
}

// LocalAddr is the address the client has connected to, nil when it is not known.
func (s *Responder) LocalAddr() net.Addr {
	a, _ := s.exchange().ctx.Value(http.LocalAddrContextKey).(net.Addr)
	return a
}

// Unwrap is the writer beneath, for http.NewResponseController, for functions of net/http
// such as http.SetCookie, and to take the connection over. The answer is the handler's own
// then, if it gives none by the Responder.
func (s *Responder) Unwrap() http.ResponseWriter {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lent = true
	return x.w
}
