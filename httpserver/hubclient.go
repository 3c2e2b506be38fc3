package httpserver

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

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
		c.position = h.at(c.seen).id
	}
	return true
}

// next takes the events that have come since. If there are none, it says what to wait for,
// or that there will be no more.
func (c *hubClient) next() (changed <-chan struct{}, closed, dropped bool) {
	h := c.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	allowed := uint64(h.cfg.Queue)
	if c.behind {
		allowed = h.room()
	}
	if h.count-c.seen > allowed || c.seen+1 < h.first {
		return nil, false, true
	}
	c.batch = c.batch[:0]
	for c.seen < h.count && len(c.batch) < maxBatch {
		c.seen++
		c.batch = append(c.batch, h.at(c.seen).data)
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
			event, err := c.hub.encode(v)
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
