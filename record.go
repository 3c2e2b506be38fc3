package netreply

import (
	"runtime"
	"time"

	"github.com/netreply/netreply/internal/journal"
)

// record is the ordered list of what happened to a reply. The channels and the iterators
// are views of it, so that subscribing late loses nothing. It grows with the discrete
// signals only: progress overwrites itself. The reply's lock guards it.
type record struct {
	journal.Record
	channels *[signals + 1]channel // those that were asked for; nil before the first
}

// entry is one signal: how it is recorded, and what events and channels make of it.
type entry struct {
	kind  signal
	at    time.Duration // since the start of the reply
	a, b  int64
	value any // in the place of a
}

// event is what iterators and OnSignal give.
func (e entry) event() Event { return signalTable[e.kind].event(e) }

// note appends an entry, and gives it to its channel if there is one.
func (c *record) note(e entry) journal.Entry {
	var noted journal.Entry
	switch k := journal.Kind(e.kind); {
	case signalTable[e.kind].nature == conflating:
		noted = c.Conflate(k, e.at, e.a, e.b)
	case e.value != nil:
		noted = c.AppendValue(k, e.at, e.value, e.b)
	default:
		noted = c.Append(k, e.at, e.a, e.b)
	}
	c.deliver(e, e.kind)
	if e.asked() {
		c.deliver(e, sigQuestions)
	}
	if e.kind == sigFinished {
		c.close()
	}
	return noted
}

// next gives the first entry that the owner of a cursor has not seen.
func (c *record) next(at *journal.Cursor) (entry, bool) {
	e, ok := c.Next(at)
	if !ok {
		return entry{}, false
	}
	return entry{signal(e.Kind()), e.At, e.A, e.B, c.Value(e)}, true
}

// latest gives the newest entry of a kind.
func (c *record) latest(k signal) (entry, bool) {
	e, ok := c.Last(journal.Kind(k))
	return entry{k, e.At, e.A, e.B, c.Value(e)}, ok
}

// deliver sends an entry to the channel of k, if somebody has asked for that.
func (c *record) deliver(e entry, k signal) {
	if c.channels != nil && c.channels[k] != nil {
		c.channels[k].deliver(e)
	}
}

// closeQuestions ends the channels of questions.
func (c *record) closeQuestions() {
	for k := range signals + 1 {
		if k.asks() {
			c.closeChannel(k)
		}
	}
}

// close ends every channel; that of Finished comes last.
func (c *record) close() {
	c.Close()
	c.closeChannel(sigQuestions)
	for k := range signals { // of which sigFinished is the last
		c.closeChannel(k)
	}
}

func (c *record) closeChannel(k signal) {
	if c.channels != nil && c.channels[k] != nil {
		c.channels[k].close()
	}
}

// channel is the channel of one signal, whose type only those know who use it.
type channel interface {
	deliver(entry)
	close()
}

type typedChannel[T any] struct {
	ch     chan T
	what   func(entry) T
	closed bool
}

// deliver sends without waiting, and nothing to a channel that is closed. Only a signal that
// conflates finds no room: its older value makes way.
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

// carrying makes a channel of so many elements, and what they are.
func carrying[T any](size func(*Reply) int, what func(entry) T) func(*Reply) channel {
	return func(r *Reply) channel { return &typedChannel[T]{ch: make(chan T, size(r)), what: what} }
}

// channelOf returns the channel of a signal, and makes and fills it on the first call.
func channelOf[T any](r *Reply, k signal) <-chan T {
	ch, closed := madeChannel[T](r, k)
	if closed && len(ch) == 0 {
		// A loop with a select receives from it again and again until the reply has finished:
		// let the transfer run.
		runtime.Gosched()
	}
	return ch
}

func madeChannel[T any](r *Reply, k signal) (ch <-chan T, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.record
	if c.channels == nil {
		c.channels = new([signals + 1]channel)
	}
	if c.channels[k] == nil {
		ch := signalTable[k].channel(r)
		c.channels[k] = ch
		var at journal.Cursor
		for e, ok := c.next(&at); ok; e, ok = c.next(&at) {
			if e.belongs(k) {
				ch.deliver(e)
			}
		}
		if c.Closed() || r.m == nil || r.head.final && k.asks() {
			ch.close()
		}
	}
	typed := c.channels[k].(*typedChannel[T])
	return typed.ch, typed.closed
}
