package netreply

import (
	"log/slog"
	"math/bits"
	"strconv"
	"strings"
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

// String returns the names of the constants, with | between them.
func (q QuestionKinds) String() string {
	if q == 0 {
		return "0"
	}
	names := make([]string, 0, bits.OnesCount(uint(q)))
	for rest := q & allQuestions; rest != 0; rest &= rest - 1 {
		names = append(names, nameOf("", bits.TrailingZeros(uint(rest)), "AskAuthentication", "AskSSLErrors", "AskPreSharedKey", "AskProxyAuthentication"))
	}
	if other := q &^ allQuestions; other != 0 {
		names = append(names, "QuestionKinds("+strconv.FormatUint(uint64(other), 10)+")")
	}
	return strings.Join(names, "|")
}

// LogValue is what log/slog prints: the same as String.
func (q QuestionKinds) LogValue() slog.Value { return slog.StringValue(q.String()) }

// Reply is the reply that asks.
func (a *Authenticator) Reply() *Reply {
	if a == nil {
		return nil
	}
	return a.decision.reply()
}

// Reply is the reply that asks.
func (a *PreSharedKeyAuthenticator) Reply() *Reply {
	if a == nil {
		return nil
	}
	return a.decision.reply()
}

// Reply is the reply that needs the connection.
func (s *SSLErrors) Reply() *Reply {
	if s == nil {
		return nil
	}
	return s.decision.reply()
}

// Reply is the reply that is redirected.
func (d *Redirect) Reply() *Reply {
	if d == nil {
		return nil
	}
	return d.decision.reply()
}

// Reply is the reply that asks.
func (a *ProxyAuthenticator) Reply() *Reply { return a.question().Reply() }

// reply is the reply that asks, nil before it does.
func (d *decision) reply() *Reply {
	r, _ := d.asker.(*Reply)
	return r
}
