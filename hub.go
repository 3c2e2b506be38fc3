package netreply

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// hub distributes the signals of all replies of a Manager to its listeners (rule G20).
// Without listeners it stores nothing. It holds weak pointers to the listeners, so that an
// iterator that is never ranged over is collected with its queue.
type hub struct {
	watched   atomic.Int32
	mu        sync.Mutex
	listeners []weak.Pointer[listener]
	closed    bool
}

// listener is one iterator. Its queue holds the signals that it has not yielded yet.
type listener struct {
	only    signal        // the value signals means all
	changed chan struct{} // capacity 1, a flag
	unhook  func() bool   // stops waiting for the context

	// guarded by hub.mu
	done   bool
	queue  []managerEntry
	recent map[*Reply]*places
}

// places are the positions in the queue, plus 1, of the conflating signals of one reply,
// which newer ones may replace; 0 for none. A discrete signal of the reply removes them, so
// that the queue grows with the discrete signals only, however many replies report
// progress.
type places [signals]int32

type managerEntry struct {
	reply *Reply
	entry
}

// publish is called with the reply's lock held.
func (h *hub) publish(r *Reply, e entry) {
	if h.watched.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.listeners {
		if l := w.Value(); l != nil && (l.only == signals || l.only == e.kind) {
			l.add(managerEntry{r, e})
		}
	}
}

// add queues an entry, or replaces an older one. The caller holds the lock.
func (l *listener) add(e managerEntry) {
	if signalTable[e.kind].nature != conflating {
		delete(l.recent, e.reply)
	} else if at := &l.placesOf(e.reply)[e.kind]; *at > 0 {
		l.queue[*at-1] = e
		return
	} else {
		*at = int32(len(l.queue) + 1)
	}
	l.queue = append(l.queue, e)
	l.wake()
}

// placesOf returns the places of a reply. The caller holds the lock.
func (l *listener) placesOf(r *Reply) *places {
	p := l.recent[r]
	if p == nil {
		if l.recent == nil {
			l.recent = map[*Reply]*places{}
		}
		p = new(places)
		l.recent[r] = p
	}
	return p
}

func (l *listener) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// take empties the queue. over reports that nothing will be added any more.
func (h *hub) take(l *listener) (queue []managerEntry, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queue = l.queue
	l.queue, l.recent = nil, nil
	return queue, h.closed || l.done
}

// listen adds a listener, until leave or the end of the context.
func (h *hub) listen(ctx context.Context, only signal) *listener {
	l := &listener{only: only, changed: make(chan struct{}, 1)}
	w := weak.Make(l)
	if !h.add(w) {
		l.done = true
		return l
	}
	// neither function may refer to l, or it would never be collected
	unhook := context.AfterFunc(ctx, func() { h.leave(w) })
	l.unhook = unhook
	runtime.AddCleanup(l, func(w weak.Pointer[listener]) {
		unhook()
		h.leave(w)
	}, w)
	return l
}

// add adds a listener, unless the Manager is closed.
func (h *hub) add(w weak.Pointer[listener]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.listeners = append(h.listeners, w)
	h.watched.Add(1)
	return true
}

// leave removes a listener, which may have been collected already.
func (h *hub) leave(w weak.Pointer[listener]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.listeners)
	h.listeners = slices.DeleteFunc(h.listeners, func(o weak.Pointer[listener]) bool { return o == w })
	if len(h.listeners) < n {
		h.watched.Add(-1)
	}
	if l := w.Value(); l != nil {
		l.done, l.queue, l.recent = true, nil, nil
		l.wake()
	}
}

// close ends the iterators, after they have yielded what is queued.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, w := range h.listeners {
		if l := w.Value(); l != nil {
			l.wake()
		}
	}
}

func (h *hub) events(ctx context.Context, l *listener, yield func(*Reply, Event) bool) {
	defer h.leave(weak.Make(l))
	if l.unhook != nil {
		defer l.unhook()
	}
	inside := calledBack()
	for {
		queue, over := h.take(l)
		for _, e := range queue {
			if !yield(e.reply, e.event()) {
				return
			}
		}
		if len(queue) > 0 {
			continue
		}
		if over || inside {
			return
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return
		}
	}
}
