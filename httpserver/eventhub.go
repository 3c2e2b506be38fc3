package httpserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrHubClosed is the error of a hub that is closed.
var ErrHubClosed = errors.New("httpserver: the event hub is closed")

// Names of events that an EventHub sends by itself. They have no data.
const (
	// EventsMissed tells a client that there were events which it has not got and will not
	// get: what it knows is to be asked for anew.
	EventsMissed = "missed"
	// EventsDropped tells a client that it was too slow, and is the last event of its
	// stream. When it comes back, it gets what it has not got, or EventsMissed.
	EventsDropped = "dropped"
)

// EventHubConfig configures an EventHub. The zero value is ready for use.
type EventHubConfig struct {
	// Queue is how many events a client may be behind; 1024. A slower one is dropped, see
	// EventsDropped.
	Queue int
	// History is how many events are kept for clients that come back; 1024, below 0 none.
	History int
	// MaxBytes is how many bytes of events are kept, as they are sent; 64 MiB, below 0 any.
	// Beyond it the oldest are given up before Queue and History are full; the last one is
	// always kept.
	MaxBytes int64
	// KeepAlive is how long a stream may be silent before a comment is sent; 15 s. It keeps
	// what is between from closing connections, and finds clients that have gone.
	KeepAlive time.Duration
	// StallTimeout is how long a client may take for what it is sent before its stream is
	// cut; 15 s, below 0 any time. In a Server, Config.StallTimeout is used instead. In an
	// http.Server, a client of HTTP/2 that reads nothing from its connection is cut by
	// http.HTTP2Config.WriteByteTimeout only.
	StallTimeout time.Duration
	// Retry is how long clients should wait before they come back; 0 leaves it to them.
	Retry time.Duration
	// Welcome, if it is not nil, gives the events that a client gets first: the state of
	// things, when it is new and when it has missed events. Those that are published
	// meanwhile come behind. It is called by many goroutines.
	Welcome func(*http.Request) []Event
}

// check fills in what is not set. The error names the field that cannot be used.
func (c *EventHubConfig) check() error {
	for _, f := range []struct {
		name     string
		negative bool
	}{{"Queue", c.Queue < 0}, {"KeepAlive", c.KeepAlive < 0}, {"Retry", c.Retry < 0}} {
		if f.negative {
			return errors.New("httpserver: EventHubConfig." + f.name + " must not be negative")
		}
	}
	for _, f := range []struct {
		name  string
		value *int
	}{{"Queue", &c.Queue}, {"History", &c.History}} {
		switch {
		case *f.value == 0:
			*f.value = 1024
		case *f.value > 1<<20:
			return errors.New("httpserver: EventHubConfig." + f.name + " is beyond " + strconv.Itoa(1<<20))
		}
	}
	c.History = max(0, c.History)
	if c.MaxBytes = limitOr(c.MaxBytes, 64<<20); c.MaxBytes < 0 {
		c.MaxBytes = math.MaxInt64
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 15 * time.Second
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 15 * time.Second
	}
	return nil
}

// EventHub sends events to any number of clients, each of which gets all that are published
// while it is there, in order (server-sent events, see Event). One that has lost its
// connection and comes back, as browsers do, says what it has seen last, and gets what has
// been published since, or EventsMissed.
//
// A hub starts no goroutines: each client is served by its handler's. Publishing never waits
// for clients: the events are kept once for all of them, and each client reads at its pace.
//
// Its methods may be called by any goroutine. The zero value is a closed hub.
type EventHub struct {
	cfg     EventHubConfig
	epoch   string // of the ids: those of another hub, or another run, are not known
	clients atomic.Int64
	dropped atomic.Uint64

	mu      sync.RWMutex
	closed  bool
	count   uint64            // of events published
	ring    []hubEvent        // the last of them, event n at n % len; nil in the zero value
	first   uint64            // the oldest event in ring
	size    int64             // of the events in ring
	given   map[string]uint64 // the events whose IDs are the program's; of one ID the last
	changed chan struct{}     // is closed by the next event, and by Close
}

type hubEvent struct {
	id   string
	data []byte // as it is sent
}

// NewEventHub makes a hub without clients. The error names the field that cannot be used.
func NewEventHub(c EventHubConfig) (*EventHub, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &EventHub{cfg: c, epoch: rand.Text()[:10] + "-", ring: make([]hubEvent, c.Queue+c.History+1), first: 1,
		given: map[string]uint64{}, changed: make(chan struct{})}, nil
}

// Publish gives an event to all clients, and returns at once. An event without an ID gets
// one. The error says that the event cannot be sent, or has one of the names of the hub's own
// events (a *HeaderError), or is ErrHubClosed.
func (h *EventHub) Publish(v Event) error {
	data, err := h.encode(v)
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.ring == nil || h.closed {
		h.mu.Unlock()
		return ErrHubClosed
	}
	if h.count-h.first+1 == h.room() {
		h.forget()
	}
	h.count++
	if v.ID == "" {
		v.ID = h.id(h.count)
		data = append([]byte("id: "+v.ID+"\n"), data...)
	} else {
		h.given[v.ID] = h.count
	}
	*h.at(h.count) = hubEvent{v.ID, data}
	for h.size += int64(len(data)); h.size > h.cfg.MaxBytes && h.first < h.count; {
		h.forget()
	}
	changed := h.changed
	h.changed = make(chan struct{})
	h.mu.Unlock()
	close(changed)
	return nil
}

// encode is an event as it is sent, unless it would be taken for one of the hub's own.
func (h *EventHub) encode(v Event) ([]byte, error) {
	if v.Name == EventsMissed || v.Name == EventsDropped {
		return nil, &HeaderError{"event", "the name " + strconv.Quote(v.Name) + " is that of an event of the hub's own"}
	}
	return v.encode()
}

// room is how many events are kept at most: of one more there is the id.
func (h *EventHub) room() uint64 { return uint64(len(h.ring) - 1) }

// at is the place of event n.
func (h *EventHub) at(n uint64) *hubEvent { return &h.ring[n%uint64(len(h.ring))] }

// forget gives the oldest event up. Its id stays until the next one goes: who has seen that
// event has missed none. The caller holds mu.
func (h *EventHub) forget() {
	if before := h.at(h.first - 1); h.given[before.id] == h.first-1 {
		delete(h.given, before.id)
	}
	e := h.at(h.first)
	h.size -= int64(len(e.data))
	e.data = nil
	h.first++
}

func (h *EventHub) id(n uint64) string { return h.epoch + strconv.FormatUint(n, 10) }

// Clients is how many clients are being served.
func (h *EventHub) Clients() int { return int(h.clients.Load()) }

// Dropped is how many streams have ended because their clients were too slow.
func (h *EventHub) Dropped() uint64 { return h.dropped.Load() }

// Close ends all streams when they have sent what was published before. Clients that come
// later get NoContent, which tells browsers not to come back. Calling it again does nothing.
func (h *EventHub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring != nil && !h.closed {
		h.closed = true
		close(h.changed)
	}
}

// Serve answers a request with the events of the hub, until the client goes, is dropped, or
// the hub is closed. It is a handler for Server.Handle and HandlerFunc. A Server's Shutdown
// ends it; with an http.Server, Close has to, by http.Server.RegisterOnShutdown.
func (h *EventHub) Serve(r *http.Request, w *Responder) {
	c := hubClient{hub: h}
	if !c.join(r.Header.Get("Last-Event-ID")) {
		w.WriteStatus(NoContent)
		return
	}
	greeting, err := c.greeting(r)
	if err != nil {
		err = fmt.Errorf("httpserver: EventHubConfig.Welcome: %w", err)
		w.writeHTTPError(&HTTPError{Status: InternalServerError, Err: err})
		if x := w.exchange(); x.writer != nil {
			x.fail(err)
		} else {
			logf(r, "%v", err)
		}
		return
	}
	h.clients.Add(1)
	defer h.clients.Add(-1)
	if c.stream, err = w.Events(); err != nil || c.stream.x.isHead {
		return
	}
	if err := c.serve(w.Context(), greeting); err == nil {
		c.stream.Close()
	}
}

// find is the event of an id, if nothing behind it is lost. The caller holds mu.
func (h *EventHub) find(id string) (uint64, bool) {
	oldest := max(h.first-1, h.count-min(h.count, uint64(h.cfg.History)))
	if text, ok := strings.CutPrefix(id, h.epoch); ok {
		n, err := strconv.ParseUint(text, 10, 64)
		return n, err == nil && n >= oldest && n <= h.count
	}
	n, ok := h.given[id]
	return n, ok && n >= oldest
}
