package main

import (
	"slices"
	"sync"
	"time"
)

// state is how far a transfer has come, as the page is told.
type state struct {
	ID    int    `json:"id"`
	Kind  string `json:"kind"` // upload, download or delete
	Name  string `json:"name"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // -1 when not known
	Over  bool   `json:"over"`
	Fault string `json:"fault,omitempty"` // why it is over, when it is not whole
}

// transfers are those that go on, and the last ones that are over.
type transfers struct {
	mu      sync.Mutex
	last    int
	states  []state
	changed chan struct{} // closed with the next change
}

func newTransfers() *transfers { return &transfers{changed: make(chan struct{})} }

// keep is how many transfers are remembered.
const keep = 50

// publish puts a state in the place of the older one of the same transfer.
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

// news gives all states and what is closed when they change.
func (t *transfers) news() (all []state, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.states), t.changed
}

// transfer is one that goes on, of one goroutine.
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

// moved counts bytes, and tells of them ten times a second.
func (t *transfer) moved(n int) {
	t.now.Done += int64(n)
	if time.Since(t.told) > 100*time.Millisecond {
		t.told = time.Now()
		t.all.publish(t.now)
	}
}

// Write lets a transfer count what is copied elsewhere.
func (t *transfer) Write(p []byte) (int, error) {
	t.moved(len(p))
	return len(p), nil
}

// end says how a transfer has ended; "" is well.
func (t *transfer) end(fault string) {
	t.now.Over, t.now.Fault = true, fault
	t.all.publish(t.now)
}
