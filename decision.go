package netreply

import (
	"context"
	"sync"
)

// Questions are the decisions that a reply waits for. Without them it takes the
// safe answer at once, unless one is given inside OnSignal.
type Questions uint

const (
	// AskAuthentication waits for Authenticator.SetCredentials or Cancel when a
	// server wants a password that is not known.
	AskAuthentication Questions = 1 << iota
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

// decision is a question that takes its first answer, as long as its reply runs.
type decision struct {
	mu      sync.Mutex
	decided bool
	answer  chan struct{}
	reply   context.Context // whose end leaves nothing to decide; nil for none
}

// until ties the question to the context of its reply. It must be called before anybody
// sees it.
func (d *decision) until(ctx context.Context) { d.reply = ctx }

// settle runs set for the first answer and returns false for all others, and for those that
// come when the reply is over.
func (d *decision) settle(set func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decided || d.reply != nil && d.reply.Err() != nil {
		return false
	}
	d.decided = true
	set()
	if d.answer != nil {
		close(d.answer)
	}
	return true
}

// wait returns when there is an answer, or false when ctx ends first.
func (d *decision) wait(ctx context.Context) bool {
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
		return true
	case <-ctx.Done():
		return false
	}
}
