package httpserver

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// exchange is one request and its answer. It begins before the handler and ends with its
// return; Responders are handles on exchanges, so that two can change places.
type exchange struct {
	responder Responder     // the handler's
	writer    *serverWriter // of the Server that the request has come to, or nil
	r         *http.Request
	isHead    bool
	body      *requestBody // nil where nothing has to be done for it

	ctx    context.Context
	cancel context.CancelCauseFunc // nil where ctx is the request's own

	// mu orders the calls of a Responder, and its handler's end. It is held while w is
	// used, and so is it while a Server's hooks see the head that w gets: nothing else must
	// come between. It is not held while a source is read.
	mu       sync.Mutex
	w        http.ResponseWriter
	state    state
	broken   bool     // what was sent is not whole and cannot become so
	spelled  bool     // names of fields go out as they are spelled
	bare     bool     // made by New: nobody need tell that the handler has returned
	lent     bool     // w was given away by Unwrap
	refused  error    // the last answer's that could not be sent
	trailers []string // announced
	late     lateFlush
	unwatch  func() bool // takes ctx out of what Shutdown ends
}

type state uint8

const (
	fresh     state = iota
	chunked         // between WriteBeginChunked and WriteEndChunked
	sending         // a source is being sent
	responded       // the answer is complete
	returned        // the handler has returned
)

// HandlerFunc makes a handler of a function, which gets a Responder for each request.
//
// When the function returns, the answer ends. A function that has not answered has
// answered 500 (408 when the body of the request came too slowly, see Config). An answer
// that is not whole, because a source failed, WriteEndChunked is missing or has got other
// trailers than announced, is cut, so that its client sees that: the connection is closed
// without the last chunk, reset on HTTP/1.0, and the stream reset on HTTP/2.
//
// A function that panics before it has answered has answered 500, and the panic is
// logged as net/http does. Later the answer is cut and the panic goes on. A panic with
// http.ErrAbortHandler always cuts. In a Server with an ErrorHandler, that one gives these
// answers of 500 and 408.
//
// HandlerFunc itself panics when the function is nil.
func HandlerFunc(f func(*http.Request, *Responder)) http.Handler {
	mustBeSet(f != nil, "HandlerFunc", "")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := newExchange(w, r)
		if x.writer == nil {
			x.body = newRequestBody(w, r, nil)
		}
		if x.body != nil || x.cancel != nil {
			x.r = r.WithContext(x.ctx) // a handler does not change the request of those around it
			if x.body != nil {
				x.body.to = x.r
				if x.writer == nil {
					x.r.Body = x.body
				}
			}
		}
		x.serve(f)
	})
}

// New makes a Responder in a handler of net/http. The handler must defer its End, which does
// what HandlerFunc does when its function returns or panics:
//
//	s := httpserver.New(w, r)
//	defer s.End()
//
// Without End nobody knows that the handler has returned: an answer that it leaves without
// WriteEndChunked looks whole, and none at all is an empty 200. An answer whose source fails is
// cut all the same, where net/http's writer can be reached.
//
// What the handler writes to w itself, or to a writer beneath, passes the Responder by. In a
// Server it counts as the answer, where w leads to the Server's writer by Unwrap. Elsewhere End
// does not know of it, and net/http logs its 500 as superfluous: ask for the writer by
// Responder.Unwrap instead.
//
// The Context ends with that of r. Outside a Server nothing is read ahead for it.
func New(w http.ResponseWriter, r *http.Request) *Responder {
	x := newExchange(w, r)
	x.bare = true
	return &x.responder
}

func newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{w: w, r: r, isHead: r.Method == http.MethodHead, ctx: r.Context(), spelled: spelledFor(r), writer: serverWriterOf(r)}
	x.responder.x = x
	if x.writer != nil {
		x.body = x.writer.body
	}
	if x.writer != nil || x.isHead {
		x.ctx, x.cancel = context.WithCancelCause(x.ctx)
	}
	return x
}

// spelledFor tells whether net/http sends the names of fields as they are spelled, and
// nobody else, as a recorder, reads the canonical ones.
func spelledFor(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Context().Value(http.ServerContextKey) != nil
}

// End ends the answer of a Responder that New has made: a handler that has not answered has
// answered 500, and an answer that is not whole is cut, by a panic with http.ErrAbortHandler.
// A panic of the handler is treated as with HandlerFunc. It is for defer, and does nothing when
// called again.
func (s *Responder) End() {
	v := recover()
	x := s.exchange()
	x.mu.Lock()
	ended := x.state == returned
	x.mu.Unlock()
	switch {
	case v != nil && ended:
		panic(v)
	case v != nil:
		x.panicked(v)
	case !ended:
		x.returned()
	}
}

// serve runs the handler and ends the exchange.
func (x *exchange) serve(f func(*http.Request, *Responder)) {
	done := false
	defer func() {
		if done {
			return
		}
		if v := recover(); v != nil {
			x.panicked(v)
		} else if !x.end(false, nil) { // runtime.Goexit: net/http closes the connection
			x.reset()
		}
	}()
	f(x.r, &x.responder)
	done = true
	x.returned()
}

// check tells what begin would of the exchange alone.
func (x *exchange) check() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.taken()
}

func (x *exchange) taken() error {
	switch x.state {
	case fresh:
		return nil
	case returned:
		return ErrHandlerReturned
	}
	return ErrAlreadyResponded
}

// begin checks an answer before anything of it is sent. length is that of its body,
// -1 when it is not known.
func (x *exchange) begin(status StatusCode, h Headers, length int64) error {
	if err := x.taken(); err != nil {
		return err
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
			case length == 0 && (x.isHead || status == NotModified):
				// that of the content which is not sent
			case length < 0:
				return &HeaderError{name, "the length of the body is not known"}
			case n != length:
				return &HeaderError{name, "not the length of the body"}
			}
		}
	}
	return nil
}

// data sends an answer that is in memory.
func (x *exchange) data(body []byte, mime string, h Headers, status StatusCode) error {
	if err := x.begin(status, h, int64(len(body))); err != nil {
		return err
	}
	x.head(h)
	x.state = responded
	to := x.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	}
	if status.hasBody() && len(to["Content-Length"]) == 0 && (len(body) > autoLength || x.isHead && (len(body) > 0 || mime != "")) {
		to["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if x.isHead {
		sniff(to, body)
	}
	if status.unknownPhrase() {
		if sent, err := x.dataWithPhrase(body, status); sent {
			return err
		}
	}
	x.commit()
	if status != Ok || len(body) == 0 || x.isHead {
		x.w.WriteHeader(int(status))
	}
	if len(body) == 0 || x.isHead {
		return nil
	}
	return x.write(body)
}

// commit is done before the head is final.
func (x *exchange) commit() {
	if x.body == nil || x.writer != nil || x.r.ProtoMajor > 1 {
		return
	}
	if x.body.commit() {
		x.w.Header()["Connection"] = []string{"close"}
		closePolitely(x.w)
	}
}

// write passes bytes on. What fails then is broken.
func (x *exchange) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := x.w.Write(p)
	if err != nil {
		x.broken = true
		err = x.gone(err)
		if x.writer != nil {
			x.writer.fail(err)
		}
	}
	return err
}

// flush sends what is waiting. A writer that cannot do that now, such as
// http.TimeoutHandler's, sends it when the handler has returned.
func (x *exchange) flush() error {
	err := http.NewResponseController(x.w).Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		x.broken = true
		return x.gone(err)
	}
	return nil
}

// validMIME refuses a MIME type that cannot stand in a header.
func validMIME(mime string) error {
	if mime == "" || !httpguts.ValidHeaderFieldValue(mime) {
		return &HeaderError{"Content-Type", "not a MIME type"}
	}
	return nil
}
