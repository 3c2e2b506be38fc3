package netreply

import (
	"context"
	"sync"
)

// decision is the common part of all questions: it accepts the first answer while the reply
// is running.
type decision struct {
	mu      sync.Mutex
	decided bool
	answer  chan struct{}
	// asker is nil before the question is asked. After the end of ctx, which is that of the
	// request for which it asks, no answer is accepted.
	asker *Reply
	ctx   context.Context
}

func (d *decision) decisionOf() *decision { return d }

// settle runs set and returns true for the first answer. It returns false for later ones,
// and when the reply is over.
func (d *decision) settle(set func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decided || d.ctx != nil && d.ctx.Err() != nil {
		return false
	}
	d.decided = true
	set()
	if d.answer != nil {
		close(d.answer)
	}
	return true
}

// decline gives the safe answer, which is no for all kinds of questions.
func (d *decision) decline() bool { return d.settle(func() {}) }

// isNew reports whether the question was neither asked nor answered.
func (d *decision) isNew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.decided && d.asker == nil
}

func (d *decision) isDecided() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.decided
}

// wait waits for an answer or the end of the reply.
func (d *decision) wait() {
	d.mu.Lock()
	if d.answer == nil {
		d.answer = make(chan struct{})
		if d.decided {
			close(d.answer)
		}
	}
	d.mu.Unlock()
	select {
	case <-d.answer:
	case <-d.ctx.Done():
	}
}

// setAsker sets the reply that asks. It must be called before other goroutines see the
// question.
func (d *decision) setAsker(r *Reply) {
	d.asker, d.ctx = r, r.ctx
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra != nil && r.extra.reuse != nil {
		r.extra.reuse.asked = true
	}
}
