package httpserver

import (
	"bytes"
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

// EventStream sends events; see Responder.Events.
type EventStream struct {
	s   *Responder
	buf bytes.Buffer
}

// Events begins a stream of server-sent events. It ends with Close; what else the
// Responder can do ends it, too.
func (s *Responder) Events() (*EventStream, error) {
	err := s.open("", headers.New("Content-Type", "text/event-stream", "Cache-Control", "no-cache"), nil, Ok)
	if err != nil {
		return nil, err
	}
	return &EventStream{s: s}, nil
}

// LastEventID is what the client has seen before it lost the connection.
func (e *EventStream) LastEventID() string { return e.s.r.Header.Get("Last-Event-ID") }

// Send sends one event at once. An error means that the client has gone, or that
// the event cannot be sent.
func (e *EventStream) Send(v Event) error {
	if strings.ContainsAny(v.ID, "\r\n\x00") || strings.ContainsAny(v.Name, "\r\n") {
		return &HeaderError{"event", "line ends in its id or name"}
	}
	b := &e.buf
	b.Reset()
	if v.ID != "" {
		b.WriteString("id: " + v.ID + "\n")
	}
	if v.Name != "" {
		b.WriteString("event: " + v.Name + "\n")
	}
	if v.Retry > 0 {
		b.WriteString("retry: " + strconv.FormatInt(v.Retry.Milliseconds(), 10) + "\n")
	}
	data := strings.ReplaceAll(strings.ReplaceAll(v.Data, "\r\n", "\n"), "\r", "\n")
	for line := range strings.SplitSeq(data, "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	return e.s.WriteChunk(b.Bytes())
}

// Comment sends a line that clients pass over: it keeps a connection alive.
func (e *EventStream) Comment(text string) error {
	if strings.ContainsAny(text, "\r\n") {
		return &HeaderError{"event", "line ends in a comment"}
	}
	return e.s.WriteChunk([]byte(": " + text + "\n\n"))
}

// Close ends the stream.
func (e *EventStream) Close() error { return e.s.WriteEndChunked(nil) }
