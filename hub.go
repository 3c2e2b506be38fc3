package netreply

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// hub spreads the signals of all replies of a Manager to those who listen to
// the Manager (rule G20). It keeps nothing while nobody listens.
type hub struct {
	watched   atomic.Int32
	mu        sync.Mutex
	listeners []*listener
	closed    bool
}

// listener is one running iterator. Its queue holds what it has not taken yet;
// progress of one reply overwrites itself there as it does in the reply.
type listener struct {
	only    signal // signals: all
	left    bool
	queue   []managerEntry
	changed chan struct{} // capacity 1: a flag
}

type managerEntry struct {
	reply *Reply
	entry
}

// publish is called with the reply's lock held.
func (h *hub) publish(r *Reply, k signal, a, b int64, ref any) {
	if h.watched.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		if l.only != signals && l.only != k {
			continue
		}
		if k.conflates() {
			for i := len(l.queue) - 1; i >= 0 && l.queue[i].reply == r && l.queue[i].kind.conflates(); i-- {
				if l.queue[i].kind == k {
					l.queue = slices.Delete(l.queue, i, i+1)
					break
				}
			}
		}
		l.queue = append(l.queue, managerEntry{r, entry{kind: k, a: a, b: b, ref: ref}})
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

// listen starts to queue, until leave or the end of the context.
func (h *hub) listen(ctx context.Context, only signal) *listener {
	l := &listener{only: only, changed: make(chan struct{}, 1)}
	h.mu.Lock()
	h.listeners = append(h.listeners, l)
	h.watched.Add(1)
	h.mu.Unlock()
	context.AfterFunc(ctx, func() { h.leave(l) })
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.left {
		return
	}
	l.left, l.queue = true, nil
	h.listeners = slices.DeleteFunc(h.listeners, func(o *listener) bool { return o == l })
	h.watched.Add(-1)
}

// close ends the iterators once they have taken what is queued.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, l := range h.listeners {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

func (h *hub) events(ctx context.Context, l *listener, yield func(*Reply, Event) bool) {
	defer h.leave(l)
	for {
		h.mu.Lock()
		queue, closed := l.queue, h.closed || l.left
		l.queue = nil
		h.mu.Unlock()
		for _, e := range queue {
			if !yield(e.reply, e.event()) {
				return
			}
		}
		if len(queue) > 0 {
			continue
		}
		if closed {
			return
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return
		}
	}
}

// Events yields the signals of all replies of the Manager from the call on, in
// order, each before the reply shows it itself (rule S6), until ctx ends or the
// Manager is closed. What is not taken is queued until then, so a listener that
// stops taking should leave the loop. It can be ranged over once.
func (m *Manager) Events(ctx context.Context) iter.Seq2[*Reply, Event] {
	l := m.hub.listen(ctx, signals)
	return func(yield func(*Reply, Event) bool) { m.hub.events(ctx, l, yield) }
}

// Finished yields every reply of the Manager that finishes from the call on,
// until ctx ends or the Manager is closed. It can be ranged over once.
func (m *Manager) Finished(ctx context.Context) iter.Seq[*Reply] {
	l := m.hub.listen(ctx, sigFinished)
	return func(yield func(*Reply) bool) {
		m.hub.events(ctx, l, func(r *Reply, _ Event) bool { return yield(r) })
	}
}
