package flow

import (
	"net/http"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/coding"
)

// acceptEncoding is shared by all requests that ask for codings.
var acceptEncoding = []string{coding.Accept}

// asksForCodings tells whether a request leaves the content codings to us: who sets
// Accept-Encoding wants the body as it comes (rule Z2), and a range of an encoded
// body cannot be decoded.
func asksForCodings(h headers.Headers) bool {
	return h.Get("Accept-Encoding") == "" && !h.Has("Range")
}

// afterDecode takes the content codings off the final response.
func afterDecode(h *Hop) (again bool) {
	if h.err != nil {
		return false
	}
	t, resp := h.t, h.resp
	codings, err := t.codings(resp)
	if err != nil {
		h.fail(err)
	}
	if err != nil || len(codings) == 0 || t.head.NoBody || resp.Body == http.NoBody {
		return false
	}
	limits := h.e.cfg.Decoding
	limits.Threshold = t.DecodeThreshold
	decoder := coding.NewReader(resp.Body, codings, limits, coding.Hooks{Read: t.Clock.Touch, Wait: t.waitsForMemory, Done: t.ctx.Done()})
	t.w.Decoding(decoder)
	resp.Body, resp.ContentLength = decoder, -1
	return false
}

// waitsForMemory holds the clock of the peer while others keep the reply waiting.
func (t *Transfer) waitsForMemory(waiting bool) {
	if waiting {
		t.Clock.Pause()
	} else {
		t.Clock.Resume()
	}
}

// codings are what is to be taken off a response.
func (t *Transfer) codings(resp *http.Response) ([]string, error) {
	values := resp.Header["Content-Encoding"]
	if !t.decode || len(values) == 0 {
		return nil, nil
	}
	return coding.Parse(values)
}
