package flow

import (
	"net/http"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/coding"
)

// acceptEncoding is shared by all requests whose responses are decoded.
var acceptEncoding = []string{coding.Accept}

// asksForCodings reports whether the body is to be delivered decoded: not if the program
// has set Accept-Encoding (rule Z2), and not for a range, which cannot be decoded.
func asksForCodings(h headers.Headers) bool {
	return h.Get("Accept-Encoding") == "" && !h.Has("Range")
}

// afterDecode decodes the body of the final response.
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
	decoder := coding.NewReader(resp.Body, codings, limits, coding.Hooks{Read: t.Clock.Touch, Wait: t.pauseForMemory, Done: t.ctx.Done()})
	t.watcher.Decoding(decoder)
	resp.Body, resp.ContentLength = decoder, -1
	return false
}

// pauseForMemory pauses the clock while the decoder waits for memory.
func (t *Transfer) pauseForMemory(waiting bool) {
	if waiting {
		t.Clock.Pause()
	} else {
		t.Clock.Resume()
	}
}

// codings are the content codings of a response that is to be decoded.
func (t *Transfer) codings(resp *http.Response) ([]string, error) {
	values := resp.Header["Content-Encoding"]
	if !t.decode || len(values) == 0 {
		return nil, nil
	}
	return coding.Parse(values)
}
