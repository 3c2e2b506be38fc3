package netreply

import (
	"log/slog"
	"net/url"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

// RedirectPolicy says which redirects are followed.
type RedirectPolicy int8

const (
	// DefaultRedirectPolicy means the Manager's policy, and in a Config
	// NoLessSafeRedirectPolicy.
	DefaultRedirectPolicy RedirectPolicy = iota
	// ManualRedirectPolicy follows no redirects: the 3xx response is final, and
	// RedirectionTarget is its target (rule R2).
	ManualRedirectPolicy
	// NoLessSafeRedirectPolicy follows all redirects except from https to http (rule R4).
	NoLessSafeRedirectPolicy
	// SameOriginRedirectPolicy follows redirects to the same scheme, host and port (rule
	// R5).
	SameOriginRedirectPolicy
	// UserVerifiedRedirectPolicy asks the program: the reply waits for Redirect.Allow or
	// Redirect.Deny (rule R6).
	UserVerifiedRedirectPolicy
)

// Redirect is one redirect. Under UserVerifiedRedirectPolicy it is a question, and the
// reply waits for the answer; the end of the reply's context has the effect of Deny. Under
// the other policies it is allowed already. Its methods are safe for concurrent use.
type Redirect struct {
	URL        *url.URL // the target, absolute
	From       *url.URL // the URL that sent the redirect
	StatusCode int      // of the redirect
	Method     string   // of the next request

	decision
	allowed     bool
	redirection *flow.Redirection // what is followed
}

// Allow follows the redirect. It returns false when there was an answer already, or the
// reply is over.
func (d *Redirect) Allow() bool { return d != nil && d.settle(func() { d.allowed = true }) }

// Deny fails the reply with OperationCanceledError; RedirectionTarget is set. It returns
// false when there was an answer already, or the reply is over.
func (d *Redirect) Deny() bool { return d != nil && d.decline() }

func (d *Redirect) isAllowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allowed
}

// rules converts the policy for package httpurl.
func (p RedirectPolicy) rules() httpurl.Policy {
	switch p {
	case ManualRedirectPolicy:
		return httpurl.Manual
	case SameOriginRedirectPolicy:
		return httpurl.SameOrigin
	case UserVerifiedRedirectPolicy:
		return httpurl.UserVerified
	case DefaultRedirectPolicy, NoLessSafeRedirectPolicy:
	}
	return httpurl.NoLessSafe
}

// String returns the name of the constant.
func (p RedirectPolicy) String() string {
	return nameOf("RedirectPolicy", int(p), "DefaultRedirectPolicy", "ManualRedirectPolicy", "NoLessSafeRedirectPolicy",
		"SameOriginRedirectPolicy", "UserVerifiedRedirectPolicy")
}

// LogValue is what log/slog prints: the same as String.
func (p RedirectPolicy) LogValue() slog.Value { return slog.StringValue(p.String()) }
