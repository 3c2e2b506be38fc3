package netreply

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/netreply/netreply/internal/flow"
)

// counts are the signals of a reply that backends have emitted, of the kinds that do not
// conflate: the channels are that large.
type counts struct{ connecting, encrypted, sent, interims, questions int }

// maxTold bounds each of counts except questions.
const maxTold = flow.MaxInterim

// tell counts a signal, and returns an error if it must not be emitted.
func (w *replyWriter) tell(method string, n *int, limit int) error {
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if *n == limit {
		return &UsageError{method, "called more than " + strconv.Itoa(limit) + " times for one reply"}
	}
	*n++
	return nil
}

// SocketStartedConnecting emits the signal of that name (rule S41).
func (w ReplyWriter) SocketStartedConnecting() error {
	const method = "SocketStartedConnecting"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.connecting, maxTold)
	if err == nil {
		(*watch)(w.w.r).Connecting()
	}
	return err
}

// Encrypted emits the signal of that name (rule S43), and sets what Reply.SSLConfiguration
// tells about the connection.
func (w ReplyWriter) Encrypted(state tls.ConnectionState) error {
	const method = "Encrypted"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.encrypted, maxTold)
	if err == nil {
		(*watch)(w.w.r).Encrypted(&state)
	}
	return err
}

// RequestSent emits the signal of that name (rule S42).
func (w ReplyWriter) RequestSent() error {
	const method = "RequestSent"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	err := w.w.tell(method, &w.w.told.sent, maxTold)
	if err == nil {
		(*watch)(w.w.r).Sent()
	}
	return err
}

// InformationalReceived emits the signal of that name, for an interim response with a status
// from 100 to 199.
func (w ReplyWriter) InformationalReceived(status int, h Headers) error {
	const method = "InformationalReceived"
	if w.w == nil {
		return &UsageError{method, notMade}
	}
	if status < 100 || status > 199 {
		return &UsageError{method, strconv.Itoa(status) + " is not the status of an interim response"}
	}
	if bad := validateHeaders(h); bad != nil {
		return &UsageError{method, errors.Unwrap(bad).Error()}
	}
	err := w.w.tell(method, &w.w.told.interims, flow.MaxInterim)
	if err == nil {
		w.w.r.emit(sigInformational, 0, 0, &Informational{status, h.Clone()})
	}
	return err
}

// Progress emits DownloadProgress, at most every 100 ms; total is -1 if unknown. It is for
// progress before there are bytes of the body, which report theirs themselves (rule P2).
func (w ReplyWriter) Progress(received, total int64) error {
	const method = "Progress"
	if received < 0 || total < -1 {
		return &UsageError{method, "negative; only an unknown total is -1"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	w.w.mu.Unlock()
	w.w.r.downloaded(received, total)
	return nil
}

// AuthenticationRequired asks for a user name and a password (Qt: authenticationRequired). q
// must be new; an empty URL becomes that of the request. The error of a question that was
// not answered fails the reply with AuthenticationRequiredError, if Serve returns it.
func (w ReplyWriter) AuthenticationRequired(q *Authenticator) (user, password string, err error) {
	const method = "AuthenticationRequired"
	if err = w.w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.w.resumeHeadTimer()
	w.w.completeQuestion(q)
	r := w.w.r
	r.ask(sigAuthentication, q, r.req.waitsFor(AskAuthentication), nil)
	return w.w.password(q, AuthenticationRequiredError, "Host requires authentication")
}

// ProxyAuthenticationRequired asks for a user name and a password for a proxy (Qt:
// proxyAuthenticationRequired), like AuthenticationRequired; the code of its error is
// ProxyAuthenticationRequiredError.
func (w ReplyWriter) ProxyAuthenticationRequired(q *ProxyAuthenticator) (user, password string, err error) {
	const method = "ProxyAuthenticationRequired"
	if q != nil && (q.Authenticator == nil || q.Proxy == nil) {
		return "", "", &UsageError{method, "a question without an Authenticator or without a Proxy"}
	}
	if err = w.w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.w.resumeHeadTimer()
	w.w.completeQuestion(q.Authenticator)
	q.Proxy = q.Proxy.clone()
	q.Proxy.User, q.Proxy.Password, q.Proxy.Headers = "", "", Headers{}
	r := w.w.r
	r.ask(sigProxyAuthentication, q, r.req.waitsFor(AskProxyAuthentication), nil)
	return w.w.password(q.Authenticator, ProxyAuthenticationRequiredError, "Proxy requires authentication")
}

// SSLErrors reports certificate flaws (Qt: sslErrors), and returns nil if they are ignored, by
// the Request or by an answer. q must be new. The error of flaws that are not ignored fails
// the reply with SslHandshakeFailedError, if Serve returns it.
func (w ReplyWriter) SSLErrors(q *SSLErrors) error {
	const method = "SSLErrors"
	if q != nil && len(q.Errors) == 0 {
		return &UsageError{method, "a question without Errors"}
	}
	if err := w.w.beginQuestion(method, q); err != nil {
		return err
	}
	defer w.w.resumeHeadTimer()
	if !w.w.r.askSSLErrors(q) {
		if w.w.r.ctx.Err() != nil {
			return w.w.ended()
		}
		return classify(&backendError{&CertificateError{Errors: q.Errors, Chain: q.Chain, host: q.Host}}, PhaseTLS, q.Host)
	}
	if s, ok := w.w.b.(SSLErrorsIgnorer); ok && !q.Ignored {
		s.IgnoreSSLErrors(&w.w.request, q.Errors)
	}
	return nil
}

// PreSharedKeyAuthenticationRequired asks for a pre-shared key (Qt:
// preSharedKeyAuthenticationRequired). q must be new; a maximum of 0 becomes 65535, the largest
// that TLS allows. The error of a question that was not
// answered fails the reply with SslHandshakeFailedError, if Serve returns it.
func (w ReplyWriter) PreSharedKeyAuthenticationRequired(q *PreSharedKeyAuthenticator) (identity, key []byte, err error) {
	const method = "PreSharedKeyAuthenticationRequired"
	if err := w.w.beginQuestion(method, q); err != nil {
		return nil, nil, err
	}
	defer w.w.resumeHeadTimer()
	for _, limit := range [...]*int{&q.MaximumIdentityLength, &q.MaximumPreSharedKeyLength} {
		if *limit == 0 {
			*limit = math.MaxUint16
		}
	}
	r := w.w.r
	r.ask(sigPreSharedKey, q, r.req.waitsFor(AskPreSharedKey), nil)
	if identity, key, ok := q.Answer(); ok {
		return identity, key, nil
	}
	if r.ctx.Err() != nil {
		return nil, nil, w.w.ended()
	}
	return nil, nil, classify(&backendError{fmt.Errorf("%w: %w", SslHandshakeFailedError, errNoKey)}, PhaseTLS, "")
}

// beginQuestion checks a question and counts it. The time of the answer does not count for
// HeadTimeout; resumeHeadTimer must follow.
func (w *replyWriter) beginQuestion(method string, q Question) error {
	switch {
	case w == nil:
		return &UsageError{method, notMade}
	case isNil(q):
		return &UsageError{method, "a nil question"}
	case !q.decisionOf().isNew():
		return &UsageError{method, "a question that was asked or answered before"}
	}
	if err := w.tell(method, &w.told.questions, flow.MaxQuestions); err != nil {
		return err
	}
	w.mu.Lock()
	w.pauseHeadTimer()
	w.mu.Unlock()
	return nil
}

// completeQuestion fills in the URL of a question.
func (w *replyWriter) completeQuestion(q *Authenticator) {
	if q.URL == nil {
		q.URL = w.r.URL()
	}
	bare := *q.URL
	bare.User = nil
	q.URL = &bare
}

// password returns the answer to a question for a password.
func (w *replyWriter) password(q *Authenticator, code NetworkError, text string) (string, string, error) {
	if a := q.answer.Load(); a != nil {
		return a.User, a.Password, nil
	}
	if w.r.ctx.Err() != nil {
		return "", "", w.ended()
	}
	return "", "", &Error{Code: code, Phase: PhaseHeaders, Text: text}
}
