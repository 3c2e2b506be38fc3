package httpserver

import (
	"context"
	"crypto/rand"
	"errors"
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
	// KeepAlive is how long a stream may be silent before a comment is sent; 15 s. It keeps
	// what is between from closing connections, and finds clients that have gone.
	KeepAlive time.Duration
	// StallTimeout is how long a client may take for what it is sent before its stream is
	// cut; 15 s, below 0 any time. Below a Server that of its Config holds instead.
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
	count   uint64        // of events published
	ring    []hubEvent    // the last of them, event n at n % len; nil in the zero value
	changed chan struct{} // is closed by the next event, and by Close
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
	return &EventHub{cfg: c, epoch: rand.Text()[:10] + "-", ring: make([]hubEvent, c.Queue+c.History), changed: make(chan struct{})}, nil
}

// Publish gives an event to all clients, and returns at once. An event without an ID gets
// one. The error says that the event cannot be sent, or is ErrHubClosed.
func (h *EventHub) Publish(v Event) error {
	data, err := v.encode()
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.ring == nil || h.closed {
		h.mu.Unlock()
		return ErrHubClosed
	}
	h.count++
	if v.ID == "" {
		v.ID = h.id(h.count)
		data = append([]byte("id: "+v.ID+"\n"), data...)
	}
	h.ring[h.count%uint64(len(h.ring))] = hubEvent{v.ID, data}
	changed := h.changed
	h.changed = make(chan struct{})
	h.mu.Unlock()
	close(changed)
	return nil
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
		w.WriteStatus(InternalServerError)
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

// hubClient is one client of a hub, used by its handler only.
type hubClient struct {
	hub    *EventHub
	stream *EventStream
	guard  watchdog // of writes, where no Server has one

	seen     uint64 // the events before and this one have been taken
	position string // the id of that
	known    bool   // it has come back, and misses nothing
	missed   bool   // it has come back, and has missed something
	behind   bool   // it has not yet got what was published before it came
	batch    [][]byte
}

// maxBatch is how many events are taken at once.
const maxBatch = 64

// join finds the place of a client among the events; false when the hub is closed.
func (c *hubClient) join(lastID string) bool {
	h := c.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.ring == nil || h.closed {
		return false
	}
	c.seen = h.count
	if lastID != "" {
		at, found := h.find(lastID)
		if c.known, c.missed = found, !found; found {
			c.seen, c.behind = at, at < h.count
		}
	}
	c.position = h.id(c.seen)
	if c.seen > 0 {
		c.position = h.ring[c.seen%uint64(len(h.ring))].id
	}
	return true
}

// find is the event of an id, if nothing behind it is lost. The caller holds mu.
func (h *EventHub) find(id string) (uint64, bool) {
	oldest := h.count - min(h.count, uint64(h.cfg.History))
	if text, ok := strings.CutPrefix(id, h.epoch); ok {
		n, err := strconv.ParseUint(text, 10, 64)
		return n, err == nil && n >= oldest && n <= h.count
	}
	for n := h.count; n > 0 && n >= oldest; n-- {
		if h.ring[n%uint64(len(h.ring))].id == id {
			return n, true
		}
	}
	return 0, false
}

// next takes the events that have come since. If there are none, it says what to wait for,
// or that there will be no more.
func (c *hubClient) next() (changed <-chan struct{}, closed, dropped bool) {
	h := c.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	size := uint64(len(h.ring))
	allowed := uint64(h.cfg.Queue)
	if c.behind {
		allowed = size
	}
	if h.count-c.seen > allowed {
		return nil, false, true
	}
	c.batch = c.batch[:0]
	for c.seen < h.count && len(c.batch) < maxBatch {
		c.seen++
		c.batch = append(c.batch, h.ring[c.seen%size].data)
	}
	c.behind = c.behind && c.seen < h.count
	return h.changed, h.closed, false
}

// serve sends events until there are no more for this client. After an error the stream is
// not whole.
func (c *hubClient) serve(ctx context.Context, greeting []byte) error {
	x := c.stream.x
	if x.writer == nil && c.hub.cfg.StallTimeout > 0 {
		c.guard.fire = func() { http.NewResponseController(x.w).SetWriteDeadline(longAgo) }
	}
	if err := c.send(greeting); err != nil {
		return err
	}
	sent := time.Now()
	alive := time.NewTimer(c.hub.cfg.KeepAlive)
	defer alive.Stop()
	for {
		changed, closed, dropped := c.next()
		switch {
		case dropped:
			c.hub.dropped.Add(1)
			return c.send(named(EventsDropped))
		case len(c.batch) > 0:
			if err := c.send(c.batch...); err != nil {
				return err
			}
			clear(c.batch) // what has left the hub's memory need not stay in this one
			sent = time.Now()
			if ctx.Err() == nil {
				continue
			}
		case closed:
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause != http.ErrServerClosed {
				return cause
			}
			return nil
		case <-changed:
		case <-alive.C:
			silent := time.Since(sent)
			if silent >= c.hub.cfg.KeepAlive {
				if err := c.send([]byte(": keep-alive\n\n")); err != nil {
					return err
				}
				sent, silent = time.Now(), 0
			}
			alive.Reset(c.hub.cfg.KeepAlive - silent)
		}
	}
}

// named is an event of the hub itself.
func named(name string) []byte { return []byte("event: " + name + "\ndata: \n\n") }

// greeting comes before the events: how long to wait before coming back, the state of
// things, and the place among the events, an id without an event.
func (c *hubClient) greeting(r *http.Request) (b []byte, err error) {
	if retry := c.hub.cfg.Retry; retry > 0 {
		b = append(strconv.AppendInt([]byte("retry: "), max(1, retry.Milliseconds()), 10), '\n')
	}
	if c.missed {
		b = append(b, named(EventsMissed)...)
	}
	if welcome := c.hub.cfg.Welcome; welcome != nil && !c.known && r.Method != http.MethodHead {
		for _, v := range welcome(r) {
			event, err := v.encode()
			if err != nil {
				return nil, err
			}
			b = append(b, event...)
		}
	}
	return append(b, "id: "+c.position+"\n\n"...), nil
}

// send sends pieces at once.
func (c *hubClient) send(pieces ...[]byte) error {
	if c.guard.fire != nil {
		c.guard.start(c.hub.cfg.StallTimeout)
		defer c.guard.stop()
	}
	return c.stream.x.chunks(pieces)
}

// chunks is chunk for several pieces, which leave together.
func (x *exchange) chunks(pieces [][]byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.state == returned:
		return ErrHandlerReturned
	case x.state != chunked:
		return ErrNotChunked
	}
	for _, p := range pieces {
		if err := x.write(p); err != nil {
			return err
		}
	}
	return x.flush()
}
