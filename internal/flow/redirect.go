package flow

import (
	"context"
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/httpurl"
)

// afterRedirect follows redirects, and reports every response head to the Watcher.
func afterRedirect(h *Hop) (again bool) {
	if h.err != nil {
		return false
	}
	req, err := h.t.processHead(h)
	if err != nil {
		h.fail(err)
	}
	if req == nil {
		return false
	}
	h.req = req
	h.redirects--
	return true
}

// processHead reports a response head and makes the next request if it is a redirect to be
// followed. What only redirects need has functions of its own, to keep the stack of others small.
func (t *Transfer) processHead(h *Hop) (*http.Request, error) {
	if httpurl.IsRedirect(h.resp.StatusCode) {
		return t.processRedirect(h)
	}
	t.reportHead(h, nil)
	return nil, nil
}

// reportHead reports a response head. plan is nil for one that is no redirect.
func (t *Transfer) reportHead(h *Hop, plan *httpurl.Plan) {
	resp, head := h.resp, &t.head
	head.Response, head.Cache, head.Final = resp, h.outcome(), plan == nil || !plan.Redirect
	head.Raw, head.Target = "", nil
	if !h.answered() {
		head.Raw = h.exchange.Head
	}
	if plan != nil && (!plan.Redirect || plan.Refusal != nil) {
		head.Target = plan.Target
	}
	head.NoBody = resp.Request.Method == http.MethodHead || resp.StatusCode == 101 || resp.StatusCode == 204 || resp.StatusCode == 304
	codings, _ := t.codings(resp)
	head.Decoded = len(codings) > 0
	t.watcher.Head(head)
}

// processRedirect is processHead for a redirect.
//
//go:noinline
func (t *Transfer) processRedirect(h *Hop) (*http.Request, error) {
	resp := h.resp
	from := t.url // with the user information, which a relative target keeps (rule R18)
	plan := httpurl.PlanRedirect(resp.StatusCode, resp.Header["Location"], from, h.req.Method,
		httpurl.Rules{Policy: t.Redirects, Left: int(h.redirects), Upgrade: t.e.Upgrade})
	t.reportHead(h, &plan)
	if !plan.Redirect {
		return nil, nil
	}
	if plan.Refusal != nil {
		drain(resp)
		return nil, plan.Refusal
	}
	if plan.SendBody && t.upload != nil && !t.Payload.Rewindable {
		t.watcher.Refused(plan.Target)
		drain(resp)
		return nil, &Error{Kind: NotResent, Err: ErrNotRewindable}
	}
	return t.follow(resp, plan)
}

// follow reports a redirect, waits for the decision of the program if the policy says so,
// and makes the request of the next hop. The body of the redirect is drained after it was
// reported.
func (t *Transfer) follow(resp *http.Response, plan httpurl.Plan) (*http.Request, error) {
	t.Clock.Pause() // until the next hop begins
	defer t.Clock.Resume()
	follow := t.watcher.Redirect(&Redirection{t.url, plan.Target, resp.StatusCode, plan.Method}, func() { drain(resp) })
	if t.ctx.Err() != nil { // rule D6: nothing is sent after an abort
		return nil, context.Cause(t.ctx)
	}
	if !follow {
		return nil, &Error{Kind: RedirectDenied, Err: errors.New("redirect denied")}
	}
	t.url = plan.Target
	t.Clock.Touch()
	t.Headers = NextHeaders(t.Headers, t.SecretHeaders, plan)
	if !plan.SendBody {
		t.dropBody()
	}
	return t.newRequest(plan.Method, plan.Target)
}
