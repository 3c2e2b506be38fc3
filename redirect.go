package netreply

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

// RedirectPolicy says which redirects are followed.
type RedirectPolicy int

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
func (d *Redirect) Deny() bool { return d != nil && d.settle(func() {}) }

// permitted waits for the answer; the end of the context is a refusal.
func (d *Redirect) permitted(ctx context.Context) bool {
	if !d.wait(ctx) {
		d.Deny()
	}
	return d.isAllowed()
}

func (d *Redirect) isAllowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allowed
}

// afterRedirect follows redirects. Every hop goes through all steps below, and every head it
// sees is shown by the reply.
func afterRedirect(h *hop) (again bool) {
	if h.err != nil {
		return false
	}
	req, err := h.t.answered(h)
	if h.err = err; req == nil || err != nil {
		return false
	}
	h.req = req
	h.redirects--
	return true
}

// answered shows a response head and makes the next request if it is a redirect to
// be followed. It is apart from afterRedirect to keep the stack of the calls below that one small.
func (t *transfer) answered(h *hop) (*http.Request, error) {
	resp := h.resp
	from := t.url // with the user that a relative target keeps (rule R18)
	plan := httpurl.PlanRedirect(resp.StatusCode, resp.Header["Location"], from, h.req.Method,
		httpurl.Rules{Policy: t.q.RedirectPolicy.rules(), Left: h.redirects, Upgrade: t.m.upgrade})
	head := responseHead{Response: resp, raw: h.exchange.Head, target: plan.Target}
	if plan.Redirect && plan.Refusal == nil {
		head.target = nil
	}
	head.noBody = resp.Request.Method == http.MethodHead || resp.StatusCode == 101 || resp.StatusCode == 204 || resp.StatusCode == 304
	codings, _ := t.codings(resp)
	head.decoded = len(codings) > 0
	head.final = !plan.Redirect
	t.noBody = head.noBody
	t.w.Head(&head)
	if !plan.Redirect {
		return nil, nil
	}
	if plan.Refusal != nil {
		discard(resp)
		return nil, refusedRedirect(plan.Refusal)
	}
	if plan.SendBody && t.upload != nil && !t.payload.Rewindable {
		t.w.Refused(plan.Target)
		discard(resp)
		return nil, notAgain(flow.ErrNotRewindable)
	}
	return t.follow(resp, plan)
}

// follow announces a redirect, waits for the decision where there is one to be
// taken, and makes the request of the next hop. The body of the redirect, which nobody
// sees, is read behind the announcement.
func (t *transfer) follow(resp *http.Response, plan httpurl.Plan) (*http.Request, error) {
	t.clock.Pause() // until the next hop begins
	defer t.clock.Resume()
	follow := t.w.Redirect(&redirection{t.url, plan.Target, resp.StatusCode, plan.Method}, func() { discard(resp) })
	if t.ctx.Err() != nil { // rule D6: nothing is sent after an abort
		return nil, context.Cause(t.ctx)
	}
	if !follow {
		return nil, &Error{Code: OperationCanceledError, Phase: PhaseHeaders, Text: "Redirect denied", Err: errors.New("redirect denied")}
	}
	t.url, t.method = plan.Target, plan.Method
	t.clock.Touch()
	t.headers = nextHeaders(t.headers, t.q.SecretHeaders, plan)
	if !plan.SendBody {
		t.dropBody()
	}
	return t.newRequest(plan.Method, plan.Target)
}

// notFollowed takes back the target that a reply shows while it asks about a redirect, where
// the reply ends before that was allowed (D10 and D13). The caller holds the lock.
func (r *Reply) notFollowed() {
	if r.req.RedirectPolicy != UserVerifiedRedirectPolicy {
		return
	}
	if e, told := r.record.latest(sigRedirected); told {
		if d := value[*Redirect](e); !d.isAllowed() {
			r.url, r.head.target = d.From, d.URL
		}
	}
}
