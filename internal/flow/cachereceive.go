package flow

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/wire"
)

// processForCache processes what the network has answered.
func (h *Hop) processForCache() (again bool) {
	c, now := h.cached, time.Now()
	if h.err != nil {
		if c.fill != nil {
			c.fill.land(landingOfFailure(h.t.ctx))
		}
		if h.t.ctx.Err() == nil && unreachable(h.err) && c.usableOnFailure(0, now) {
			h.answerStale(now)
		}
		return false
	}
	resp := h.resp
	times := cacherules.Times{Request: c.sent, Response: now}
	if cacherules.ClearsCache(h.req.URL, resp.Header) {
		prefix := cacherules.OriginKey(h.req.URL, h.req.Host, h.t.Partition)
		h.e.cache.outdatePrefix(prefix)
		h.e.cache.removePrefix(h.t, prefix)
		c.entries, c.selected = nil, nil
	}
	current := h.invalidate()
	refused := false // it is known that the response cannot be shared
	switch {
	case c.request.Method != http.MethodGet && c.request.Method != http.MethodHead:
		if current {
			h.storeChanged(times)
		}
	case resp.StatusCode == http.StatusNotModified:
		again = h.notModified(times)
	case resp.StatusCode >= 500 && c.usableOnFailure(resp.StatusCode, now) && h.answerStale(now):
		drain(resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && c.decision.Action == cacherules.Complete:
		again = h.fetchAgain() // it is about the range of the cache
	case resp.StatusCode == http.StatusPartialContent && c.request.Method == http.MethodGet:
		again = h.processPart(times)
	case c.request.Method == http.MethodHead:
		h.updateByHead(times)
	default:
		refused = !h.store(times) && resp.StatusCode < 400
	}
	if f := c.fill; f != nil && !again && !c.shares {
		if refused {
			h.e.cache.setAlone(c.key, true)
		}
		f.land(ashore)
	}
	return again
}

// invalidate removes what is outdated after the response to an unsafe method. current reports
// that nobody else has changed the URL since the request was sent.
func (h *Hop) invalidate() (current bool) {
	c := h.cached
	for i, u := range cacherules.Invalidated(h.req.Method, h.req.URL, h.resp.StatusCode, h.resp.Header) {
		key := cacherules.Key(u, h.req.Host, h.t.Partition)
		before, now := h.e.cache.outdate(key)
		if i == 0 {
			current = before <= c.began
		}
		if key == c.key {
			c.began = now
		}
		h.e.cache.remove(h.t, key)
		h.removeSimilar(u, key)
	}
	return current
}

// storeChanged stores the response to an unsafe method, if it is what GET would be answered with
// from now on.
func (h *Hop) storeChanged(times cacherules.Times) {
	c, t := h.cached, h.t
	if t.NoSaveCache || h.unsure() || h.owner != nil || cacherules.StorableChange(&c.request, h.req.URL, h.resp.StatusCode, h.resp.Header) != cacherules.Stores {
		return
	}
	f := &fill{c: h.e.cache, key: c.key, host: h.req.URL.Host, began: c.began}
	f.ctx.Init(t.ctx)
	f.tie(t.ctx)
	if c.fill = f; !h.startFill(times) {
		f.untie()
		f.ctx.Cancel(errUnwanted)
		c.fill = nil
	}
}

// landingOfFailure is what those who wait for a request have to do when it has failed or its
// transfer has ended, by the cause of ctx. After a time limit nobody waits for another one: all
// would wait one behind the other for a server that does not answer.
func landingOfFailure(ctx context.Context) landing {
	var timed interface{ Timeout() bool }
	if cause := context.Cause(ctx); cause == nil || errors.As(cause, &timed) && timed.Timeout() {
		return ashore
	}
	return aborted
}

// unreachable reports whether a request has failed because the server could not be reached,
// or has broken the connection.
func unreachable(err error) bool {
	var we *wire.Error
	return errors.As(err, &we) && we.Phase != wire.TLS
}

func (c *cached) usableOnFailure(status int, now time.Time) bool {
	return c.selected != nil && cacherules.UsableOnFailure(&c.request, c.selected.stored, status, now)
}

// answerStale answers with the selected response although it could not be validated.
func (h *Hop) answerStale(now time.Time) bool {
	c := h.cached
	failed := h.resp
	a, there := c.selected.stored.Answer(&c.request, now)
	if !there || !h.answer(a, false, now) {
		return false
	}
	c.status.Detail = string(cacherules.Unreachable)
	if failed != nil {
		c.status.ForwardStatus, c.status.Detail = failed.StatusCode, string(cacherules.ByStaleError)
	}
	return true
}

// notModified processes a 304. For conditions of the program it is the answer.
func (h *Hop) notModified(times cacherules.Times) (again bool) {
	c := h.cached
	fields := h.receivedFields()
	updated := cacherules.SelectUpdated(&c.request, c.stored(nil), h.resp.Header, times)
	var selected *entry
	for _, s := range updated {
		e := c.entryOf(s)
		next := cacherules.NewStored(s.Update(&c.request, fields, times))
		switch {
		case h.t.NoSaveCache, h.unsure():
		case next.Keep():
			h.updateEntry(e.source, &next.Record)
		default:
			h.removeEntries()
		}
		if selected == nil || e == c.selected {
			selected = &entry{next, e.source}
		}
	}
	if c.decision.Action != cacherules.Validate && c.decision.Action != cacherules.Complete {
		return false
	}
	if c.selected == nil && h.takeOffered(fields, times) {
		return false
	}
	if selected != nil {
		resp := h.resp
		c.selected = selected
		if a, there := selected.stored.Answer(&c.request, times.Response); there && h.answer(a, true, times.Response) {
			drain(resp)
			c.status.ForwardStatus = http.StatusNotModified
			return false
		}
	}
	// the server has not seen the conditions as they were sent, or the body is lost
	return h.fetchAgain()
}

// takeOffered answers with the stored response to another request that a 304 says is the right
// one, and stores it for this one, too. It reports false if there is none.
func (h *Hop) takeOffered(fields headers.Headers, times cacherules.Times) bool {
	c, received := h.cached, h.resp
	e := c.entryOf(cacherules.SelectOffered(c.stored(nil), received.Header))
	if e == nil || h.unsure() {
		return false
	}
	s := cacherules.NewStored(e.stored.Update(&c.request, fields, times))
	if !s.Keep() {
		return false
	}
	body := h.openStored(&c.fill.ctx, e.source, s, cacherules.Span{End: s.Length})
	if body == nil {
		return false
	}
	all := cacherules.Answer{Status: s.Status, Body: cacherules.Span{End: s.Length}}
	made := h.madeResponse(s.Status, all.Fields(s, true, times.Response), body.left)
	made.Body, made.Trailer = body, mapOf(s.Trailer)
	h.resp = made
	if !h.fillWith(filling{stored: s, body: body, size: body.left, from: made}, times) {
		body.Close()
		h.resp, c.fields = received, headers.Headers{}
		return false
	}
	made, h.resp = h.resp, received // fillWith may have made another one of it
	h.useStored(made, s, times.Response)
	c.status.ForwardStatus = http.StatusNotModified
	drain(received)
	return true
}

// fetchAgain sends the request again, without the conditions of the cache. The response is
// dropped.
func (h *Hop) fetchAgain() (again bool) {
	c, t := h.cached, h.t
	drain(h.resp)
	c.selected, c.decision.Action = nil, cacherules.Fetch
	c.status = cacherules.Status{Forward: c.decision.Forward}
	req, err := t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		h.fail(err)
		return false
	}
	req.Header = c.request.Header
	h.req = req
	h.detach()
	c.sent = time.Now()
	return true
}

// updateByHead applies a response to HEAD to the stored response of GET.
func (h *Hop) updateByHead(times cacherules.Times) {
	c := h.cached
	if c.selected == nil || h.t.NoSaveCache || h.unsure() || c.request.NoStore() {
		return
	}
	if rec, changed := c.selected.stored.UpdateByHead(&c.request, h.resp.StatusCode, h.receivedFields(), times); changed {
		h.updateEntry(c.selected.source, &rec)
	}
}

// receivedFields are the fields of the response as it was received.
func (h *Hop) receivedFields() headers.Headers {
	if raw := h.exchange.Head; raw != "" {
		_, fields := wire.ParseHead(raw)
		return headers.FromFields(fields)
	}
	return headers.FromHTTP(h.resp.Header)
}

// store stores the response while its body is received. It reports false if it is not to be
// stored.
func (h *Hop) store(times cacherules.Times) bool {
	c, status := h.cached, h.resp.StatusCode
	refusal := cacherules.OtherStatus
	if c.fill != nil && !h.unsure() {
		refusal = cacherules.Storable(&c.request, status, h.resp.Header)
	}
	if refusal == cacherules.Stores && h.startFill(times) {
		return true
	}
	if refusal != cacherules.Stores {
		h.explain(refusal)
	}
	outdated := status == http.StatusNotFound || status == http.StatusGone ||
		status < 400 && status != http.StatusPartialContent && status != http.StatusNotModified
	if outdated && c.selected != nil && !c.request.NoStore() && !h.unsure() { // D30
		h.removeEntries()
	}
	return false
}

// explain says in the status why the response is not stored.
func (h *Hop) explain(refusal cacherules.Refusal) {
	detail := &h.cached.status.Detail
	switch {
	case h.t.NoSaveCache:
		*detail = string(cacherules.SaveControl)
	case h.cached.request.NoStore():
		*detail = string(cacherules.RequestNoStore)
	case h.unsure():
		*detail = string(cacherules.OneTrust)
	default:
		*detail = string(refusal)
	}
}
