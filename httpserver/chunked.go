package httpserver

import (
	"context"
	"net/http"
	"net/textproto"
	"slices"

	"golang.org/x/net/http/httpguts"
)

// WriteBeginChunked begins an answer in chunks, of a MIME type. Any number of
// WriteChunk and one WriteEndChunked must follow. Each chunk leaves at once, unless the
// http.ResponseWriter of the handler cannot do that, such as http.TimeoutHandler's.
//
// For HEAD the answer is complete with this call: it leaves, the Context ends, and
// WriteChunk is ErrBodyNotAllowed.
func (s *Responder) WriteBeginChunked(mime string, status ...StatusCode) error {
	if err := validMIME(mime); err != nil {
		return s.exchange().refuse(err)
	}
	return s.beginChunked(mime, Headers{}, nil, statusOf(status))
}

// WriteBeginChunkedWith is WriteBeginChunked with header fields, and the names of
// the trailers that WriteEndChunkedWith will bring. Without a Content-Type among the
// fields the answer has none.
func (s *Responder) WriteBeginChunkedWith(h Headers, trailers []string, status ...StatusCode) error {
	return s.beginChunked("", h, trailers, statusOf(status))
}

func (s *Responder) beginChunked(mime string, h Headers, trailers []string, status StatusCode) error {
	x := s.exchange()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == fresh && x.body != nil {
		x.body.readAhead() // for the Context
	}
	if err := x.open(mime, h, trailers, status); err != nil {
		x.refused = err
		return err
	}
	x.state = chunked
	if x.writer != nil {
		x.unwatch = context.AfterFunc(x.writer.server.streams, func() { x.cancel(http.ErrServerClosed) })
	}
	if x.isHead {
		return nil
	}
	return x.flush()
}

// open sends the head of an answer of unknown length.
func (x *exchange) open(mime string, h Headers, trailers []string, status StatusCode) error {
	if err := x.begin(status, h, -1); err != nil {
		return err
	}
	names := make([]string, 0, len(trailers))
	for _, name := range trailers {
		key := textproto.CanonicalMIMEHeaderKey(name)
		if !httpguts.ValidTrailerHeader(key) || !httpguts.ValidHeaderFieldName(name) {
			return &HeaderError{name, "not allowed in trailers (RFC 9110, section 6.5.1)"}
		}
		if !slices.Contains(names, key) {
			names = append(names, key)
		}
	}
	x.head(h)
	to := x.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	} else if _, set := to["Content-Type"]; !set {
		to["Content-Type"] = nil // net/http would find one for GET, and none for HEAD
	}
	if len(names) > 0 {
		to["Trailer"] = slices.Clone(names)
	}
	x.trailers = names
	x.commit()
	x.w.WriteHeader(int(status))
	if x.isHead {
		x.cancel(ErrBodyNotAllowed)
		http.NewResponseController(x.w).Flush() // its error may say that the stream has ended
	}
	return nil
}

// WriteChunk sends bytes of a chunked answer; none is no chunk.
func (s *Responder) WriteChunk(data []byte) error { return s.exchange().chunk(data) }

func (x *exchange) chunk(data []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.state == returned:
		return ErrHandlerReturned
	case x.state != chunked:
		return ErrNotChunked
	case x.isHead:
		return ErrBodyNotAllowed
	case len(data) == 0:
		return nil
	}
	if err := x.write(data); err != nil {
		return err
	}
	return x.flush()
}

// WriteEndChunked ends a chunked answer that announced no trailers, with a last
// piece of it or nil.
func (s *Responder) WriteEndChunked(data []byte) error {
	return s.exchange().endChunked(data, Headers{})
}

// WriteEndChunkedWith ends a chunked answer with its trailers: all that were
// announced and no others. When they are not, nothing is sent and the answer stays
// open. The end itself goes out when the handler returns.
func (s *Responder) WriteEndChunkedWith(data []byte, trailers Headers) error {
	return s.exchange().endChunked(data, trailers)
}

func (x *exchange) endChunked(data []byte, trailers Headers) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == returned {
		return ErrHandlerReturned
	}
	if x.state != chunked {
		return ErrNotChunked
	}
	if f, _, found := trailers.Invalid(); found {
		return &HeaderError{f.Name, "not a valid field"}
	}
	for name := range trailers.All() {
		if !slices.Contains(x.trailers, textproto.CanonicalMIMEHeaderKey(name)) {
			return ErrTrailer
		}
	}
	for _, name := range x.trailers {
		if !trailers.Has(name) {
			return ErrTrailer
		}
	}
	if x.broken { // by a chunk that could not be written
		x.state = responded
		return ErrNotChunked
	}
	data = x.content(data)
	if err := x.write(data); err != nil {
		x.state = responded
		return err
	}
	x.state = responded
	to := x.w.Header()
	for name, value := range trailers.All() {
		// The prefix keeps them out of a head that somebody around the handler writes later.
		key := http.TrailerPrefix + x.fieldKey(name)
		to[key] = append(to[key], value)
	}
	if len(data) == 0 {
		return nil
	}
	return x.flush()
}

// content is what an answer shows of its body.
func (x *exchange) content(data []byte) []byte {
	if x.isHead {
		return nil
	}
	return data
}
