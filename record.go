package netreply

import (
	"runtime"
	"time"

	"github.com/netreply/netreply/internal/journal"
)

// record is the ordered list of the signals of a reply. Channels and iterators are views of
// it, so that a late subscriber misses nothing. Consecutive progress signals are merged, so
// it grows only with the discrete signals. The reply's lock guards it.
type record struct{ journal.Record }

// channelSet has the channels of a reply, by their signals; nil for those that the program has
// not asked for. The reply's lock guards it. A nil set has no channels.
type channelSet [signals + 1]channel

// entry is one recorded signal, from which events and channel elements are made.
type entry struct {
	kind  signal
	at    time.Duration // since the start of the reply
	a, b  int64
	value any // instead of a
}

// event converts the entry for iterators and OnSignal.
func (e entry) event() Event { return signalTable[e.kind].event(e) }

// next returns the first entry after a cursor, and advances the cursor.
func (c *record) next(at *journal.Cursor) (entry, bool) {
	e, ok := c.Next(at)
	if !ok {
		return entry{}, false
	}
	return entry{signal(e.Kind()), e.At, e.A, e.B, c.Value(e)}, true
}

// latest returns the newest entry of a kind.
func (c *record) latest(k signal) (entry, bool) {
	e, ok := c.Last(journal.Kind(k))
	return entry{k, e.At, e.A, e.B, c.Value(e)}, ok
}

// note sends an entry to its channels, if they exist.
func (s *channelSet) note(e entry) {
	s.deliver(e, e.kind)
	if e.awaited() {
		s.deliver(e, sigQuestions)
	}
	if e.kind == sigFinished {
		s.close()
	}
}

// deliver sends an entry to the channel of k, if that exists.
func (s *channelSet) deliver(e entry, k signal) {
	if s[k] != nil {
		s[k].deliver(e)
	}
}

// closeQuestions closes the channels of questions.
func (s *channelSet) closeQuestions() {
	if s == nil {
		return
	}
	for k := range signals + 1 {
		if k.isQuestion() {
			s.closeChannel(k)
		}
	}
}

// close closes every channel, that of Finished last.
func (s *channelSet) close() {
	s.closeChannel(sigQuestions)
	for k := range signals { // sigFinished is the last
		s.closeChannel(k)
	}
}

func (s *channelSet) closeChannel(k signal) {
	if s[k] != nil {
		s[k].close()
	}
}

// channel hides the element type of the channel of one signal.
type channel interface {
	deliver(entry)
	close()
}

type typedChannel[T any] struct {
	ch     chan T
	what   func(entry) T
	closed bool
}

// deliver sends without blocking; on a closed channel it does nothing. Only the channel of
// a conflating signal can be full: the older value is replaced.
func (c *typedChannel[T]) deliver(e entry) {
	for !c.closed {
		select {
		case c.ch <- c.what(e):
			return
		default:
		}
		select {
		case <-c.ch:
		default:
		}
	}
}

func (c *typedChannel[T]) close() {
	if !c.closed {
		c.closed = true
		close(c.ch)
	}
}

// channelMaker returns a constructor of channels with the given capacity; what converts entries
// to elements.
func channelMaker[T any](size func(*Reply) int, what func(entry) T) func(*Reply) channel {
	return func(r *Reply) channel { return &typedChannel[T]{ch: make(chan T, size(r)), what: what} }
}

// channelOf returns the channel of a signal. The first call makes it and fills it from the
// record.
func channelOf[T any](r *Reply, k signal) <-chan T {
	ch, closed := findChannel[T](r, k)
	if closed && len(ch) == 0 {
		// A loop with a select may receive from the closed channel again and again: let the
		// transfer run.
		runtime.Gosched()
	}
	return ch
}

func findChannel[T any](r *Reply, k signal) (ch <-chan T, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.more()
	if x.channels == nil {
		x.channels = new(channelSet)
	}
	if x.channels[k] == nil {
		ch := signalTable[k].channel(r)
		x.channels[k] = ch
		var at journal.Cursor
		for e, ok := r.record.next(&at); ok; e, ok = r.record.next(&at) {
			if e.isFor(k) {
				ch.deliver(e)
			}
		}
		if r.record.Closed() || r.m == nil || r.head.final && k.isQuestion() {
			ch.close()
		}
	}
	typed := x.channels[k].(*typedChannel[T])
	return typed.ch, typed.closed
}
