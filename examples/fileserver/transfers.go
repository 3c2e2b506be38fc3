package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/netreply/netreply/httpserver"
)

// state is the state of a transfer for the page.
type state struct {
	ID     int    `json:"id"`
	Kind   string `json:"kind"` // upload, download or delete
	Name   string `json:"name"`
	Done   int64  `json:"done"`           // how far it has come in the file
	Total  int64  `json:"total"`          // -1 if unknown
	Part   bool   `json:"part,omitempty"` // a part was asked for
	Over   bool   `json:"over"`
	Fault  string `json:"fault,omitempty"`  // reason of a failure
	Window string `json:"window,omitempty"` // the page that uploads, as it calls itself
	Time   int64  `json:"time"`             // of the last change, in milliseconds since 1970
}

func (s state) event() httpserver.Event {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has strings and numbers only
	}
	return httpserver.Event{Name: "transfer", Data: string(data)}
}

// transfers are the running transfers, and the last ones that have ended.
type transfers struct {
	hub    *httpserver.EventHub // tells of all changes
	mu     sync.Mutex
	last   int
	states []state
}

// keep is the number of transfers that are kept, but for running ones.
const keep = 50

// newTransfers makes a list of none. A page that comes is told which server this is, another
// one after a restart, and what the transfers are.
func newTransfers() (*transfers, error) {
	t := &transfers{}
	server := httpserver.Event{Name: "server", Data: rand.Text()}
	var err error
	t.hub, err = httpserver.NewEventHub(httpserver.EventHubConfig{
		History: -1,
		Welcome: func(*http.Request) []httpserver.Event {
			t.mu.Lock()
			defer t.mu.Unlock()
			events := []httpserver.Event{server}
			for _, s := range t.states {
				events = append(events, s.event())
			}
			return events
		},
	})
	return t, err
}

// publish replaces the older state of the same transfer.
func (t *transfers) publish(s state) int {
	s.Time = time.Now().UnixMilli()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ID == 0 {
		t.last++
		s.ID = t.last
	}
	i := slices.IndexFunc(t.states, func(o state) bool { return o.ID == s.ID })
	if i >= 0 {
		t.states[i] = s
	} else {
		t.states = append(t.states, s)
	}
	if len(t.states) > keep {
		if i := slices.IndexFunc(t.states, func(o state) bool { return o.Over }); i >= 0 {
			t.states = slices.Delete(t.states, i, i+1)
		}
	}
	t.hub.Publish(s.event()) // does not wait, and under mu it keeps the order
	return s.ID
}

// beat has the server say something until ctx ends: the page, which does not see what keeps
// a connection alive, takes a server that says nothing for three times as long for lost.
func (t *transfers) beat(ctx context.Context) {
	again := time.NewTicker(10 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			t.hub.Publish(httpserver.Event{Name: "alive"})
		case <-ctx.Done():
			return
		}
	}
}

// transfer is a running transfer.
type transfer struct {
	all *transfers
	now state
}

func (t *transfers) start(s state) *transfer {
	s.ID = t.publish(s)
	return &transfer{t, s}
}

// follow publishes how far a transfer has come, five times a second, until the function that
// it returns is called, which waits for its goroutine.
func (t *transfer) follow(done func() int64) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	look := func() {
		if at := done(); at != t.now.Done {
			t.now.Done = at
			t.all.publish(t.now)
		}
	}
	go func() {
		defer close(ended)
		again := time.NewTicker(time.Second / 5)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				look()
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		look()
	}
}

// end sets the result of a transfer that is not followed any more; "" means success.
func (t *transfer) end(fault string) {
	t.now.Over, t.now.Fault = true, fault
	t.all.publish(t.now)
}
