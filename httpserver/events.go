package httpserver

import (
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
)

// Event is a server-sent event (HTML standard, section 9.2).
type Event struct {
	ID    string // what a client that comes back says it has seen last
	Name  string // "message" when empty
	Data  string // may have several lines
	Retry time.Duration
}

// EventStream sends events; see Responder.Events. Several goroutines may use it. Like its
// Responder it ends with the handler.
type EventStream struct{ x *exchange }

// Events begins a stream of server-sent events, a chunked answer. It ends with Close; what
// else ends such an answer ends it, too. For events that many clients get there is EventHub.
func (s *Responder) Events() (*EventStream, error) {
	// X-Accel-Buffering keeps nginx, and others that know it, from collecting events.
	err := s.beginChunked("", headers.New("Content-Type", "text/event-stream", "Cache-Control", "no-cache", "X-Accel-Buffering", "no"), nil, Ok)
	if err != nil {
		return nil, err
	}
	return &EventStream{s.x}, nil
}

func (e *EventStream) exchange() *exchange {
	if e.x == nil {
		return nobodys
	}
	return e.x
}

// LastEventID is what the client has seen before it lost the connection.
func (e *EventStream) LastEventID() string { return e.exchange().r.Header.Get("Last-Event-ID") }

// Send sends one event at once. An error means that the client has gone, that the handler
// has returned, or that the event cannot be sent.
func (e *EventStream) Send(v Event) error {
	b, err := v.encode()
	if err != nil {
		return err
	}
	return e.exchange().chunk(b)
}

// encode is the event as it is sent.
func (v *Event) encode() ([]byte, error) {
	switch {
	case strings.Contains(v.ID, "\x00"): // clients would pass over it
		return nil, &HeaderError{"event", "NUL in its id"}
	case strings.ContainsAny(v.ID, "\r\n"):
		return nil, &HeaderError{"event", "a line end in its id"}
	case strings.ContainsAny(v.Name, "\r\n"):
		return nil, &HeaderError{"event", "a line end in its name"}
	}
	b := make([]byte, 0, len(v.ID)+len(v.Name)+len(v.Data)+64)
	if v.ID != "" {
		b = append(append(append(b, "id: "...), v.ID...), '\n')
	}
	if v.Name != "" {
		b = append(append(append(b, "event: "...), v.Name...), '\n')
	}
	if v.Retry > 0 {
		b = append(strconv.AppendInt(append(b, "retry: "...), max(1, v.Retry.Milliseconds()), 10), '\n')
	}
	data := strings.ReplaceAll(strings.ReplaceAll(v.Data, "\r\n", "\n"), "\r", "\n")
	for line := range strings.SplitSeq(data, "\n") {
		b = append(append(append(b, "data: "...), line...), '\n')
	}
	return append(b, '\n'), nil
}

// Comment sends a line that clients pass over: it keeps a connection alive.
func (e *EventStream) Comment(text string) error {
	if strings.ContainsAny(text, "\r\n") {
		return &HeaderError{"event", "line ends in a comment"}
	}
	return e.exchange().chunk([]byte(": " + text + "\n\n"))
}

// Close ends the stream.
func (e *EventStream) Close() error { return e.exchange().endChunked(nil, Headers{}) }
