package dial

import (
	"context"
	"net"
	"time"
)

// grace is how long a function may take to return after the end of its context.
const grace = 100 * time.Millisecond

// call runs f on its own goroutine, and returns when f does, or when ctx has ended and f
// has not returned within grace. Then f continues on its goroutine, and discard is called
// with its result, unless that is an error. So a dialer or connection of the program that
// ignores its context keeps a goroutine, but does not block the caller.
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

// GiveUp closes a connection. It does not wait for a Close that takes longer than grace.
func GiveUp(c net.Conn) {
	call(graceOver, func() (none struct{}, err error) { return none, c.Close() }, func(struct{}) {})
}

// graceOver is a context that has ended.
var graceOver = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// interrupt closes c when ctx ends. stop ends that, and reports whether c was not closed. A
// running Read or Write ends at once, even if Close blocks.
func interrupt(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0))
		c.Close()
	})
}
