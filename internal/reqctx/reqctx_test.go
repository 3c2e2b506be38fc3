package reqctx_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/reqctx"
)

var errCause = errors.New("cause")

type key struct{}

func begin(parent context.Context) *reqctx.Context {
	c := new(reqctx.Context)
	c.Init(parent)
	return c
}

// ends are the ways to an end, and what it looks like.
var ends = map[string]struct {
	end        func(own, parent context.CancelCauseFunc)
	err, cause error
}{
	"own":                {func(own, _ context.CancelCauseFunc) { own(errCause) }, context.Canceled, errCause},
	"own, without cause": {func(own, _ context.CancelCauseFunc) { own(nil) }, context.Canceled, context.Canceled},
	"parent":             {func(_, parent context.CancelCauseFunc) { parent(errCause) }, context.Canceled, errCause},
	"parent, then own": {func(own, parent context.CancelCauseFunc) { parent(errCause); own(errors.New("late")) },
		context.Canceled, errCause},
	"own, then parent": {func(own, parent context.CancelCauseFunc) { own(errCause); parent(errors.New("late")) },
		context.Canceled, errCause},
	"deadline": {func(context.CancelCauseFunc, context.CancelCauseFunc) { time.Sleep(time.Hour) },
		context.DeadlineExceeded, context.DeadlineExceeded},
	"deadline, then own": {func(own, _ context.CancelCauseFunc) { time.Sleep(time.Hour); own(errCause) },
		context.DeadlineExceeded, context.DeadlineExceeded},
}

// uses are what may have been done with a context before its end.
var uses = map[string]func(context.Context){
	"unused":  func(context.Context) {},
	"done":    func(c context.Context) { c.Done() },
	"derived": func(c context.Context) { _, cancel := context.WithCancel(c); _ = cancel },
	"value":   func(c context.Context) { c.Value(key{}) },
}

// TestEnd: a Context, and those derived from it, have the end that they would have under
// context.WithCancelCause.
func TestEnd(t *testing.T) {
	for how, e := range ends {
		for use, f := range uses {
			t.Run(how+"/"+use, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					timed, stop := context.WithTimeout(context.Background(), time.Minute)
					defer stop()
					parent, cancelParent := context.WithCancelCause(context.WithValue(timed, key{}, "value"))
					defer cancelParent(nil)
					c := begin(parent)
					f(c)
					assert.NoError(t, c.Err())
					assert.NoError(t, context.Cause(c))
					later := false
					stopLater := func() bool { return false }
					if use == "derived" {
						stopLater = context.AfterFunc(c, func() { later = true })
					}
					e.end(c.Cancel, cancelParent)
					assert.Equal(t, e.err, c.Err())
					assert.Equal(t, e.cause, context.Cause(c))
					child, cancelChild := context.WithCancel(c)
					defer cancelChild()
					for _, d := range []context.Context{c, c.Std(), child} {
						select {
						case <-d.Done():
						default:
							t.Error("not done")
						}
						assert.Equal(t, e.err, d.Err())
						assert.Equal(t, e.cause, context.Cause(d))
						assert.Equal(t, "value", d.Value(key{}))
						at, ok := d.Deadline()
						want, _ := timed.Deadline()
						assert.True(t, ok)
						assert.Equal(t, want, at)
					}
					synctest.Wait()
					assert.Equal(t, use == "derived", later)
					assert.False(t, stopLater())
				})
			})
		}
	}
}

// TestUncancelable: a parent that never ends.
func TestUncancelable(t *testing.T) {
	c := begin(context.Background())
	_, timed := c.Deadline()
	assert.False(t, timed)
	assert.Nil(t, c.Value(key{}))
	assert.NoError(t, c.Err())
	c.Cancel(errCause)
	assert.Equal(t, context.Canceled, c.Err())
	assert.Equal(t, errCause, context.Cause(c))
	assert.NotContains(t, fmt.Sprint(c, c.Std()), "cause")
}

type counter struct{ n int }

func (w *counter) ContextEnded() { w.n++ }

// TestWatch: a Watcher is called once, by Cancel, and not after Unwatch.
func TestWatch(t *testing.T) {
	c, w, other := begin(context.Background()), &counter{}, &counter{}
	require.True(t, c.Watch(w))
	assert.False(t, c.Watch(other))
	assert.False(t, c.Unwatch(other))
	assert.True(t, c.Unwatch(w))
	assert.False(t, c.Unwatch(w))
	require.True(t, c.Watch(other))
	c.Cancel(nil)
	c.Cancel(nil)
	assert.Equal(t, 1, other.n)
	assert.False(t, c.Unwatch(other))
	assert.Zero(t, w.n)
	require.True(t, c.Watch(w), "after the end")
	assert.Equal(t, 1, w.n)
	assert.False(t, c.Unwatch(w))
}

// TestAfterFunc: the function is called on a goroutine of its own, once, also for a second one
// and for contexts of other kinds, and not after stop.
func TestAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := begin(context.Background())
		other, cancel := context.WithCancel(context.Background())
		calls := map[string]int{}
		block := make(chan struct{})
		after := func(ctx context.Context, name string) func() bool {
			return reqctx.AfterFunc(ctx, func() { <-block; calls[name]++ })
		}
		assert.True(t, after(c, "stopped")())
		first, second, third := after(c, "first"), after(c, "second"), after(other, "other")
		stopped := after(c, "stopped")
		assert.True(t, stopped())
		assert.False(t, stopped())
		c.Cancel(errCause)
		cancel()
		assert.False(t, first())
		assert.False(t, second())
		assert.False(t, third())
		for range 3 {
			block <- struct{}{}
			synctest.Wait()
		}
		assert.Equal(t, map[string]int{"first": 1, "second": 1, "other": 1}, calls)
	})
}

// TestInit begins another context in the memory of one that has ended: who has derived from the
// first one does not see the second.
func TestInit(t *testing.T) {
	c := begin(context.Background())
	std := c.Std()
	c.Cancel(errCause)
	c.Init(context.WithValue(context.Background(), key{}, 2))
	assert.NoError(t, c.Err())
	assert.Equal(t, errCause, context.Cause(std))
	assert.NotEqual(t, std, c.Std())
	assert.NoError(t, c.Std().Err())
	assert.Equal(t, 2, c.Value(key{}))
	c.Cancel(nil)
	assert.Error(t, c.Err())
}

// TestAllocations: nothing is allocated for a request that nobody waits for.
func TestAllocations(t *testing.T) {
	c, w := new(reqctx.Context), &counter{}
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		c.Init(parent)
		c.Watch(w)
		if c.Err() != nil || c.Value(key{}) != nil || !c.Unwatch(w) {
			t.Error("ended")
		}
		c.Cancel(nil)
	}))
}
