package netreply

import (
	"errors"
	"strconv"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

func (w *replyWriter) Redirect(location string, status int) error {
	const method = "Redirect"
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		return &UsageError{method, strconv.Itoa(status) + " is not the status of a redirect"}
	}
	if err := w.lock(method, beforeHead); err != nil {
		return err
	}
	if bad := validateHeaders(NewHeaders("Location", location)); bad != nil {
		w.mu.Unlock()
		return &UsageError{method, errors.Unwrap(bad).Error()}
	}
	w.fields.Set("Location", location)
	r := w.r
	from := w.url
	plan := httpurl.PlanRedirect(status, []string{location}, from, w.method, httpurl.Rules{
		Policy: r.req.RedirectPolicy.rules(), Left: r.req.maxRedirects() - int(r.hops), Upgrade: r.m.flow.Upgrade, Scheme: from.Scheme,
	})
	w.attributes.status, w.attributes.target, w.head.final = status, plan.Target, !plan.Redirect
	if plan.Redirect && plan.Refusal == nil {
		w.attributes.target = nil
	}
	if !plan.Redirect {
		w.mu.Unlock()
		return w.MetaDataChanged()
	}
	done := w.settle(moved)
	returned := false
	defer done(&returned)
	w.showHead() // which unlocks
	err := w.follow(plan, status)
	returned = true
	return err
}

// follow reports a redirect, and prepares the next hop if it is followed.
func (w *replyWriter) follow(plan httpurl.Plan, status int) error {
	r := w.r
	if plan.Refusal != nil {
		return w.fail(plan.Refusal)
	}
	if plan.SendBody && w.upload.used() && !w.payload.Rewindable {
		(*watch)(r).Refused(plan.Target)
		return w.fail(&flow.Error{Kind: flow.NotResent, Err: flow.ErrNotRewindable})
	}
	follow := (*watch)(r).Redirect(&flow.Redirection{From: w.url, To: plan.Target, Status: status, Method: plan.Method}, func() {})
	switch {
	case r.ctx.Err() != nil:
		return w.ended()
	case !follow:
		return w.fail(&flow.Error{Kind: flow.RedirectDenied, Err: errors.New("redirect denied")})
	}
	if !plan.SendBody && w.payload != nil {
		(*watch)(r).Uploads(nil)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = &onward{plan.Target, plan.Method, flow.NextHeaders(w.headers.Clone(), r.req.SecretHeaders, plan), plan.SendBody, w.told}
	return nil
}
