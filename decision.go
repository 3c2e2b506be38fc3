package netreply

import (
	"context"
	"sync"
)

// decision is a question that takes its first answer, as long as its reply runs.
type decision struct {
	mu      sync.Mutex
	decided bool
	answer  chan struct{}
	// asker is the *Reply that asks, nil before it does; the end of its context leaves
	// nothing to decide.
	asker any
	ctx   context.Context
}

func (d *decision) decisionOf() *decision { return d }

// settle runs set for the first answer and returns false for all others, and for those that
// come when the reply is over.
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

// refuse gives the safe answer, which is the same for all kinds: no.
func (d *decision) refuse() bool { return d.settle(func() {}) }

func (d *decision) isDecided() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.decided
}

// wait returns when there is an answer, or when ctx ends.
func (d *decision) wait(ctx context.Context) {
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
	case <-ctx.Done():
	}
}

// askedBy says who asks, before anybody else sees the question.
func (d *decision) askedBy(ctx context.Context, asker any) { d.ctx, d.asker = ctx, asker }
