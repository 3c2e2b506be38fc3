package httpserver

import (
	"net/http"
	"net/textproto"
	"slices"

	"golang.org/x/net/http/httpguts"
)

// WriteBeginChunked begins an answer in chunks, of a MIME type. Any number of
// WriteChunk and one WriteEndChunked must follow. Each chunk leaves at once.
func (s *Responder) WriteBeginChunked(mime string, status ...StatusCode) error {
	if err := validMIME(mime); err != nil {
		return err
	}
	return s.open(mime, Headers{}, nil, statusOf(status))
}

// WriteBeginChunkedWith is WriteBeginChunked with header fields, and the names of
// the trailers that WriteEndChunkedWith will bring.
func (s *Responder) WriteBeginChunkedWith(h Headers, trailers []string, status ...StatusCode) error {
	return s.open("", h, trailers, statusOf(status))
}

func (s *Responder) open(mime string, h Headers, trailers []string, status StatusCode) error {
	if err := s.begin(status, h, -1); err != nil {
		return err
	}
	if h.Has("Content-Length") {
		return &HeaderError{"Content-Length", "a chunked response has none (RFC 9112, section 6.2)"}
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
	s.head(h)
	to := s.w.Header()
	if mime != "" {
		to["Content-Type"] = []string{mime}
	}
	if len(names) > 0 {
		to["Trailer"] = slices.Clone(names)
	}
	s.trailers = names
	s.state = chunked
	s.w.WriteHeader(int(status))
	return s.flush()
}

// WriteChunk sends bytes of a chunked answer; none is no chunk.
func (s *Responder) WriteChunk(data []byte) error {
	if s.state != chunked {
		return ErrNotChunked
	}
	if len(data) == 0 || s.r.Method == http.MethodHead {
		return nil
	}
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	return s.flush()
}

// flush sends what is waiting. For HEAD there is nothing but the head, which ends
// the message.
func (s *Responder) flush() error {
	if s.r.Method == http.MethodHead {
		return nil
	}
	return http.NewResponseController(s.w).Flush()
}

// WriteEndChunked ends a chunked answer that announced no trailers, with a last
// piece of it or nil.
func (s *Responder) WriteEndChunked(data []byte) error {
	return s.WriteEndChunkedWith(data, Headers{})
}

// WriteEndChunkedWith ends a chunked answer with its trailers: all that were
// announced and no others. When they are not, nothing is sent and the answer stays
// open.
func (s *Responder) WriteEndChunkedWith(data []byte, trailers Headers) error {
	if s.state != chunked {
		return ErrNotChunked
	}
	if f, _, found := trailers.Invalid(); found {
		return &HeaderError{f.Name, "not a valid field"}
	}
	for name := range trailers.All() {
		if !slices.Contains(s.trailers, textproto.CanonicalMIMEHeaderKey(name)) {
			return ErrTrailer
		}
	}
	for _, name := range s.trailers {
		if !trailers.Has(name) {
			return ErrTrailer
		}
	}
	if len(data) > 0 && s.r.Method != http.MethodHead {
		if _, err := s.w.Write(data); err != nil {
			s.broken = true
			return err
		}
	}
	s.state = responded
	to := s.w.Header()
	for name := range trailers.All() {
		delete(to, textproto.CanonicalMIMEHeaderKey(name))
	}
	for name, value := range trailers.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		to[key] = append(to[key], value)
	}
	if len(data) == 0 {
		return nil
	}
	return s.flush() // the end itself goes out when the handler returns
}
