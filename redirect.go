package netreply

import (
	"log/slog"
	"net/url"

	"github.com/netreply/netreply/internal/httpurl"
)

// RedirectPolicy says which redirects are followed.
type RedirectPolicy int8

const (
	// DefaultRedirectPolicy is the Manager's policy, and for the Manager
	// NoLessSafeRedirectPolicy.
	DefaultRedirectPolicy RedirectPolicy = iota
	// ManualRedirectPolicy follows none: the 3xx is the response, and
	// RedirectionTarget tells where it points to (rule R2).
	ManualRedirectPolicy
	// NoLessSafeRedirectPolicy follows all but those from https to http (rule R4).
	NoLessSafeRedirectPolicy
	// SameOriginRedirectPolicy follows those with the same scheme, host and port
	// (rule R5).
	SameOriginRedirectPolicy
	// UserVerifiedRedirectPolicy asks for each: the reply waits for Redirect.Allow
	// or Redirect.Deny (rule R6).
	UserVerifiedRedirectPolicy
)

// Redirect is one redirect. Under UserVerifiedRedirectPolicy it is a decision
// that the reply waits for, until its context ends, which is a refusal; under the other
// policies it has been allowed already. Its methods may be called from any goroutine.
type Redirect struct {
	URL        *url.URL // where to, absolute
	From       *url.URL // the URL that answered
	StatusCode int      // of the redirect
	Method     string   // that the next request would have

	decision
	allowed bool
}

// Allow lets the reply follow. It returns false when the decision had been
// taken, or the reply is over.
func (d *Redirect) Allow() bool { return d != nil && d.settle(func() { d.allowed = true }) }

// Deny fails the reply with OperationCanceledError; RedirectionTarget is set. It
// returns false when the decision had been taken, or the reply is over.
func (d *Redirect) Deny() bool { return d != nil && d.refuse() }

func (d *Redirect) isAllowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allowed
}

// rules are the policy in the words of httpurl; by default it is NoLessSafe.
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
