package flow

import (
	"io"
	"net/http"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacherules"
)

// A stored body is one span of the whole body. A part of the body that begins in it or at its
// end is put behind it: what comes into the store is then read from the stored span, up to the
// part, and from the connection.

// processPart processes a 206, which either is what the program has asked for, or completes
// the selected response.
func (h *Hop) processPart(times cacherules.Times) (again bool) {
	c := h.cached
	completes := c.decision.Action == cacherules.Complete
	refusal := cacherules.Storable(&c.request, http.StatusPartialContent, h.resp.Header)
	if c.fill == nil || h.unsure() || refusal != cacherules.Stores {
		h.explain(refusal)
		return completes && h.fetchAgain()
	}
	fields := h.receivedFields()
	plain, start := cacherules.NewRecord(&c.request, http.StatusPartialContent, fields, h.resp.ContentLength, times)
	part := cacherules.Span{Start: start, End: plain.Length}
	if len(plain.Have) > 0 {
		part = plain.Have[0]
	}
	record := plain
	next := filling{base: start, body: h.resp.Body, size: part.Len(), from: h.resp}
	var before *storedBody // in next.body, before that of the response
	taken := false         // by the fill
	defer func() {
		if before != nil && !taken {
			before.Close()
		}
	}()
	if s := c.selected.response(); s != nil {
		merged, same := s.Combine(&c.request, h.resp.Header, fields, times)
		have := cacherules.Span{End: s.Length}
		if !s.Complete() {
			have = s.Have[0]
		}
		switch {
		case !same: // the part is of another body, and takes the place of what is stored
		case part.Start >= have.Start && part.End <= have.End:
			h.updateEntry(c.selected.source, &merged)
			return completes && h.fetchAgain()
		case part.Start >= have.Start && part.Start <= have.End:
			record = merged
			next.base, next.at, next.size = have.Start, part.Start-have.Start, part.End-have.Start
			if next.at > 0 {
				before = h.openStored(&c.fill.ctx, c.selected.source, s, cacherules.Span{Start: have.Start, End: part.Start})
				if before == nil {
					return completes && h.fetchAgain()
				}
				next.body = &joined{io.MultiReader(before, h.resp.Body), before, h.resp.Body}
			}
		case part.Len() < have.Len(): // between both something is missing: the larger one is kept
			return completes && h.fetchAgain()
		}
		if completes && (!same || !record.Complete() || next.base != 0) {
			return h.fetchAgain()
		}
	} else if completes {
		return h.fetchAgain()
	}
	record.Reason = ""
	next.stored = cacherules.NewStored(record)
	if completes {
		taken = h.completes(next, times)
		return !taken && h.fetchAgain()
	}
	taken = h.fillWith(next, times)
	return false
}

// completes answers with what is stored and what is received behind it.
func (h *Hop) completes(next filling, times cacherules.Times) bool {
	c, received, s := h.cached, h.resp, next.stored
	if next.body == http.NoBody {
		return false
	}
	c.fill.exact = true
	all := cacherules.Answer{Status: http.StatusOK, Body: cacherules.Span{End: s.Length}}
	h.resp = h.madeResponse(http.StatusOK, all.Fields(s, true, times.Response), s.Length)
	h.resp.Body, next.at = received.Body, 0
	if !h.fillWith(next, times) {
		h.resp, c.fill.exact = received, false
		c.fields = headers.Headers{}
		return false
	}
	c.network = received.Header
	c.answered, c.combined = true, true
	c.local = c.selected.stored.Have[0].Len()
	c.status.ForwardStatus = http.StatusPartialContent
	return true
}

// joined is a body that is read from several sources.
type joined struct {
	io.Reader
	stored, received io.Closer
}

func (j *joined) Close() error {
	j.stored.Close()
	return j.received.Close()
}
