package wire

import (
	"context"
	"errors"
)

// Question is a question during a handshake, which continues on the same connection when
// Observer.Question returns. The answer is in its fields.
type Question struct {
	// About is a *certs.Failure, or the question of Profile.Handshake.
	About any
	// Profile is the answer to a Failure: a profile that accepts it, which becomes that of
	// the connection.
	Profile *Profile

	seen chan struct{} // closed when Observer.Question has returned
}

// maxQuestions bounds the questions of one handshake.
const maxQuestions = 4

// errLeft is the result of a question whose exchange does not wait any more.
var errLeft = errors.New("wire: the exchange does not wait for the connection any more")

// ask passes a question to the owner of the dial, and waits for its answer. From the first
// question on the connection is only for the owner: for other waiters another one is
// dialled, so that they do not wait for the answer.
func (t *Transport) ask(ctx context.Context, s *handshake, q *Question) error {
	q.seen = make(chan struct{})
	t.mu.Lock()
	asked := s.d.passQuestion(q, s.questions)
	s.questions++
	t.unlock()
	if !asked {
		return errLeft
	}
	select {
	case <-q.seen:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passQuestion passes a question to the owner of the dial, after n others of the same handshake.
// False means that the owner does not wait any more, or that there were too many questions.
func (d *dialing) passQuestion(q *Question, n int) bool {
	w := d.owner
	if w == nil || w.done || n >= maxQuestions {
		return false
	}
	d.restrict(ownerOnly)
	w.news.question = q
	w.notify()
	d.host.startDials()
	return true
}
