package netreply

import (
	"context"
	"io/fs"
	"net/http"

	"github.com/netreply/netreply/internal/httpurl"
)

// received ends the transfer of the response body. It records that the response is complete,
// unless err is set, and returns the error of its status, if it is one. fields are read for
// an error status only.
func (r *Reply) received(err error, trailers *Headers, fields http.Header) error {
	if err == nil && r.ctx.Err() != nil {
		// A body that ends after the cancellation may be cut short by it: a server that
		// sees the connection close finishes its response.
		err = context.Cause(r.ctx)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.complete = true
	if trailers != nil && r.state == running {
		r.more().trailers = trailers
	}
	status, reason, u := int(r.head.status), r.head.reason(), r.url
	r.mu.Unlock()
	if statusError(status) != NoError {
		return statusFailure(status, reason, httpurl.Redacted(u), fields)
	}
	return nil
}

// end sets the outcome and emits the last signals in the order of rule S6. Only the first
// call has an effect. discard drops the unread bytes, for an abort.
func (r *Reply) end(e *Error, discard bool) {
	r.mu.Lock()
	r.endLocked(e, discard)
}

// endLocked is end for callers that hold the lock; it releases the lock.
func (r *Reply) endLocked(e *Error, discard bool) {
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.state = ending
	r.closeHeadDone()
	received := r.pipe.Stop()
	if e != nil {
		r.undoRedirect()
		r.describe(e, received)
		r.err = e
		if discard {
			r.pipe.Close(e)
		} else {
			r.pipe.End(e)
		}
		defer func() { // also when OnSignal panics
			r.mu.Lock()
			r.finish()
		}()
		r.emitLocked(sigError, int64(e.Code), 0, nil)
		return
	}
	r.finish()
}

// finish emits the signals after ErrorOccurred, unless another goroutine has done so. The
// caller holds the lock; finish releases it.
func (r *Reply) finish() {
	if r.state != ending {
		r.mu.Unlock()
		return
	}
	r.state = finished
	r.dropUpload() // which leads to the request body
	p := finalProgress(r.pipe.Received(), r.head.length, r.head.noBody)
	if !r.head.seen {
		p.Total = p.Done
	}
	now := r.elapsed()
	r.note(sigDownloadProgress, now, p.Done, p.Total, nil)
	if r.hasUpload && !r.uploaded() {
		r.note(sigUploadProgress, now, 0, 0, nil)
	}
	if r.done != nil {
		close(r.done)
	}
	last := r.note(sigFinished, now, 0, 0, nil)
	r.record.Close()
	if r.err == nil { // the end of reading implies IsFinished
		r.pipe.End(nil)
	}
	r.dispatch(last)
}

// settle waits, after run, until the reply is finished: another goroutine may be ending it.
func (r *Reply) settle() {
	r.mu.Lock()
	for r.state == ending && r.extra != nil && r.extra.dispatcher != nil && r.extra.dispatcher.busy {
		r.waitDispatch()
	}
	r.finish()
}

// uploaded reports whether any upload progress was emitted (D3).
func (r *Reply) uploaded() bool {
	_, told := r.record.latest(sigUploadProgress)
	return told
}

// describe fills in the fields of an error that only the reply knows.
func (r *Reply) describe(e *Error, received int64) {
	e.Method, e.URL, e.Hop = r.method, httpurl.Redacted(r.url), int(r.hops)
	if e.StatusCode == 0 {
		e.StatusCode = int(r.head.status)
	}
	e.Received = received
	if r.extra != nil && r.extra.cache.Local != 0 {
		e.Received = r.wireBytes()
	}
	if owed := r.awaitedAction(); owed != "" && e.Code == TimeoutError {
		e.Err = &waitError{e.Err, owed}
	}
	if e.Sent == 0 {
		e.Sent = r.extra.sent()
	}
	e.Retryable = retryable(e, r.req.idempotent(r.method))
}

// Abort stops the transfer at once. When it returns the reply is finished with
// OperationCanceledError and nothing can be read any more (rule S60). On a finished reply
// it does nothing, and unread bytes stay readable (S61), except that it closes the
// connection that Upgraded returns.
func (r *Reply) Abort() { r.abort(errAborted) }

func (r *Reply) abort(cause error) {
	u, ok := r.hold()
	if !ok {
		return
	}
	defer u.leave()
	r.ctx.Cancel(cause)
	r.mu.Lock()
	switch r.state {
	case running:
		r.endLocked(classify(cause, PhaseLocal, ""), true)
	case ending: // rule S62: a callback for ErrorOccurred may still be running
		r.pipe.Close(r.err)
		r.finish()
	case finished:
		r.mu.Unlock()
	}
	r.closeConnection()
}

// stop ends a running reply for a local cause, from any goroutine, without waiting for the
// transfer. It does not change the outcome of a body that has been received completely.
// Bytes received before a time limit stay readable, as for other failures (rule S30).
func (r *Reply) stop(cause error) {
	r.ctx.Cancel(cause)
	e := classify(endCause(r.ctx), r.phase(), r.URL().Hostname())
	r.mu.Lock()
	switch {
	case r.state == ending:
		r.finish()
	case r.complete:
		r.mu.Unlock()
	default:
		r.endLocked(e, e.Code == OperationCanceledError)
	}
}

// watchContext stops the reply when the caller's context ends.
func (r *Reply) watchContext(caller context.Context) {
	if caller.Done() == nil {
		return
	}
	u := r.use()
	r.unwatch = context.AfterFunc(caller, func() { u.stop(context.Cause(caller)) })
}

// Close stops a running transfer like Abort, and frees the memory of unread bytes. Reading
// fails afterwards with Err or, where that is nil, with fs.ErrClosed (D7). Close returns
// nil.
func (r *Reply) Close() error {
	u, ok := r.hold()
	if !ok && u.n > 0 { // between two requests
		return nil
	}
	defer u.leave()
	r.Abort()
	r.pipe.Close(fs.ErrClosed)
	return nil
}
