package netreply

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/netreply/netreply/internal/flow"
)

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

func (w *replyWriter) SocketStartedConnecting() error {
	const method = "SocketStartedConnecting"
	err := w.tell(method, &w.told.connecting, maxTold)
	if err == nil {
		(*watch)(w.r).Connecting()
	}
	return err
}

func (w *replyWriter) Encrypted(state tls.ConnectionState) error {
	const method = "Encrypted"
	err := w.tell(method, &w.told.encrypted, maxTold)
	if err == nil {
		(*watch)(w.r).Encrypted(&state)
	}
	return err
}

func (w *replyWriter) RequestSent() error {
	const method = "RequestSent"
	err := w.tell(method, &w.told.sent, maxTold)
	if err == nil {
		(*watch)(w.r).Sent()
	}
	return err
}

func (w *replyWriter) InformationalReceived(status int, h Headers) error {
	const method = "InformationalReceived"
	if status < 100 || status > 199 {
		return &UsageError{method, strconv.Itoa(status) + " is not the status of an interim response"}
	}
	if bad := validateHeaders(h); bad != nil {
		return &UsageError{method, errors.Unwrap(bad).Error()}
	}
	err := w.tell(method, &w.told.interims, flow.MaxInterim)
	if err == nil {
		w.r.emit(sigInformational, 0, 0, &Informational{status, h.Clone()})
	}
	return err
}

func (w *replyWriter) Progress(received, total int64) error {
	const method = "Progress"
	if received < 0 || total < -1 {
		return &UsageError{method, "negative; only an unknown total is -1"}
	}
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	w.mu.Unlock()
	w.r.downloaded(received, total)
	return nil
}

func (w *replyWriter) AuthenticationRequired(q *Authenticator) (user, password string, err error) {
	const method = "AuthenticationRequired"
	if err = w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.resumeHeadTimer()
	w.completeQuestion(q)
	r := w.r
	r.ask(sigAuthentication, q, r.req.waitsFor(AskAuthentication), nil)
	return w.password(q, AuthenticationRequiredError, "Host requires authentication")
}

func (w *replyWriter) ProxyAuthenticationRequired(q *ProxyAuthenticator) (user, password string, err error) {
	const method = "ProxyAuthenticationRequired"
	if q != nil && (q.Authenticator == nil || q.Proxy == nil) {
		return "", "", &UsageError{method, "a question without an Authenticator or without a Proxy"}
	}
	if err = w.beginQuestion(method, q); err != nil {
		return "", "", err
	}
	defer w.resumeHeadTimer()
	w.completeQuestion(q.Authenticator)
	q.Proxy = q.Proxy.clone()
	q.Proxy.User, q.Proxy.Password, q.Proxy.Headers = "", "", Headers{}
	r := w.r
	r.ask(sigProxyAuthentication, q, r.req.waitsFor(AskProxyAuthentication), nil)
	return w.password(q.Authenticator, ProxyAuthenticationRequiredError, "Proxy requires authentication")
}

func (w *replyWriter) SSLErrors(q *SSLErrors) error {
	const method = "SSLErrors"
	if q != nil && len(q.Errors) == 0 {
		return &UsageError{method, "a question without Errors"}
	}
	if err := w.beginQuestion(method, q); err != nil {
		return err
	}
	defer w.resumeHeadTimer()
	if !w.r.askSSLErrors(q) {
		if w.r.ctx.Err() != nil {
			return w.ended()
		}
		return classify(&backendError{&CertificateError{Errors: q.Errors, Chain: q.Chain, host: q.Host}}, PhaseTLS, q.Host)
	}
	if s, ok := w.b.(SSLErrorsIgnorer); ok && !q.Ignored {
		s.IgnoreSSLErrors(&w.request, q.Errors)
	}
	return nil
}

func (w *replyWriter) PreSharedKeyAuthenticationRequired(q *PreSharedKeyAuthenticator) (identity, key []byte, err error) {
	const method = "PreSharedKeyAuthenticationRequired"
	if err := w.beginQuestion(method, q); err != nil {
		return nil, nil, err
	}
	defer w.resumeHeadTimer()
	for _, limit := range [...]*int{&q.MaximumIdentityLength, &q.MaximumPreSharedKeyLength} {
		if *limit == 0 {
			*limit = math.MaxUint16
		}
	}
	r := w.r
	r.ask(sigPreSharedKey, q, r.req.waitsFor(AskPreSharedKey), nil)
	if identity, key, ok := q.Answer(); ok {
		return identity, key, nil
	}
	if r.ctx.Err() != nil {
		return nil, nil, w.ended()
	}
	return nil, nil, classify(&backendError{fmt.Errorf("%w: %w", SslHandshakeFailedError, errNoKey)}, PhaseTLS, "")
}

// beginQuestion checks a question and counts it. The time of the answer does not count for
// HeadTimeout; resumeHeadTimer must follow.
func (w *replyWriter) beginQuestion(method string, q Question) error {
	switch {
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
