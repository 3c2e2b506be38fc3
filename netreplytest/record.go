package netreplytest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/netreply/netreply"
)

// Recorder has the signals of a reply in their order. It starts no goroutine and does not slow
// the reply down. Its methods are safe for concurrent use.
//
// The zero Recorder is for signals as they happen: with Recorder.OnSignal as
// Request.OnSignal or Config.OnSignal it has every ReadyRead and every progress. Record has only
// the newest of each between two other signals, as a late Reply.Events. The zero Recorder then records the replies that it is told of, which should be one.
type Recorder struct {
	reply *netreply.Reply // nil for the zero Recorder

	mu       sync.Mutex
	events   []netreply.Event
	finished chan struct{} // made by who waits for Finished, and closed with it
}

// Record is a Recorder of a reply, of all its signals, those before the call included; of
// ReadyRead and progress see Recorder.
func Record(r *netreply.Reply) *Recorder { return &Recorder{reply: r} }

// OnSignal adds a signal to a zero Recorder.
func (c *Recorder) OnSignal(r *netreply.Reply, e netreply.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
	if _, ok := e.(netreply.Finished); ok && c.finished != nil {
		close(c.finished)
		c.finished = nil
	}
}

// Events are the signals so far.
func (c *Recorder) Events() []netreply.Event {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return c.until(now)
}

// until is Events at the end of the reply or of ctx.
func (c *Recorder) until(ctx context.Context) (list []netreply.Event) {
	if c.reply == nil {
		c.awaitFinished(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		return append(list, c.events...)
	}
	for e := range c.reply.Events(ctx) {
		list = append(list, e)
	}
	return list
}

// awaitFinished waits until a zero Recorder that has been told of something is told of
// Finished.
func (c *Recorder) awaitFinished(ctx context.Context) {
	c.mu.Lock()
	running := len(c.events) > 0
	if running {
		_, over := c.events[len(c.events)-1].(netreply.Finished)
		running = !over
	}
	if running && c.finished == nil {
		c.finished = make(chan struct{})
	}
	finished := c.finished
	c.mu.Unlock()
	if running {
		select {
		case <-finished:
		case <-ctx.Done():
		}
	}
}

// Match fails the test unless the signals have the order of a pattern, see MatchEvents. It
// waits for the end of the reply, except for a zero Recorder that has not been told of any
// signal yet.
func (c *Recorder) Match(t TB, pattern string) bool {
	t.Helper()
	return MatchEvents(t, c.until(context.Background()), pattern)
}

// MatchNow is Match with the signals so far, for a reply that is still running.
func (c *Recorder) MatchNow(t TB, pattern string) bool {
	t.Helper()
	return MatchEvents(t, c.Events(), pattern)
}

// String has a line for each signal so far, with its details and time.
func (c *Recorder) String() string {
	var b strings.Builder
	for _, e := range c.Events() {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}
