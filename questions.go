package netreply

import (
	"context"
	"sync"
)

// Question is something that only the program can decide: a *Redirect, *SSLErrors,
// *Authenticator, *ProxyAuthenticator or *PreSharedKeyAuthenticator. It is answered by the
// verbs of its type, from any goroutine. The first answer counts. Every verb returns
// whether its answer is the one, and false also for a nil pointer, which a closed channel
// gives.
//
// A program is asked only where it has said that it answers: by Request.Answer or
// Config.Answer all that a reply may ask; by Ask, for an answer through a channel of the
// Reply, the kinds that it names; and by UserVerifiedRedirectPolicy redirects. It is not
// asked where the answer is known, by Config.Credentials or Request.IgnoreSSLErrors for
// instance. What nobody answers gets the safe answer: the redirect is not followed, the
// certificate is refused, no password or key is given.
type Question interface {
	// Reply is the reply that asks. It goes on when there is an answer.
	Reply() *Reply
	decisionOf() *decision
}

var _ = []Question{(*Redirect)(nil), (*SSLErrors)(nil), (*Authenticator)(nil), (*ProxyAuthenticator)(nil), (*PreSharedKeyAuthenticator)(nil)}

// QuestionKinds are kinds of questions; see Request.Ask. Redirects are not among them:
// UserVerifiedRedirectPolicy asks for those.
type QuestionKinds uint32

const (
	// AskAuthentication waits for Authenticator.SetCredentials or Cancel when a
	// server wants a password that is not known.
	AskAuthentication QuestionKinds = 1 << iota
	// AskSSLErrors waits for SSLErrors.Ignore, IgnoreOnly or Reject when a server's
	// certificate is not in order.
	AskSSLErrors
	// AskPreSharedKey waits for PreSharedKeyAuthenticator.Set or Cancel. It needs an
	// SSLConfiguration.PSK.
	AskPreSharedKey
	// AskProxyAuthentication waits for ProxyAuthenticator.SetCredentials or Cancel when a
	// proxy wants a password that is not known.
	AskProxyAuthentication

	allQuestions = 1<<iota - 1
)

// waits tells whether questions of a kind are waited for.
func (q *Request) waits(k QuestionKinds) bool { return q.Answer != nil || q.Ask&k != 0 }

// Questions gives every question that the reply waits for an answer to, of all kinds in
// order. The channels of the single kinds give the same, and also what is only told of. It
// is closed when no more can come: with the final response head, or the end of the reply.
func (r *Reply) Questions() <-chan Question { return channelOf[Question](r, sigQuestions) }

// decision is a question that takes its first answer, as long as its reply runs.
type decision struct {
	mu      sync.Mutex
	decided bool
	answer  chan struct{}
	reply   *Reply // whose end leaves nothing to decide; nil for none
}

func (d *decision) decisionOf() *decision { return d }

// settle runs set for the first answer and returns false for all others, and for those that
// come when the reply is over.
func (d *decision) settle(set func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decided || d.reply != nil && d.reply.ctx.Err() != nil {
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
