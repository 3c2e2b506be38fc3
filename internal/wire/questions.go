package wire

import (
	"context"
	"errors"
)

// Question comes up in the middle of a handshake. The answer is given in its fields; the
// handshake goes on, with the same connection, when Observer.Question returns.
type Question struct {
	// About is a *certs.Failure, or what Profile.Handshake asked.
	About any
	// Profile, when it was set to one that accepts a Failure, is whose the connection
	// becomes.
	Profile *Profile

	seen chan struct{} // closed when it was
}

// maxQuestions bounds the questions of one handshake.
const maxQuestions = 4

// errLeft is the answer to a question whose exchange is not there any more.
var errLeft = errors.New("wire: nobody waits for the connection")

// ask brings a question to the exchange that the dial is for, and waits until it has seen it.
// From the first one on the connection is for that exchange alone: others who wait get another
// one, and do not wait for its answer.
func (t *Transport) ask(ctx context.Context, s *handshake, q *Question) error {
	q.seen = make(chan struct{})
	t.mu.Lock()
	asked := s.d.asks(q, s.questions)
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

// asks puts a question to the owner of the dial, behind n others of the same handshake. False
// means that there is nobody to ask.
func (d *dialing) asks(q *Question, n int) bool {
	w := d.owner
	if w.done || n >= maxQuestions {
		return false
	}
	d.restrict(ownerOnly)
	w.news.question = q
	w.notify()
	d.host.startDials()
	return true
}
