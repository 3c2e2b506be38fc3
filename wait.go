package netreply

import "context"

// Wait waits until the reply is finished, and returns Err. If ctx ends first, it returns
// the cause of that, and the reply continues; only the end of the context that the request
// was sent with ends the reply, and then Wait returns Err. A nil ctx never ends.
//
// Wait does not read the body: with a ReadBufferSize, another goroutine must read a body
// that is larger, or the reply never finishes. Inside OnSignal and Answer it does not wait:
// it returns Err if that is set, and otherwise an error that wraps ErrInsideOnSignal.
func (r *Reply) Wait(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	r.mu.Lock()
	if r.state == finished || r.m == nil {
		defer r.mu.Unlock()
		return r.errLocked()
	}
	if r.insideCallback() {
		defer r.mu.Unlock()
		if err := r.errLocked(); err != nil {
			return err
		}
		return errWouldWait()
	}
	if r.done == nil {
		r.done = make(chan struct{})
	}
	done := r.done
	r.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		if r.endsWith(ctx) {
			<-done
		} else if !r.IsFinished() {
			return context.Cause(ctx)
		}
	}
	return r.Err()
}

// endsWith reports whether the end of ctx also ends the reply, so that Wait returns Err
// instead of the cause of ctx.
func (r *Reply) endsWith(ctx context.Context) bool {
	u, ok := r.hold()
	if !ok {
		return false
	}
	defer u.leave()
	return ctx.Done() == r.ctx.Parent().Done() || ctx.Done() == r.ctx.Done()
}

// WaitHead waits until the final response head was received: after all redirects and
// questions, and before the body. StatusCode, Headers, URL, ContentLength and similar
// getters do not change any more then. It returns nil for every response, also for a 404:
// nil does not mean that the request has succeeded. It returns Err if the reply ends before
// a head was received. If ctx ends first, it does what Wait does. A nil ctx never ends.
// Inside OnSignal and Answer it does not wait: unless the head was received or the reply
// has failed, the error wraps ErrInsideOnSignal.
func (r *Reply) WaitHead(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if over, err := r.headOutcome(); over {
		return err
	}
	if r.insideCallback() {
		return errWouldWait()
	}
	x := r.more()
	if x.headDone == nil {
		x.headDone = make(chan struct{})
	}
	settled := x.headDone
	r.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
		if r.endsWith(ctx) {
			<-settled
		}
	}
	r.mu.Lock()
	if over, err := r.headOutcome(); over {
		return err
	}
	return context.Cause(ctx)
}

// headOutcome reports whether the final head has arrived or cannot arrive any more, and the
// result of WaitHead then. The caller holds the lock.
func (r *Reply) headOutcome() (over bool, err error) {
	switch {
	case r.head.final:
		return true, nil
	case r.m == nil, r.state != running:
		return true, r.errLocked()
	}
	return false, nil
}

// Context is the context of the reply, for work that should end with it. It has the values
// of the context that the request was sent with. It ends with that context, at Abort or
// Close, and otherwise when the reply has finished and OnSignal has returned.
func (r *Reply) Context() context.Context {
	u, ok := r.hold()
	if !ok { // not made, or between two requests
		ctx, cancel := context.WithCancelCause(context.Background())
		if u.n == 0 {
			cancel(errNotMade())
		} else {
			cancel(nil)
		}
		return ctx
	}
	defer u.leave()
	return r.ctx.Std()
}
