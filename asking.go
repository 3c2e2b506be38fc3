package netreply

import (
	"fmt"
	"slices"

	"github.com/netreply/netreply/internal/flow"
)

// ask emits a question, calls meanwhile, and then, if the program is to answer it, calls
// Answer or waits. A question that is still open gets the safe answer. A question that is
// decided already is only emitted. ask reports whether the program has answered.
func (r *Reply) ask(k signal, q Question, waits bool, meanwhile func()) (answered bool) {
	d := q.decisionOf()
	d.setAsker(r)
	waits = waits && !d.isDecided()
	var b int64
	if waits {
		b = awaited
	}
	r.emit(k, 0, b, q)
	if meanwhile != nil {
		meanwhile()
	}
	if waits && !d.isDecided() && r.ctx.Err() == nil {
		r.clock.Pause() // the time of the program is not the peer's silence
		defer r.clock.Resume()
		r.setOpen(k)
		if r.req.Answer != nil {
			r.callAnswer(q)
		} else {
			d.wait()
		}
		if d.isDecided() || r.ctx.Err() == nil {
			r.setOpen(0)
		}
	}
	answered = waits && d.isDecided()
	d.decline()
	return answered
}

func (r *Reply) setOpen(k signal) {
	r.mu.Lock()
	r.open = k
	r.mu.Unlock()
}

// awaitedAction describes the action of the program for which the transfer waits, "" for none. The
// caller holds the lock.
func (r *Reply) awaitedAction() string {
	if r.open != 0 {
		return "answer " + r.open.String()
	}
	if limit := r.pipe.Limit(); limit > 0 && r.pipe.Available() >= limit {
		return fmt.Sprintf("read: its ReadBufferSize of %d was full", limit)
	}
	return ""
}

// askSSLErrors reports the certificate flaws that a Backend has found, asks about them if the
// program is to answer, and reports whether they are ignored.
func (r *Reply) askSSLErrors(q *SSLErrors) bool {
	q.Final = q.Final || r.m.requiresTLS(q.Host)
	list := r.req.IgnoreSSLErrors
	q.Ignored = !q.Final && (len(list) == 0 && r.req.IgnoreAllSSLErrors ||
		len(list) > 0 && !slices.ContainsFunc(q.Errors, func(e SSLError) bool { return !slices.ContainsFunc(list, e.Equal) }))
	switch {
	case q.Ignored:
		q.Ignore()
	case q.Final:
		q.Reject()
	}
	(*watch)(r).Enter(flow.TLS)
	r.ask(sigSSLErrors, q, r.req.waitsFor(AskSSLErrors), nil)
	(*watch)(r).Enter(flow.Headers)
	q.mu.Lock()
	defer q.mu.Unlock()
	return r.ctx.Err() == nil && len(q.accepted) > 0 &&
		!slices.ContainsFunc(q.Errors, func(e SSLError) bool { return !slices.ContainsFunc(q.accepted, e.Equal) })
}
