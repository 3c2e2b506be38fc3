// Package reqctx has the context of one request. It is made without an allocation, as part of
// what it belongs to, since few requests have anybody who waits for their context.
package reqctx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context is a context that ends with its parent or by Cancel, with the cause that
// context.Cause returns: it behaves like one of context.WithCancelCause, which it becomes when
// somebody asks for Done or derives another one from it. Init must be called before it is used.
// It must not be copied. Its methods but Init are safe for concurrent use.
type Context struct {
	parent context.Context
	end    atomic.Pointer[end] // nil before Cancel

	mu      sync.Mutex
	watcher Watcher // nil for none
	std     *std    // nil until somebody asks for it
}

// end is the end of a Context. It does not change.
type end struct {
	cause    error
	byParent bool // the parent had ended before
}

// The ends without a cause.
var (
	canceled         = &end{context.Canceled, false}
	canceledByParent = &end{context.Canceled, true}
)

// std is what a Context becomes for others.
type std struct {
	context.Context
	cancel context.CancelCauseFunc
}

var _ context.Context = (*Context)(nil)

// Watcher is told about the end of a context, by the goroutine that calls Cancel. It must not
// block.
type Watcher interface{ ContextEnded() }

// Init begins a context. Who calls it sees to it that Cancel is called at the end of parent:
// Err and Done know of that by themselves, a Watcher does not.
func (c *Context) Init(parent context.Context) { *c = Context{parent: parent} }

// Parent is the context of Init.
func (c *Context) Parent() context.Context { return c.parent }

// Cancel ends the context. Only the first end counts: that of the parent is one, too. A nil cause
// is context.Canceled.
func (c *Context) Cancel(cause error) {
	c.mu.Lock()
	if c.end.Load() != nil {
		c.mu.Unlock()
		return
	}
	e := newEnd(cause, c.parent.Err() != nil)
	c.end.Store(e)
	w := c.watcher
	c.watcher = nil
	if c.std != nil && !e.byParent { // the parent ends it with its own cause
		c.std.cancel(e.cause) // under the lock, for which Std waits: context.Cause knows the cause when Err tells of the end
	}
	c.mu.Unlock()
	if w != nil {
		w.ContextEnded()
	}
}

func newEnd(cause error, byParent bool) *end {
	switch {
	case byParent: // whose cause it is
		return canceledByParent
	case cause == nil || cause == context.Canceled:
		return canceled
	}
	return &end{cause, false}
}

// Watch makes the end of the context call w, at once if it has ended. It returns false if
// the context has a Watcher already.
func (c *Context) Watch(w Watcher) bool {
	c.mu.Lock()
	if c.watcher != nil {
		c.mu.Unlock()
		return false
	}
	ended := c.end.Load() != nil
	if !ended {
		c.watcher = w
	}
	c.mu.Unlock()
	if ended {
		w.ContextEnded()
	}
	return true
}

// Unwatch ends Watch. It returns false if w was called, or is being called.
func (c *Context) Unwatch(w Watcher) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watcher != w {
		return false
	}
	c.watcher = nil
	return true
}

// Std is a context of package context with the same values, deadline and end.
func (c *Context) Std() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.std != nil {
		return c.std.Context
	}
	parent, e := c.parent, c.end.Load()
	itself := e != nil && !e.byParent
	if itself { // a parent that has ended since does not count
		parent = unended{parent}
	}
	c.std = new(std)
	c.std.Context, c.std.cancel = context.WithCancelCause(parent)
	if itself {
		c.std.cancel(e.cause)
	}
	return c.std.Context
}

// unended is a context that does not end, with the deadline of another one.
type unended struct{ context.Context }

func (unended) Done() <-chan struct{} { return nil }
func (unended) Err() error            { return nil }

// Deadline is that of the parent.
func (c *Context) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done returns a channel that is closed at the end.
func (c *Context) Done() <-chan struct{} { return c.Std().Done() }

// Err is nil before the end.
func (c *Context) Err() error {
	if !c.endsItself() {
		return c.parent.Err()
	}
	return context.Canceled
}

// endsItself reports whether Cancel has ended the context.
func (c *Context) endsItself() bool {
	e := c.end.Load()
	return e != nil && !e.byParent
}

// Value returns a value of the parent. The keys of package context are pointers to int: with
// one, context.Cause looks for the context that has the cause, and a derived context for the
// one that it ends with. When the parent has ended, that of Std may not have been told yet.
func (c *Context) Value(key any) any {
	if _, ok := key.(*int); ok && (c.endsItself() || c.parent.Err() == nil) {
		return c.Std().Value(key)
	}
	return c.parent.Value(key)
}

// String keeps what belongs to the request from print.
func (c *Context) String() string { return "context of a request" }

// AfterFunc is context.AfterFunc, which costs more with a Context that has no Watcher.
func AfterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(*Context); ok {
		if a := (&afterFunc{c, f}); c.Watch(a) {
			return a.stop
		}
	}
	return context.AfterFunc(ctx, f)
}

// afterFunc is the Watcher of AfterFunc.
type afterFunc struct {
	ctx *Context
	f   func()
}

func (a *afterFunc) ContextEnded() { go a.f() }
func (a *afterFunc) stop() bool    { return a.ctx.Unwatch(a) }
