package main

import (
	"slices"
	"sync"
	"time"
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

// transfers are the running transfers, and the last ones that have ended.
type transfers struct {
	mu      sync.Mutex
	last    int
	states  []state
	changed chan struct{} // closed at the next change
}

func newTransfers() *transfers { return &transfers{changed: make(chan struct{})} }

// keep is the number of transfers that are kept, but for running ones.
const keep = 50

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
	close(t.changed)
	t.changed = make(chan struct{})
	return s.ID
}

// news returns all states, and a channel that is closed when they change.
func (t *transfers) news() (all []state, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.states), t.changed
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
