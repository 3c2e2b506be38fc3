package main

import (
	"slices"
	"sync"
	"time"
)

// state is the state of a transfer for the page.
type state struct {
	ID    int    `json:"id"`
	Kind  string `json:"kind"` // upload, download or delete
	Name  string `json:"name"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // -1 if unknown
	Over  bool   `json:"over"`
	Fault string `json:"fault,omitempty"` // reason of a failure
}

// transfers are the running transfers, and the last ones that have ended.
type transfers struct {
	mu      sync.Mutex
	last    int
	states  []state
	changed chan struct{} // closed at the next change
}

func newTransfers() *transfers { return &transfers{changed: make(chan struct{})} }

// keep is the number of ended transfers that are kept.
const keep = 50

// publish replaces the older state of the same transfer.
func (t *transfers) publish(s state) int {
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

// transfer is a running transfer, used by one goroutine.
type transfer struct {
	all  *transfers
	now  state
	told time.Time
}

func (t *transfers) start(kind, name string, total int64) *transfer {
	tr := &transfer{all: t, now: state{Kind: kind, Name: name, Total: total}, told: time.Now()}
	tr.now.ID = t.publish(tr.now)
	return tr
}

// moved counts bytes, and publishes them ten times a second.
func (t *transfer) moved(n int) {
	t.now.Done += int64(n)
	if time.Since(t.told) > 100*time.Millisecond {
		t.told = time.Now()
		t.all.publish(t.now)
	}
}

// Write lets a transfer count bytes that are copied.
func (t *transfer) Write(p []byte) (int, error) {
	t.moved(len(p))
	return len(p), nil
}

// end sets the result of a transfer; "" means success.
func (t *transfer) end(fault string) {
	t.now.Over, t.now.Fault = true, fault
	t.all.publish(t.now)
}
