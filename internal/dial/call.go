package dial

import (
	"context"
	"net"
	"time"
)

// grace is how long somebody who should end with a context may take to do so.
const grace = 100 * time.Millisecond

// call runs f on a goroutine of its own, and returns with it, or when ctx has ended and f
// has not within grace. f is left to itself then: discard gets what it returns at last,
// unless that is an error. So a dialer or a connection of the program's that ignores its
// context costs a goroutine as long as it does, and holds up nobody.
func call[T any](ctx context.Context, f func() (T, error), discard func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	left := make(chan struct{})
	go func() {
		value, err := f()
		select {
		case done <- result{value, err}:
		case <-left:
			if err == nil {
				discard(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-late.C:
		close(left)
		var none T
		return none, context.Cause(ctx)
	}
}

func closeConn(c net.Conn) { c.Close() }

// GiveUp closes a connection that is of no use. One of the program's that takes longer than
// grace for it is left to itself.
func GiveUp(c net.Conn) {
	call(graceOver, func() (none struct{}, err error) { return none, c.Close() }, func(struct{}) {})
}

// graceOver is a context that has ended.
var graceOver = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// interrupt ends c with ctx, until stop is called, which tells whether it has not. What
// is being read or written ends at once, also where closing takes its time.
func interrupt(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0))
		c.Close()
	})
}
