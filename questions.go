package netreply

import (
	"log/slog"
	"math/bits"
	"strconv"
	"strings"
)

// Question is a decision of the program: a *Redirect, *SSLErrors, *Authenticator,
// *ProxyAuthenticator or *PreSharedKeyAuthenticator. It is answered by the methods of its
// type, from any goroutine. Only the first answer has an effect. Every answering method
// reports whether its answer is the first one; on a nil pointer, which a closed channel
// delivers, it returns false.
//
// A reply waits for answers only if the program has opted in: with Request.Answer or
// Config.Answer for all kinds; with Ask for the kinds that it names, to answer through a
// channel of the Reply; and with UserVerifiedRedirectPolicy for redirects. It does not ask
// if the answer is known, from Config.Credentials or Request.IgnoreSSLErrors for instance.
// Without an answer it does the safe thing: it does not follow the redirect, refuses the
// certificate, sends no password or key.
type Question interface {
	// Reply is the reply that asks. It continues when there is an answer.
	Reply() *Reply
	decisionOf() *decision
}

var _ = []Question{(*Redirect)(nil), (*SSLErrors)(nil), (*Authenticator)(nil), (*ProxyAuthenticator)(nil), (*PreSharedKeyAuthenticator)(nil)}

// QuestionKinds are kinds of questions; see Request.Ask. Redirects are not among them:
// UserVerifiedRedirectPolicy asks for those.
type QuestionKinds uint32

const (
	// AskAuthentication waits for Authenticator.SetCredentials or Cancel when a server
	// requires a password that is not known.
	AskAuthentication QuestionKinds = 1 << iota
	// AskSSLErrors waits for SSLErrors.Ignore, IgnoreOnly or Reject when a server's
	// certificate has flaws.
	AskSSLErrors
	// AskPreSharedKey waits for PreSharedKeyAuthenticator.Set or Cancel. It requires
	// SSLConfiguration.PSK.
	AskPreSharedKey
	// AskProxyAuthentication waits for ProxyAuthenticator.SetCredentials or Cancel when a
	// proxy requires a password that is not known.
	AskProxyAuthentication

	allQuestions = 1<<iota - 1
)

// waitsFor reports whether the reply waits for answers to questions of a kind.
func (q *Request) waitsFor(k QuestionKinds) bool { return q.Answer != nil || q.Ask&k != 0 }

// Questions emits every question that the reply waits for, of all kinds in order. The
// channels of the single kinds emit the same questions, and also those that the reply does
// not wait for. It is closed when no more questions can follow: with the final response
// head, or the end of the reply.
func (r *Reply) Questions() <-chan Question { return channelOf[Question](r, sigQuestions) }

// String returns the names of the constants, separated by |.
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
	return a.reply()
}

// Reply is the reply that asks.
func (a *PreSharedKeyAuthenticator) Reply() *Reply {
	if a == nil {
		return nil
	}
	return a.reply()
}

// Reply is the reply that needs the connection.
func (s *SSLErrors) Reply() *Reply {
	if s == nil {
		return nil
	}
	return s.reply()
}

// Reply is the reply that is redirected.
func (d *Redirect) Reply() *Reply {
	if d == nil {
		return nil
	}
	return d.reply()
}

// Reply is the reply that asks.
func (a *ProxyAuthenticator) Reply() *Reply { return a.question().Reply() }

// reply is the reply that asks, nil before that.
func (d *decision) reply() *Reply { return d.asker }
